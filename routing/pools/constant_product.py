"""Raydium's CPMM (program cp-swap): x * y = k, with the fees outside the curve.

Formulas, roundings and failures are those of the program's curve/calculator.rs and curve/fees.rs.
docs/pools.md has them in short.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from routing.pools.pool import (
    MAX_U64,
    MAX_U128,
    AmountTooLarge,
    Direction,
    Fill,
    NextAtom,
    OutOfRange,
    PoolDisabled,
    Spot,
    ZeroOutput,
)

MILLION = 1_000_000


class CreatorFeeOn(IntEnum):
    """The token in which the creator's fee is taken, by the program's numbers."""

    INPUT = 0
    X = 1
    Y = 2


@dataclass(frozen=True, slots=True)
class FeeRates:
    """In millionths: trade and creator of an amount, protocol and fund of the trade fee."""

    trade: int
    protocol: int
    fund: int
    creator: int = 0
    """0 in a pool that pays its creator nothing."""
    creator_fee_on: CreatorFeeOn = CreatorFeeOn.INPUT


class ConstantProductPool(NamedTuple):
    """The fees owed to protocol, fund and creator lie in the vaults but are not traded with."""

    vault_x: int
    vault_y: int
    rates: FeeRates
    protocol_fees_x: int = 0
    protocol_fees_y: int = 0
    fund_fees_x: int = 0
    fund_fees_y: int = 0
    creator_fees_x: int = 0
    creator_fees_y: int = 0
    enabled: bool = True

    @property
    def reserve_x(self) -> int:
        return self.vault_x - self.protocol_fees_x - self.fund_fees_x - self.creator_fees_x

    @property
    def reserve_y(self) -> int:
        return self.vault_y - self.protocol_fees_y - self.fund_fees_y - self.creator_fees_y

    def spot(self, direction: Direction) -> Spot:
        x, y = self.reserve_x, self.reserve_y
        return Spot(y, x) if direction is Direction.X_TO_Y else Spot(x, y)

    def next_atom(self, direction: Direction, now: int = 0) -> NextAtom:
        """Return the price of the next atom, exactly: no amount is rounded.

        :raises SwapRefused: the pool trades nothing in this direction.
        """
        reserve_in, reserve_out = self._reserves(direction)
        if reserve_in <= 0 or reserve_out <= 0:
            raise OutOfRange
        rates = self.rates
        left = MILLION - rates.trade
        if self._creator_fee_is_on_input(direction):
            left = (left - rates.creator) * MILLION
        else:
            left *= MILLION - rates.creator
        net = Spot(reserve_out * left, reserve_in * MILLION * MILLION)
        return NextAtom(Spot(reserve_out, reserve_in), net)

    def quote_exact_in(self, amount_in: int, direction: Direction, now: int = 0) -> Fill:
        """Return what `amount_in` atoms buy.

        :raises SwapRefused: the program would fail.
        """
        reserve_in, reserve_out = self._reserves(direction)
        rates = self.rates
        on_input = self._creator_fee_is_on_input(direction)
        fee_in = _fee(amount_in, rates.trade + rates.creator if on_input else rates.trade)
        net_in = _u128(amount_in - fee_in)
        gross_out = _quotient(net_in * reserve_out, reserve_in + net_in)
        creator_fee = _creators_part(fee_in, rates) if on_input else _fee(gross_out, rates.creator)
        amount_out = gross_out if on_input else _u128(gross_out - creator_fee)
        return self._fill(amount_in, amount_out, net_in, gross_out, creator_fee, on_input)

    def quote_exact_out(self, amount_out: int, direction: Direction, now: int = 0) -> Fill:
        """Return what `amount_out` atoms cost.

        :raises SwapRefused: the program would fail.
        """
        reserve_in, reserve_out = self._reserves(direction)
        rates = self.rates
        on_input = self._creator_fee_is_on_input(direction)
        gross_out = amount_out if on_input else _before_fee(amount_out, rates.creator)
        net_in = _quotient_up(reserve_in * gross_out, reserve_out - gross_out)
        amount_in = _before_fee(net_in, rates.trade + rates.creator if on_input else rates.trade)
        creator_fee = (
            _creators_part(amount_in - net_in, rates) if on_input else gross_out - amount_out
        )
        return self._fill(amount_in, amount_out, net_in, gross_out, creator_fee, on_input)

    def swap_exact_in(
        self, amount_in: int, direction: Direction, now: int = 0
    ) -> tuple[Fill, "ConstantProductPool"]:
        """Return what `amount_in` atoms buy, and the pool afterwards.

        :raises SwapRefused: the program would fail.
        """
        fill = self.quote_exact_in(amount_in, direction)
        return fill, self._after(fill, direction)

    def swap_exact_out(
        self, amount_out: int, direction: Direction, now: int = 0
    ) -> tuple[Fill, "ConstantProductPool"]:
        """Return what `amount_out` atoms cost, and the pool afterwards.

        :raises SwapRefused: the program would fail.
        """
        fill = self.quote_exact_out(amount_out, direction)
        return fill, self._after(fill, direction)

    def _reserves(self, direction: Direction) -> tuple[int, int]:
        """Return the reserves of the input and of the output token.

        :raises PoolDisabled: the pool is closed for swaps.
        """
        if not self.enabled:
            raise PoolDisabled
        if direction is Direction.X_TO_Y:
            return self.reserve_x, self.reserve_y
        return self.reserve_y, self.reserve_x

    def _creator_fee_is_on_input(self, direction: Direction) -> bool:
        fee_on = self.rates.creator_fee_on
        if fee_on is CreatorFeeOn.INPUT:
            return True
        return (fee_on is CreatorFeeOn.X) is (direction is Direction.X_TO_Y)

    def _fill(
        self,
        amount_in: int,
        amount_out: int,
        net_in: int,
        gross_out: int,
        creator_fee: int,
        creator_fee_is_on_input: bool,
    ) -> Fill:
        """Split the trade fee, and make the checks that the program makes last."""
        trade_fee = amount_in - net_in - (creator_fee if creator_fee_is_on_input else 0)
        protocol_fee = _u128(trade_fee * self.rates.protocol) // MILLION
        fund_fee = _u128(trade_fee * self.rates.fund) // MILLION
        lp_fee = trade_fee - protocol_fee - fund_fee
        fill = Fill(
            *(amount_in, amount_out, net_in, gross_out),
            *(lp_fee, protocol_fee, fund_fee, creator_fee),
        )
        if amount_in > MAX_U64:
            raise AmountTooLarge
        if not amount_in or not amount_out:
            raise ZeroOutput(fill)
        return fill

    def _after(self, fill: Fill, direction: Direction) -> "ConstantProductPool":
        on_input = self._creator_fee_is_on_input(direction)
        into_x = direction is Direction.X_TO_Y
        moved_x, moved_y = fill.amount_in, -fill.amount_out
        if not into_x:
            moved_x, moved_y = moved_y, moved_x
        after = ConstantProductPool(
            rates=self.rates,
            enabled=self.enabled,
            vault_x=self.vault_x + moved_x,
            vault_y=self.vault_y + moved_y,
            protocol_fees_x=self.protocol_fees_x + fill.protocol_fee * into_x,
            protocol_fees_y=self.protocol_fees_y + fill.protocol_fee * (not into_x),
            fund_fees_x=self.fund_fees_x + fill.fund_fee * into_x,
            fund_fees_y=self.fund_fees_y + fill.fund_fee * (not into_x),
            creator_fees_x=self.creator_fees_x + fill.creator_fee * (on_input is into_x),
            creator_fees_y=self.creator_fees_y + fill.creator_fee * (on_input is not into_x),
        )
        if max(after.vault_x, after.vault_y) > MAX_U64:
            raise AmountTooLarge
        return after


def _fee(amount: int, rate: int) -> int:
    """Return ceil(amount * rate)."""
    return (_u128(amount * rate) + MILLION - 1) // MILLION


def _before_fee(amount: int, rate: int) -> int:
    """Return the least amount that leaves `amount` after a fee of `rate`."""
    return _quotient_up(amount * MILLION, MILLION - rate) if rate else amount


def _creators_part(fee: int, rates: FeeRates) -> int:
    """Return the creator's part of a fee that was taken at both rates together."""
    return _quotient(fee * rates.creator, rates.trade + rates.creator)


def _quotient(number: int, divisor: int) -> int:
    if divisor <= 0:
        raise OutOfRange
    return _u128(number) // divisor


def _quotient_up(number: int, divisor: int) -> int:
    if divisor <= 0:
        raise OutOfRange
    return (_u128(number + divisor) - 1) // divisor


def _u128(number: int) -> int:
    """:raises OutOfRange: the program's unsigned 128 bits do not hold this number."""
    if not 0 <= number <= MAX_U128:
        raise OutOfRange
    return number
