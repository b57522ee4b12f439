"""Compares fills with what our mathematics says of the pools as they were when they were quoted.

Programs are upgraded, and our mathematics does not hear of it. A pool that no other swap
has touched since has to pay exactly what was calculated.
"""

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from routing.pools.pool import Direction, Fill, Pool, SwapRefused
from routing.pools.transfer_fees import PoolWithTransferFees
from routing.solana.reading.known import venue_of
from routing.solana.reading.seen_pools import SeenPool, Vault
from routing.solana.records.record import Record
from routing.solana.swap_amounts import SwapAmounts

MOST_REMEMBERED = 1_000
CLOCK_SECONDS = (0, -1, 1)
"""A block's time as nodes tell it may be off its program's clock by a second."""

logger = logging.getLogger(__name__)

Tell = Callable[[str, str], None]
"""Takes a venue, and how one of its fills differs."""


class Promised(NamedTuple):
    """A swap of a transaction, and its pool as it was when the swap was calculated."""

    pool: SeenPool
    amounts: SwapAmounts
    direction: Direction


class Agreement:
    """Remembers what this process has built, until it is known what became of it."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._promised: dict[str, Sequence[Promised]] = {}

    def remember(self, signature: str, promised: Sequence[Promised]) -> None:
        """Take note of a transaction before it is sent."""
        while len(self._promised) >= MOST_REMEMBERED:
            del self._promised[next(iter(self._promised))]
        self._promised[signature] = promised

    def landed(self, signature: str, record: Record, block_time: int | None) -> None:
        """Compare a transaction that succeeded. One that another process built is passed over."""
        for one in self._promised.pop(signature, ()):
            why = difference(one, record, block_time)
            if why is not None:
                self._tell(venue_of(one.pool), f"{signature}: {why}")


def difference(promised: Promised, record: Record, block_time: int | None) -> str | None:
    """Return how the fill differs from what was calculated.

    None: it does not, the pool had moved before, or a mint took a part on the way.
    """
    moved = _moved(promised, record)
    if moved is None or isinstance(promised.pool.pool, PoolWithTransferFees):
        return None
    now = promised.pool.clock.unix_time if block_time is None else block_time
    expected = [_fill(promised, now + seconds) for seconds in CLOCK_SECONDS]
    if any(fill and (fill.amount_in, fill.amount_out) == moved for fill in expected):
        return None
    fill = expected[0]
    said = f"{fill.amount_out} for {fill.amount_in}" if fill else "nothing"
    return (
        f"the pool {promised.pool.address} paid {moved[1]} for {moved[0]} atoms instead of {said}"
    )


def _moved(promised: Promised, record: Record) -> tuple[int, int] | None:
    """Return what the pool took and paid; None if it was not as it had been seen."""
    vaults = promised.pool.vaults
    into, out_of = vaults if promised.direction is Direction.X_TO_Y else reversed(vaults)
    taken, paid = _change(into, record), _change(out_of, record)
    return None if taken is None or paid is None else (taken, -paid)


def _change(vault: Vault, record: Record) -> int | None:
    for one in record.tokens:
        if record.accounts[one.place] == vault.address:
            return one.moved if one.before == vault.held else None
    return None


def _fill(promised: Promised, now: int) -> Fill | None:
    pool: Pool = promised.pool.pool
    amounts, direction = promised.amounts, promised.direction
    try:
        if amounts.is_exact_in:
            return pool.quote_exact_in(amounts.amount_in, direction, now)
        return pool.quote_exact_out(amounts.amount_out, direction, now)
    except SwapRefused:
        return None
