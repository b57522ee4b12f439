"""A DLMM pair's accounts as the pool that routing calculates with."""

from collections.abc import Iterable, Sequence

from routing.pools.bins import Bin
from routing.pools.limit_orders import BinOrders, BinPoolWithOrders
from routing.pools.liquidity_bins import LiquidityBinPool
from routing.pools.volatility import BinParameters, CollectFeeMode
from routing.solana.dlmm.bin_arrays import (
    BinArray,
    BitmapExtension,
    StoredBin,
    arrays_ahead,
)
from routing.solana.dlmm.lb_pair import LbPair
from routing.solana.layout import UnreadableAccount

AnyBinPool = LiquidityBinPool | BinPoolWithOrders


def pool_of(
    pair: LbPair,
    arrays: Sequence[BinArray],
    extension: BitmapExtension | None = None,
    *,
    slot: int,
    now: int,
) -> AnyBinPool:
    """Return the pair as it is at `slot` and `now` (unix seconds), as far as its arrays are given.

    Beyond the first array that has liquidity and is not given, it has none: a swap that would go
    there is refused, and not quoted past it.

    :raises UnreadableAccount: fees are taken in a way that we do not know.
    """
    reached = _reached(pair, {array.index: array for array in arrays}, extension)
    return pool_of_bins(
        pair, (bin_ for array in reached for bin_ in array.bins), slot=slot, now=now
    )


def pool_of_bins(pair: LbPair, bins: Iterable[StoredBin], *, slot: int, now: int) -> AnyBinPool:
    """Return the pair with these bins: all that a swap may meet.

    :raises UnreadableAccount: fees are taken in a way that we do not know.
    """
    held, orders = [], {}
    for one in sorted(bins):
        left = _orders_of(one) if pair.has_limit_orders else None
        if left is not None:
            orders[one.id] = left
        if left is not None or one.amount_x or one.amount_y:
            held.append(Bin(one.id, one.amount_x, one.amount_y))
    pool = LiquidityBinPool(
        parameters=parameters_of(pair),
        active_id=pair.active_id,
        volatility=pair.volatility,
        bins=tuple(held),
        protocol_fees_x=pair.protocol_fees_x,
        protocol_fees_y=pair.protocol_fees_y,
        enabled=pair.takes_swaps(slot=slot, now=now),
    )
    return BinPoolWithOrders(pool, orders) if orders else pool


def parameters_of(pair: LbPair) -> BinParameters:
    """:raises UnreadableAccount: fees are taken in a way that we do not know."""
    try:
        mode = CollectFeeMode(pair.collect_fee_mode)
    except ValueError as error:
        kind = pair.collect_fee_mode
        raise UnreadableAccount(f"a DLMM pair takes no fees of kind {kind}") from error
    return BinParameters(
        bin_step=pair.bin_step,
        base_factor=pair.base_factor,
        filter_period=pair.filter_period,
        decay_period=pair.decay_period,
        reduction_factor=pair.reduction_factor,
        variable_fee_control=pair.variable_fee_control,
        max_volatility_accumulator=pair.max_volatility_accumulator,
        protocol_share=pair.protocol_share,
        base_fee_power_factor=pair.base_fee_power_factor,
        collect_fee_mode=mode,
    )


def _reached(
    pair: LbPair, arrays: dict[int, BinArray], extension: BitmapExtension | None
) -> list[BinArray]:
    """Return the arrays that swaps reach without passing one that is not given."""
    found: dict[int, BinArray] = {}
    for to_y in (True, False):
        wanted = arrays_ahead(pair.active_id, pair.bitmap, extension, to_y=to_y, count=len(arrays))
        for index in wanted:
            if index not in arrays:
                break
            found[index] = arrays[index]
    return list(found.values())


def _orders_of(bin_: StoredBin) -> BinOrders | None:
    if not bin_.rest_in_process and not bin_.open_orders:
        return None
    return BinOrders(bin_.orders_sell_x, bin_.rest_in_process, bin_.open_orders)
