"""A simulated Solana-like network: sends, lands, rejects, loses and forgets, on demand.

A transaction's landing time and its fault follow only from its signature and the seed. So every
process that sends the same bytes decides the same. The pools decide what it swaps.
"""

import hashlib
import random

import psycopg

from routing.simulation.batch import Entry
from routing.simulation.landing import SLIPPAGE_EXCEEDED
from routing.simulation.ledger import Ledger
from routing.simulation.pools import SimulatedPools
from routing.simulation.settings import Simulation
from routing.simulation.transaction import Instruction, read_instruction
from routing.venue import (
    Absent,
    NetworkUnavailable,
    SignedTransaction,
    TransactionRefused,
    TransactionStatus,
)


class SimulatedNetwork:
    """Keeps the promises of `routing.venue.Network`, in the database `conninfo`."""

    def __init__(self, conninfo: str, simulation: Simulation, pools: SimulatedPools) -> None:
        self._ledger = Ledger(conninfo, simulation.block_seconds, pools)
        self._pools = pools
        self._simulation = simulation
        self._seed = "" if simulation.seed is None else f"{simulation.seed}:"
        self._random = random.Random(
            None if simulation.seed is None else f"{simulation.seed}:network"
        )
        faults = simulation.faults
        self._drop_rate = faults.rate("send_dropped")
        self._reply_lost_rate = faults.rate("reply_lost")
        self._late_rate = faults.rate("landing_late")
        self._moved_rate = faults.rate("price_moved")
        self._expiry_rate = faults.rate("expiry")

    async def send(self, transaction: SignedTransaction) -> TransactionStatus:
        """See `Network.send`."""
        instruction = read_instruction(transaction)
        if self._happens(self._drop_rate):
            status: TransactionStatus = Absent(await self.height())
        else:
            status = await self._record(self._entry(transaction, instruction))
            if self._happens(self._reply_lost_rate):
                raise NetworkUnavailable("the network's answer to a send was lost")
        if isinstance(status, Absent) and status.height > transaction.expires_at_height:
            # This call has not made sure about earlier sends of these bytes: it must prove nothing.
            raise TransactionRefused("the transaction has expired")
        return status

    async def status(self, transaction: SignedTransaction) -> TransactionStatus:
        """See `Network.status`."""
        try:
            return await self._ledger.find(transaction.signature)
        except psycopg.OperationalError as error:
            raise NetworkUnavailable("the network did not answer a lookup") from error

    async def height(self) -> int:
        """See `Network.height`. It is at most 1 s old, and never ahead."""
        try:
            return await self._ledger.height()
        except psycopg.OperationalError as error:
            raise NetworkUnavailable("the network did not tell its height") from error

    async def close(self) -> None:
        await self._ledger.close()
        await self._pools.close()

    async def _record(self, entry: Entry) -> TransactionStatus:
        try:
            return await self._ledger.record(entry)
        except psycopg.OperationalError as error:
            raise NetworkUnavailable("the network did not answer a send") from error

    def _happens(self, rate: float) -> bool:
        return rate > 0 and self._random.random() < rate

    def _entry(self, transaction: SignedTransaction, instruction: Instruction) -> Entry:
        latency, late, moved, never = _draws(self._seed + transaction.signature)
        is_late = late < self._late_rate
        return Entry(
            signature=transaction.signature,
            payload=transaction.payload.decode(),
            instruction=instruction,
            expires_at_height=transaction.expires_at_height,
            latency=None if never < self._expiry_rate else self._latency(latency, is_late),
            must_land=is_late,
            rejection=SLIPPAGE_EXCEEDED if moved < self._moved_rate else "",
        )

    def _latency(self, draw: float, is_late: bool) -> float:
        low, high = self._simulation.landing_latency
        return low + draw * (high - low) + (self._simulation.late_by if is_late else 0)


def _draws(key: str) -> tuple[float, float, float, float]:
    """Return numbers from 0 up to 1 that look random and follow from `key`. It has to be cheap."""
    digest = hashlib.blake2b(key.encode(), digest_size=24).digest()
    one, two, three, four = (
        int.from_bytes(digest[start : start + 6], "big") / 2**48 for start in range(0, 24, 6)
    )
    return one, two, three, four
