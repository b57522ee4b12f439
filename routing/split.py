"""Divides an amount over several pools so that all of them pay the same for the last atom.

Constant products are divided by the closed form of equal marginal prices (water-filling). Bins are
filled in the order of their prices. This is calculated in real numbers. The result is then judged
by the pools' own integer quotes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from heapq import merge
from itertools import combinations
from math import gcd, sqrt
from typing import NamedTuple

from routing.pools.constant_product import MILLION, ConstantProductPool, CreatorFeeOn
from routing.pools.limit_orders import BinPoolWithOrders
from routing.pools.liquidity_bins import LiquidityBinPool
from routing.pools.pool import Direction, OutOfRange, SwapRefused
from routing.venue import BPS, Liquidity

NEIGHBOURHOOD = (-3, -2, -1, 1, 2, 3)
"""How many atoms up and down `_polish` tries."""


@dataclass(frozen=True, slots=True)
class Split:
    """The best division of an amount over pools, compared with the best pool alone.

    `total` is the output of a fixed input, or the input of a fixed output, in atoms.
    """

    amounts: tuple[int, ...]
    """The amount of each pool, in the given order; 0 for a pool that takes no part. These are input
    atoms for a fixed input, and output atoms for a fixed output."""
    total: int
    single: int | None
    """The index of the best single pool; None if no pool can fill the amount."""
    single_total: int | None

    @property
    def is_divided(self) -> bool:
        return sum(amount > 0 for amount in self.amounts) > 1


class _Curve(NamedTuple):
    """A constant product: `output = keeps_out * y * net / (x + net)`, `net = keeps_in * input`."""

    place: int
    x: float
    y: float
    keeps_in: float
    keeps_out: float

    @property
    def first_price(self) -> float:
        return self.keeps_out * self.keeps_in * self.y / self.x

    def taken_at(self, price: float, exact_in: bool) -> float:
        """Return how much it trades until the last input atom buys `price` output atoms."""
        keeps = self.keeps_in * self.keeps_out
        if exact_in:
            most = (sqrt(keeps * self.x * self.y / price) - self.x) / self.keeps_in
        else:
            most = self.keeps_out * (self.y - sqrt(self.x * self.y * price / keeps))
        return max(most, 0.0)


class _Bin(NamedTuple):
    """A bin that pays `price` for every atom, until it is empty."""

    place: int
    price: float
    amount_in: int
    amount_out: int


def best_split(
    pools: Sequence[Liquidity], amount: int, *, exact_in: bool, min_gain_bps: Decimal
) -> Split | None:
    """Divide `amount` over the pools, for the best total.

    Each pool beyond the second has to improve the total by `min_gain_bps`. The caller decides
    whether two pools are worth more than one. Return None if all pools together cannot fill it.
    """
    alone = {place: _quote(pool, amount, exact_in) for place, pool in enumerate(pools)}
    able = {place: total for place, total in alone.items() if total is not None}
    single = _best(able, exact_in) if able else None
    best = _divide(pools, tuple(alone), amount, exact_in)
    while best is not None and len(_used(best[0])) > 2:
        fewer = _divide(pools, _without_smallest(best[0]), amount, exact_in)
        if fewer is None or gain_bps(best[1], fewer[1], exact_in) >= min_gain_bps:
            break
        best = fewer
    if single is None:
        return None if best is None else Split(best[0], best[1], None, None)
    total = able[single]
    if best is None or (best[1] <= total if exact_in else best[1] >= total):
        return Split(
            tuple(amount if place == single else 0 for place in alone), total, single, total
        )
    return Split(best[0], best[1], single, total)


def gain_bps(total: int, alternative: int, exact_in: bool) -> Decimal:
    """Return how much better `total` is than `alternative`, in bps, rounded down to hundredths."""
    better = total - alternative if exact_in else alternative - total
    return Decimal(better * BPS * 100 // alternative).scaleb(-2)


def _divide(
    pools: Sequence[Liquidity], among: Sequence[int], amount: int, exact_in: bool
) -> tuple[tuple[int, ...], int] | None:
    """Return the amount of each pool and the total. Only the pools in `among` are used."""
    shares = _equal_marginals(pools, among, amount, exact_in)
    if shares is None:
        return None
    totals = {place: _quote(pools[place], shares[place], exact_in) for place in among}
    if len(_used(shares)) == 1 and None not in totals.values():
        return tuple(shares), sum(total or 0 for total in totals.values())
    for pair in combinations(among, 2):
        _polish(pools, shares, totals, pair, exact_in)
    filled = [total for total in totals.values() if total is not None]
    return (tuple(shares), sum(filled)) if len(filled) == len(among) else None


def _equal_marginals(
    pools: Sequence[Liquidity], among: Sequence[int], amount: int, exact_in: bool
) -> list[int] | None:
    """Return the division at which the last atom is worth the same everywhere.

    Bins are emptied from the best price on. A bin's turn comes when the curves have come down to
    its price. The curves share the rest. Return None if the amount is more than all of them hold.
    """
    curves = [curve for place in among if (curve := _curve(place, pools[place])) is not None]
    shares = [0] * len(pools)
    rest = amount
    for price_bin in merge(*(_bins(place, pools[place]) for place in among), key=_worst_last):
        room = rest - int(sum(curve.taken_at(price_bin.price, exact_in) for curve in curves))
        if room <= 0:
            break
        part = min(room, price_bin.amount_in if exact_in else price_bin.amount_out)
        shares[price_bin.place] += part
        rest -= part
        if part == room:
            break
    if rest and not _share_out(curves, shares, rest, exact_in):
        return None
    return shares


def _share_out(curves: Sequence[_Curve], shares: list[int], rest: int, exact_in: bool) -> bool:
    """Add `rest` to the shares of the curves, at equal marginal prices; return whether it fits.

    For two curves this is a1 = (s1 * (x2 + g2 * rest) - s2 * x1) / (g2 * s1 + g1 * s2) with
    s = sqrt(g * x * y). In general it is the sum over all curves that are cheap enough to be used.
    """
    used: list[_Curve] = []
    price = 0.0
    for curve in sorted(curves, key=_first_price, reverse=True):
        if used and curve.first_price <= price:
            break
        used.append(curve)
        if (common := _common_price(used, rest, exact_in)) is None:
            continue  # these curves hold less: one more curve may be enough
        price = common
    if price <= 0:
        return False
    parts = [(curve.place, int(curve.taken_at(price, exact_in))) for curve in used]
    for place, part in parts:
        part = min(part, rest)
        shares[place] += part
        rest -= part
    shares[parts[0][0]] += rest  # what rounding has left
    return True


def _common_price(curves: Sequence[_Curve], amount: int, exact_in: bool) -> float | None:
    """Return the marginal price at which these curves together trade `amount`."""
    roots = [
        sqrt(curve.keeps_in * curve.keeps_out * curve.x * curve.y) / curve.keeps_in
        for curve in curves
    ]
    if exact_in:
        reach = amount + sum(curve.x / curve.keeps_in for curve in curves)
        return (sum(roots) / reach) ** 2
    left = sum(curve.keeps_out * curve.y for curve in curves) - amount
    return (left / sum(roots)) ** 2 if left > 0 else None


def _polish(
    pools: Sequence[Liquidity],
    shares: list[int],
    totals: dict[int, int | None],
    pair: tuple[int, int],
    exact_in: bool,
) -> None:
    """Move atoms between two pools where their programs' rounding makes the total better."""
    left, right = pair
    together = shares[left] + shares[right]
    best = _sum(totals[left], totals[right])
    for share in _candidates(pools, shares, totals, pair, exact_in):
        if not 0 <= share <= together:
            continue
        first = _quote(pools[left], share, exact_in)
        second = _quote(pools[right], together - share, exact_in)
        total = _sum(first, second)
        if total is None:
            continue
        if best is None or (total > best if exact_in else total < best):
            best = total
            shares[left], shares[right] = share, together - share
            totals[left], totals[right] = first, second


def _candidates(
    pools: Sequence[Liquidity],
    shares: Sequence[int],
    totals: dict[int, int | None],
    pair: tuple[int, int],
    exact_in: bool,
) -> set[int]:
    """Return other shares for the first pool of the pair.

    These are the neighbours of its share, amounts whose fee has no remainder, and the least amount
    that the pool pays for.
    """
    left, right = pair
    share, together = shares[left], shares[left] + shares[right]
    candidates = {share + step for step in NEIGHBOURHOOD}
    candidates.update(_without_remainder(pools[left], share))
    candidates.update(
        together - rest for rest in _without_remainder(pools[right], together - share)
    )
    if totals[left] is None and exact_in:
        candidates.add(_least_input(pools[left]))
    if totals[right] is None and exact_in:
        candidates.add(together - _least_input(pools[right]))
    return candidates - {share}


def _without_remainder(liquidity: Liquidity, share: int) -> tuple[int, int]:
    """Return the next input amounts whose fee is a whole number of atoms."""
    step = _fee_step(liquidity)
    return share // step * step, share // step * step + step


def _least_input(liquidity: Liquidity) -> int:
    """Return the fewest input atoms for which the pool pays anything; 0 if it refuses."""
    return _quote(liquidity, 1, exact_in=False) or 0


def _fee_step(liquidity: Liquidity) -> int:
    """Return the step between input amounts whose fee is a whole number of atoms."""
    pool = liquidity.pool
    if not isinstance(pool, ConstantProductPool):
        return 1
    rate = MILLION - round(_kept_fractions(pool, liquidity.direction)[0] * MILLION)
    return MILLION // gcd(MILLION, rate)


def _quote(liquidity: Liquidity, amount: int, exact_in: bool) -> int | None:
    """Return the other amount of the pool's own quote; None if it refuses."""
    if amount == 0:
        return 0
    pool, direction, now = liquidity.pool, liquidity.direction, liquidity.now
    try:
        if exact_in:
            return pool.quote_exact_in(amount, direction, now).amount_out
        return pool.quote_exact_out(amount, direction, now).amount_in
    except SwapRefused:
        return None


def _curve(place: int, liquidity: Liquidity) -> _Curve | None:
    pool = liquidity.pool
    if not isinstance(pool, ConstantProductPool) or not pool.enabled:
        return None
    spot = pool.spot(liquidity.direction)
    if spot.atoms_in <= 0 or spot.atoms_out <= 0:
        return None
    return _Curve(place, spot.atoms_in, spot.atoms_out, *_kept_fractions(pool, liquidity.direction))


def _kept_fractions(pool: ConstantProductPool, direction: Direction) -> tuple[float, float]:
    """Return the fractions of the input and of the output that the fees leave."""
    rates = pool.rates
    on_input = rates.creator_fee_on is CreatorFeeOn.INPUT or (
        (rates.creator_fee_on is CreatorFeeOn.X) is (direction is Direction.X_TO_Y)
    )
    fee_in = rates.trade + (rates.creator if on_input else 0)
    fee_out = 0 if on_input else rates.creator
    return 1 - fee_in / MILLION, 1 - fee_out / MILLION


def _bins(place: int, liquidity: Liquidity) -> Iterator[_Bin]:
    pool = liquidity.pool
    if not isinstance(pool, LiquidityBinPool | BinPoolWithOrders) or not pool.enabled:
        return
    try:
        for fill in pool.bins_ahead(liquidity.direction, liquidity.now):
            if fill.amount_in and fill.amount_out:
                price = fill.amount_out / fill.amount_in
                yield _Bin(place, price, fill.amount_in, fill.amount_out)
    except OutOfRange:
        return  # the program does not reach the bins beyond this one


def _worst_last(price_bin: _Bin) -> float:
    return -price_bin.price


def _first_price(curve: _Curve) -> float:
    return curve.first_price


def _sum(left: int | None, right: int | None) -> int | None:
    return None if left is None or right is None else left + right


def _best(totals: dict[int, int], exact_in: bool) -> int:
    return (max if exact_in else min)(totals, key=totals.__getitem__)


def _used(amounts: Sequence[int]) -> list[int]:
    return [place for place, amount in enumerate(amounts) if amount]


def _without_smallest(amounts: Sequence[int]) -> list[int]:
    used = _used(amounts)
    used.remove(min(used, key=amounts.__getitem__))
    return used
