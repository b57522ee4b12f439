"""Meteora's DLMM (program lb_clmm): a swap walks from bin to bin, and each bin has one price.

The program's source is closed. The formulas are those of Meteora's documents and public library,
corrected by the program's observed results. docs/pools.md has them in short.
"""

from bisect import bisect_left
from collections.abc import Iterator
from typing import NamedTuple

from routing.pools.bins import (
    BILLION,
    BPS,
    ONE,
    Bin,
    BinFill,
    fill_exact_in,
    fill_exact_out,
    price_of_bin,
)
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
from routing.pools.volatility import MAX_FEE_RATE, BinParameters, CollectFeeMode, Volatility


class Step(NamedTuple):
    """A swap's part in one bin, which stands at `position` in the pool's `bins`."""

    position: int
    accumulator: int
    fill: BinFill


class LiquidityBinPool(NamedTuple):
    """`bins` are sorted by id. A missing bin is empty.

    Beside the bins lie the collected fees of the protocol and of the liquidity providers, and the
    atoms that rounding took out of bins and paid to nobody.
    """

    parameters: BinParameters
    active_id: int
    volatility: Volatility
    bins: tuple[Bin, ...]
    protocol_fees_x: int = 0
    protocol_fees_y: int = 0
    lp_fees_x: int = 0
    lp_fees_y: int = 0
    rounding_x: int = 0
    rounding_y: int = 0
    enabled: bool = True

    @property
    def vault_x(self) -> int:
        """All of x that the pool holds."""
        in_bins = sum(bin_.amount_x for bin_ in self.bins)
        return in_bins + self.protocol_fees_x + self.lp_fees_x + self.rounding_x

    @property
    def vault_y(self) -> int:
        """All of y that the pool holds."""
        in_bins = sum(bin_.amount_y for bin_ in self.bins)
        return in_bins + self.protocol_fees_y + self.lp_fees_y + self.rounding_y

    def spot(self, direction: Direction) -> Spot:
        price = price_of_bin(self.parameters.bin_step, self.active_id)
        return Spot(price, ONE) if direction is Direction.X_TO_Y else Spot(ONE, price)

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
        return self.atom_of(position, direction, now)

    def atom_of(self, position: int, direction: Direction, now: int) -> NextAtom:
        """Return the price of an atom out of the bin at this place in `bins`."""
        to_y = direction is Direction.X_TO_Y
        bin_id = self.bins[position].id
        price = price_of_bin(self.parameters.bin_step, bin_id)
        start = self.volatility.at(now, self.active_id, self.parameters)
        left = BILLION - self.fee_rate(start.accumulator_in(bin_id, self.parameters))
        spot = Spot(price, ONE) if to_y else Spot(ONE, price)
        return NextAtom(spot, Spot(spot.atoms_out * left, spot.atoms_in * BILLION))

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
    ) -> tuple[Fill, "LiquidityBinPool"]:
        """Return what `amount_in` atoms buy at `now`, and the pool afterwards.

        :raises SwapRefused: the program would fail.
        """
        steps = self._walk(amount_in, direction, now, exact_in=True)
        fill = self._sum(steps)
        return fill, self._after(fill, steps, direction, now)

    def swap_exact_out(
        self, amount_out: int, direction: Direction, now: int
    ) -> tuple[Fill, "LiquidityBinPool"]:
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
        fee_on_input = self.fee_is_on_input(direction)
        start = self.volatility.at(now, self.active_id, self.parameters)
        for position in self._positions_ahead(to_y):
            bin_id, amount_x, amount_y = self.bins[position]
            price = price_of_bin(self.parameters.bin_step, bin_id)
            rate = self.fee_rate(start.accumulator_in(bin_id, self.parameters))
            liquidity = amount_y if to_y else amount_x
            yield fill_exact_in(MAX_U64, liquidity, price, rate, to_y, fee_on_input)

    def _walk(self, amount: int, direction: Direction, now: int, *, exact_in: bool) -> list[Step]:
        """Fill `amount` from one bin after the other. The fee rises with each bin.

        :raises SwapRefused: it cannot be filled.
        """
        self.check(amount)
        parameters = self.parameters
        fill_bin = fill_exact_in if exact_in else fill_exact_out
        to_y = direction is Direction.X_TO_Y
        fee_on_input = self.fee_is_on_input(direction)
        start = self.volatility.at(now, self.active_id, parameters)
        base_rate = parameters.base_fee_rate
        steps: list[Step] = []
        for position in self._positions_ahead(to_y):
            bin_id, amount_x, amount_y = self.bins[position]
            accumulator = start.accumulator_in(bin_id, parameters)
            # `_fee_rate`, written out for speed: a quote spends most of its time here.
            rate = min(base_rate + parameters.variable_fee_rate(accumulator), MAX_FEE_RATE)
            price = price_of_bin(parameters.bin_step, bin_id)
            liquidity = amount_y if to_y else amount_x
            fill = fill_bin(amount, liquidity, price, rate, to_y, fee_on_input)
            steps.append(Step(position, accumulator, fill))
            amount -= fill.amount_in if exact_in else fill.amount_out
            if amount == 0:
                return steps
        raise InsufficientBins

    def fee_rate(self, accumulator: int) -> int:
        """Return the fee in billionths at this accumulator of volatility."""
        parameters = self.parameters
        return min(
            parameters.base_fee_rate + parameters.variable_fee_rate(accumulator), MAX_FEE_RATE
        )

    def check(self, amount: int) -> None:
        """:raises SwapRefused: the pool trades no such amount."""
        if not self.enabled:
            raise PoolDisabled
        if amount > MAX_U64:
            raise AmountTooLarge
        if amount <= 0:
            raise ZeroOutput

    def fee_is_on_input(self, direction: Direction) -> bool:
        """Whether the fee is taken of what goes in, and not of what comes out."""
        if self.parameters.collect_fee_mode is CollectFeeMode.INPUT_ONLY:
            return True
        return direction is Direction.Y_TO_X

    def _positions_ahead(self, to_y: bool) -> Iterator[int]:
        """Yield the positions in `bins` that have output, from the active bin on."""
        bins = self.bins
        if to_y:
            for position in range(bisect_left(bins, (self.active_id + 1,)) - 1, -1, -1):
                if bins[position].amount_y:
                    yield position
        else:
            for position in range(bisect_left(bins, (self.active_id,)), len(bins)):
                if bins[position].amount_x:
                    yield position

    def _sum(self, steps: list[Step]) -> Fill:
        amount_in = amount_out = net_in = gross_out = fees = protocol_fee = 0
        for _, _, part in steps:
            amount_in += part.amount_in
            amount_out += part.amount_out
            net_in += part.net_in
            gross_out += part.gross_out
            fees += part.fee
            # If an atom is all fee, the program leaves nothing of it to the providers.
            share = self.parameters.protocol_share if part.net_in else BPS
            protocol_fee += part.fee * share // BPS
        fill = Fill(
            *(amount_in, amount_out, net_in, gross_out, fees - protocol_fee, protocol_fee),
            rounding=amount_in - net_in + gross_out - amount_out - fees,
        )
        if amount_out == 0:
            raise ZeroOutput(fill)
        if amount_in > MAX_U64:
            raise AmountTooLarge
        return fill

    def _after(
        self, fill: Fill, steps: list[Step], direction: Direction, now: int
    ) -> "LiquidityBinPool":
        to_y = direction is Direction.X_TO_Y
        fees_in_x = self.fee_is_on_input(direction) is to_y
        start = self.volatility.at(now, self.active_id, self.parameters)
        active_id = self.bins[steps[-1].position].id
        left_its_bin = active_id != self.active_id
        return LiquidityBinPool(  # not `_replace`, which takes as long as a swap
            parameters=self.parameters,
            enabled=self.enabled,
            active_id=active_id,
            volatility=Volatility(
                accumulator=steps[-1].accumulator,
                reference=start.reference,
                index_reference=start.index_reference,
                last_update=now if left_its_bin else start.last_update,
            ),
            bins=self._bins_after(steps, to_y),
            protocol_fees_x=self.protocol_fees_x + fill.protocol_fee * fees_in_x,
            protocol_fees_y=self.protocol_fees_y + fill.protocol_fee * (not fees_in_x),
            lp_fees_x=self.lp_fees_x + fill.lp_fee * fees_in_x,
            lp_fees_y=self.lp_fees_y + fill.lp_fee * (not fees_in_x),
            rounding_x=self.rounding_x + fill.rounding * (not to_y),
            rounding_y=self.rounding_y + fill.rounding * to_y,
        )

    def _bins_after(self, steps: list[Step], to_y: bool) -> tuple[Bin, ...]:
        bins = list(self.bins)
        for position, _, fill in steps:
            bin_id, amount_x, amount_y = bins[position]
            if to_y:
                after = Bin(bin_id, amount_x + fill.net_in, amount_y - fill.gross_out)
            else:
                after = Bin(bin_id, amount_x - fill.gross_out, amount_y + fill.net_in)
            if max(after.amount_x, after.amount_y) > MAX_U64:
                raise AmountTooLarge
            bins[position] = after
        return tuple(bins)
