"""A DLMM pool whose bins hold limit orders beside the liquidity of providers.

In each bin a swap takes the providers' liquidity first, then what is left of older orders, then
younger orders. Each of the three rounds by itself. docs/pools.md has the formulas.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from routing.pools.bins import BILLION, BPS, Bin, BinFill, input_for, price_of_bin
from routing.pools.liquidity_bins import LiquidityBinPool
from routing.pools.pool import (
    MAX_U64,
    AmountTooLarge,
    Direction,
    Fill,
    InsufficientBins,
    NextAtom,
    PoolDisabled,
    Spot,
    ZeroOutput,
)
from routing.pools.volatility import Volatility

OWNERS_SHARE = 5_000
"""The part of the fee on orders that their owners get, in bps."""


class BinOrders(NamedTuple):
    """What the limit orders in one bin still sell, in atoms."""

    sells_x: bool
    """Else they sell y."""
    in_process: int
    """The rest of older orders, of which some was sold."""
    open: int
    """Younger orders."""


class LayeredFill(NamedTuple):
    """A swap's part in one bin, and what of it the bin's three layers take in and pay."""

    fill: BinFill
    nets_in: tuple[int, int, int]
    outs: tuple[int, int, int]


class Step(NamedTuple):
    """A swap's part in the bin that stands at `position` in the pool's `bins`."""

    position: int
    accumulator: int
    part: LayeredFill


class BinPoolWithOrders(NamedTuple):
    """`orders` are by the ids of bins, and each such bin stands in `pool`, even without liquidity.

    What orders have taken in belongs to their owners: it is not traded with.
    """

    pool: LiquidityBinPool
    orders: Mapping[int, BinOrders]

    @property
    def enabled(self) -> bool:
        return self.pool.enabled

    @property
    def vault_x(self) -> int:
        """All of x that the pool may sell, and its fees."""
        return self.pool.vault_x + self._in_orders(sells_x=True)

    @property
    def vault_y(self) -> int:
        """All of y that the pool may sell, and its fees."""
        return self.pool.vault_y + self._in_orders(sells_x=False)

    def spot(self, direction: Direction) -> Spot:
        return self.pool.spot(direction)

    def next_atom(self, direction: Direction, now: int) -> NextAtom:
        """Return the price of the next atom at `now`, exactly: no amount is rounded.

        :raises SwapRefused: the pool trades nothing in this direction.
        """
        if not self.enabled:
            raise PoolDisabled
        to_y = direction is Direction.X_TO_Y
        position = next(self._positions_ahead(to_y), None)
        if position is None:
            raise InsufficientBins
        return self.pool.atom_of(position, direction, now)

    def quote_exact_in(self, amount_in: int, direction: Direction, now: int) -> Fill:
        """Return what `amount_in` atoms buy at `now`.

        :raises SwapRefused: the program would fail.
        """
        return self._sum(self._walk(amount_in, direction, now, exact_in=True))

    def quote_exact_out(self, amount_out: int, direction: Direction, now: int) -> Fill:
        """Return what `amount_out` atoms cost at `now`.

        :raises SwapRefused: the program would fail.
        """
        return self._sum(self._walk(amount_out, direction, now, exact_in=False))

    def swap_exact_in(
        self, amount_in: int, direction: Direction, now: int
    ) -> tuple[Fill, "BinPoolWithOrders"]:
        """Return what `amount_in` atoms buy at `now`, and the pool afterwards.

        :raises SwapRefused: the program would fail.
        """
        steps = self._walk(amount_in, direction, now, exact_in=True)
        fill = self._sum(steps)
        return fill, self._after(fill, steps, direction, now)

    def swap_exact_out(
        self, amount_out: int, direction: Direction, now: int
    ) -> tuple[Fill, "BinPoolWithOrders"]:
        """Return what `amount_out` atoms cost at `now`, and the pool afterwards.

        :raises SwapRefused: the program would fail.
        """
        steps = self._walk(amount_out, direction, now, exact_in=False)
        fill = self._sum(steps)
        return fill, self._after(fill, steps, direction, now)

    def bins_ahead(self, direction: Direction, now: int) -> Iterator[BinFill]:
        """Yield what it takes to empty each bin and what that pays, in the order of a swap.

        :raises OutOfRange: a bin is worth more than the program can count.
        """
        to_y = direction is Direction.X_TO_Y
        parameters = self.pool.parameters
        start = self.pool.volatility.at(now, self.pool.active_id, parameters)
        for position in self._positions_ahead(to_y):
            bin_id = self.pool.bins[position].id
            price = price_of_bin(parameters.bin_step, bin_id)
            rate = self.pool.fee_rate(start.accumulator_in(bin_id, parameters))
            layers, on_input = self._layers(position, to_y), self.pool.fee_is_on_input(direction)
            yield fill_layers_in(MAX_U64, layers, price, rate, to_y, on_input).fill

    def _walk(self, amount: int, direction: Direction, now: int, *, exact_in: bool) -> list[Step]:
        """:raises SwapRefused: it cannot be filled."""
        self.pool.check(amount)
        parameters = self.pool.parameters
        fill_bin = fill_layers_in if exact_in else fill_layers_out
        to_y = direction is Direction.X_TO_Y
        on_input = self.pool.fee_is_on_input(direction)
        start = self.pool.volatility.at(now, self.pool.active_id, parameters)
        steps: list[Step] = []
        for position in self._positions_ahead(to_y):
            bin_id = self.pool.bins[position].id
            accumulator = start.accumulator_in(bin_id, parameters)
            price = price_of_bin(parameters.bin_step, bin_id)
            layers = self._layers(position, to_y)
            part = fill_bin(amount, layers, price, self.pool.fee_rate(accumulator), to_y, on_input)
            steps.append(Step(position, accumulator, part))
            amount -= part.fill.amount_in if exact_in else part.fill.amount_out
            if amount == 0:
                return steps
        raise InsufficientBins

    def _layers(self, position: int, to_y: bool) -> tuple[int, int, int]:
        """Return what a bin can pay: of the providers, of older orders, of younger ones."""
        bin_ = self.pool.bins[position]
        liquidity = bin_.amount_y if to_y else bin_.amount_x
        orders = self.orders.get(bin_.id)
        if orders is None or orders.sells_x is to_y:
            return liquidity, 0, 0
        return liquidity, orders.in_process, orders.open

    def _positions_ahead(self, to_y: bool) -> Iterator[int]:
        bins = self.pool.bins
        if to_y:
            ahead = range(bisect_left(bins, (self.pool.active_id + 1,)) - 1, -1, -1)
        else:
            ahead = range(bisect_left(bins, (self.pool.active_id,)), len(bins))
        return (position for position in ahead if any(self._layers(position, to_y)))

    def _in_orders(self, *, sells_x: bool) -> int:
        return sum(
            one.in_process + one.open for one in self.orders.values() if one.sells_x is sells_x
        )

    def _sum(self, steps: list[Step]) -> Fill:
        fills = [step.part.fill for step in steps]
        amount_in, amount_out, net_in, gross_out, fees = (
            sum(amounts) for amounts in zip(*fills, strict=True)
        )
        protocol_fee = sum(self._protocol_fee(step.part) for step in steps)
        fill = Fill(
            *(amount_in, amount_out, net_in, gross_out, fees - protocol_fee, protocol_fee),
            rounding=amount_in - net_in + gross_out - amount_out - fees,
        )
        if amount_out == 0:
            raise ZeroOutput(fill)
        if amount_in > MAX_U64:
            raise AmountTooLarge
        return fill

    def _protocol_fee(self, part: LayeredFill) -> int:
        fee, net_in = part.fill.fee, part.fill.net_in
        if not net_in:  # an atom that is all fee leaves nothing to the providers
            return fee
        of_providers = -(-fee * part.nets_in[0] // net_in)
        of_orders = fee - of_providers
        owners = of_orders * OWNERS_SHARE // BPS
        return of_orders - owners + of_providers * self.pool.parameters.protocol_share // BPS

    def _after(
        self, fill: Fill, steps: list[Step], direction: Direction, now: int
    ) -> "BinPoolWithOrders":
        pool, to_y = self.pool, direction is Direction.X_TO_Y
        fees_in_x = self.pool.fee_is_on_input(direction) is to_y
        start = pool.volatility.at(now, pool.active_id, pool.parameters)
        active_id = pool.bins[steps[-1].position].id
        moved = active_id != pool.active_id
        bins, orders = list(pool.bins), dict(self.orders)
        for position, _, part in steps:
            bin_id, x, y = bins[position]
            net_in, out = part.nets_in[0], part.outs[0]
            after = Bin(bin_id, x + net_in, y - out) if to_y else Bin(bin_id, x - out, y + net_in)
            if max(after.amount_x, after.amount_y) > MAX_U64:
                raise AmountTooLarge
            bins[position] = after
            if any(part.outs[1:]):
                held = orders[bin_id]
                orders[bin_id] = BinOrders(
                    held.sells_x, held.in_process - part.outs[1], held.open - part.outs[2]
                )
        return BinPoolWithOrders(
            pool._replace(
                active_id=active_id,
                volatility=Volatility(
                    steps[-1].accumulator,
                    start.reference,
                    start.index_reference,
                    now if moved else start.last_update,
                ),
                bins=tuple(bins),
                protocol_fees_x=pool.protocol_fees_x + fill.protocol_fee * fees_in_x,
                protocol_fees_y=pool.protocol_fees_y + fill.protocol_fee * (not fees_in_x),
                lp_fees_x=pool.lp_fees_x + fill.lp_fee * fees_in_x,
                lp_fees_y=pool.lp_fees_y + fill.lp_fee * (not fees_in_x),
                rounding_x=pool.rounding_x + fill.rounding * (not to_y),
                rounding_y=pool.rounding_y + fill.rounding * to_y,
            ),
            orders,
        )


def fill_layers_in(
    amount_in: int,
    layers: tuple[int, int, int],
    price: int,
    rate: int,
    to_y: bool,
    fee_on_input: bool,
) -> LayeredFill:
    """Sell `amount_in`, or the part of it that the layers pay for; `rate` in billionths.

    :raises OutOfRange: the bin is worth more than the program can count.
    """
    rest = amount_in + (-amount_in * rate // BILLION if fee_on_input else 0)
    net_in = rest
    nets: list[int] = []
    outs: list[int] = []
    for liquidity in layers:
        most_in = input_for(liquidity, price, to_y)
        taken = min(rest, most_in)
        if rest >= most_in:
            outs.append(liquidity)
        else:
            outs.append(rest * price >> 64 if to_y else (rest << 64) // price)
        nets.append(taken)
        rest -= taken
    if rest:
        net_in -= rest
        amount_in = -(-net_in * BILLION // (BILLION - rate)) if fee_on_input else net_in
    gross_out = sum(outs)
    fee = amount_in - net_in if fee_on_input else -(-gross_out * rate // BILLION)
    amount_out = gross_out if fee_on_input else gross_out - fee
    fill = BinFill(amount_in, amount_out, net_in, gross_out, fee)
    return LayeredFill(fill, (nets[0], nets[1], nets[2]), (outs[0], outs[1], outs[2]))


def fill_layers_out(
    amount_out: int,
    layers: tuple[int, int, int],
    price: int,
    rate: int,
    to_y: bool,
    fee_on_input: bool,
) -> LayeredFill:
    """Buy `amount_out`, or the part of it that is in the layers; `rate` in billionths.

    :raises OutOfRange: the bin is worth more than the program can count.
    """
    gross_out = amount_out if fee_on_input else -(-amount_out * BILLION // (BILLION - rate))
    if gross_out >= sum(layers):
        return fill_layers_in(MAX_U64, layers, price, rate, to_y, fee_on_input)
    net_in = 0
    for liquidity in layers:
        part = min(gross_out, liquidity)
        net_in += input_for(part, price, to_y)
        gross_out -= part
    amount_in = net_in
    if fee_on_input:
        amount_in -= -net_in * rate // (BILLION - rate)
    filled = fill_layers_in(amount_in, layers, price, rate, to_y, fee_on_input)
    return filled._replace(fill=filled.fill._replace(amount_out=amount_out))
