"""A pool of tokens whose mint takes a part of each transfer (Token-2022's transfer fee)."""

from typing import NamedTuple

from routing.pools.pool import (
    MAX_U64,
    AmountTooLarge,
    Direction,
    Fill,
    NextAtom,
    Pool,
    Spot,
    ZeroOutput,
)

BPS = 10_000


class TransferFee(NamedTuple):
    """What a mint takes of each transfer: a part in bps, at most `most` atoms."""

    bps: int
    most: int

    def of(self, amount: int) -> int:
        """Return what is taken when `amount` is sent."""
        return min(-(-amount * self.bps // BPS), self.most)

    def beside(self, received: int) -> int:
        """Return what is taken when so much is sent that `received` arrives."""
        if not received:
            return 0
        if self.bps >= BPS:
            return self.most
        sent = -(-received * BPS // (BPS - self.bps))
        return self.most if sent - received >= self.most else self.of(sent)


FREE = TransferFee(0, 0)


class PoolWithTransferFees(NamedTuple):
    """A fill's amounts are the trader's: what is paid in all, and what arrives.

    `net_in` and `gross_out` are the pool's own. What the mints take is, as the pool's fees are, a
    part of the differences.
    """

    pool: Pool
    fee_x: TransferFee = FREE
    fee_y: TransferFee = FREE

    @property
    def vault_x(self) -> int:
        return self.pool.vault_x

    @property
    def vault_y(self) -> int:
        return self.pool.vault_y

    def spot(self, direction: Direction) -> Spot:
        return self.pool.spot(direction)

    def next_atom(self, direction: Direction, now: int) -> NextAtom:
        """Return the price of the next atom, before all fees and with them.

        :raises SwapRefused: the pool trades nothing in this direction.
        """
        fee_in, fee_out = self._fees(direction)
        spot, net = self.pool.next_atom(direction, now)
        left = (BPS - _rate(fee_in)) * (BPS - _rate(fee_out))
        return NextAtom(spot, Spot(net.atoms_out * left, net.atoms_in * BPS * BPS))

    def quote_exact_in(self, amount_in: int, direction: Direction, now: int) -> Fill:
        """Return what arrives for `amount_in` atoms.

        :raises SwapRefused: the program would fail.
        """
        arriving = amount_in - self._fees(direction)[0].of(amount_in)
        fill = self.pool.quote_exact_in(arriving, direction, now)
        return self._of_trader(fill, direction, amount_in)

    def quote_exact_out(self, amount_out: int, direction: Direction, now: int) -> Fill:
        """Return what it costs to have `amount_out` atoms arrive.

        :raises SwapRefused: the program would fail.
        """
        fill = self.pool.quote_exact_out(self._leaving(amount_out, direction), direction, now)
        return self._of_trader(fill, direction, amount_out=amount_out)

    def swap_exact_in(
        self, amount_in: int, direction: Direction, now: int
    ) -> tuple[Fill, "PoolWithTransferFees"]:
        """Return what arrives for `amount_in` atoms, and the pool afterwards.

        :raises SwapRefused: the program would fail.
        """
        arriving = amount_in - self._fees(direction)[0].of(amount_in)
        fill, after = self.pool.swap_exact_in(arriving, direction, now)
        return self._of_trader(fill, direction, amount_in), self._replace(pool=after)

    def swap_exact_out(
        self, amount_out: int, direction: Direction, now: int
    ) -> tuple[Fill, "PoolWithTransferFees"]:
        """Return what it costs to have `amount_out` atoms arrive, and the pool afterwards.

        :raises SwapRefused: the program would fail.
        """
        leaving = self._leaving(amount_out, direction)
        fill, after = self.pool.swap_exact_out(leaving, direction, now)
        return self._of_trader(fill, direction, amount_out=amount_out), self._replace(pool=after)

    def _fees(self, direction: Direction) -> tuple[TransferFee, TransferFee]:
        """Return the fees on what goes in and on what comes out."""
        if direction is Direction.X_TO_Y:
            return self.fee_x, self.fee_y
        return self.fee_y, self.fee_x

    def _leaving(self, amount_out: int, direction: Direction) -> int:
        return amount_out + self._fees(direction)[1].beside(amount_out)

    def _of_trader(
        self,
        fill: Fill,
        direction: Direction,
        amount_in: int | None = None,
        amount_out: int | None = None,
    ) -> Fill:
        """Return the pool's fill with the trader's amounts; the given one is what was asked."""
        fee_in, fee_out = self._fees(direction)
        if amount_in is None:
            amount_in = fill.amount_in + fee_in.beside(fill.amount_in)
        if amount_out is None:
            amount_out = fill.amount_out - fee_out.of(fill.amount_out)
        if amount_in > MAX_U64:
            raise AmountTooLarge
        if not amount_out:
            raise ZeroOutput
        return fill._replace(amount_in=amount_in, amount_out=amount_out)


def _rate(fee: TransferFee) -> int:
    """Return the fee's part of a small amount, in bps."""
    return fee.bps if fee.most else 0
