"""Transactions that land together, one after the other, on pools that this process has locked."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import orjson

from routing.simulation.arbitrage import Arbitrage
from routing.simulation.landing import Outcome, execute
from routing.simulation.pool import PoolKey, SimulatedPool
from routing.simulation.transaction import Instruction

NETWORK_FEE = 5_000
"""What the network takes for a transaction, in lamports."""
"""Lamports that a transaction with one signature costs, even if it lands with an error."""

AWAITED = Outcome()


class Entry(NamedTuple):
    """A transaction to record, with the outcome of chance for it."""

    signature: str
    payload: str
    instruction: Instruction
    expires_at_height: int
    latency: float | None
    """Seconds until it lands; None: it never lands."""
    must_land: bool = False
    """Whether it lands just before its expiry if the latency would take it beyond that."""
    rejection: str = ""
    """The code with which it lands in any case; empty: the pools decide."""

    @property
    def lands_at_once(self) -> bool:
        return self.latency is not None and self.latency <= 0 and not self.rejection

    @property
    def pools(self) -> set[PoolKey]:
        return self.instruction.pools


class Arrival(NamedTuple):
    """A recorded transaction whose time to land has come."""

    signature: str
    lands_at: float
    instruction: Instruction


class Batch:
    """Works out the outcomes of transactions, and the rows to write. A pool is written once.

    `locked` are the keys of the pools that no other process moves meanwhile. `pools` are those of
    them that exist. `now` is the unix time in seconds.
    """

    def __init__(
        self,
        arbitrage: Arbitrage,
        locked: set[PoolKey],
        pools: Iterable[SimulatedPool],
        now: float,
        block_seconds: float,
    ) -> None:
        self._arbitrage = arbitrage
        self._locked = locked
        self._pools = {pool.key: pool for pool in pools}
        self._versions = {pool.key: pool.version for pool in self._pools.values()}
        self._now = now
        self._block_seconds = block_seconds
        self._touched: set[PoolKey] = set()
        self._settled: list[dict[str, Any]] = []
        self._recorded: list[dict[str, Any]] = []

    def settle(self, arrival: Arrival) -> None:
        """Land a recorded transaction, unless one of its pools is not locked."""
        if arrival.instruction.pools <= self._locked:
            outcome = self._execute(arrival.instruction, arrival.lands_at)
            self._settled.append({"signature": arrival.signature, **_columns(outcome)})

    def record(self, entry: Entry) -> None:
        """Take a transaction, and land it if it has no latency. An expired one is not taken."""
        if self._height_at(self._now) > entry.expires_at_height:
            return
        outcome = Outcome(rejection=entry.rejection)
        if entry.lands_at_once:
            outcome = self._execute(entry.instruction, self._now)
        row = {
            "signature": entry.signature,
            "expires_at_height": entry.expires_at_height,
            "lands_at": self._now if entry.lands_at_once else self._lands_at(entry),
            "payload": entry.payload if outcome == AWAITED else "",
        }
        self._recorded.append(row | _columns(outcome))

    @property
    def moved(self) -> list[SimulatedPool]:
        """The pools to store, each as its next version."""
        return [
            self._pools[key]._replace(version=self._versions[key] + 1)
            for key in sorted(self._touched)
        ]

    @property
    def changes(self) -> int:
        """How many rows will be written."""
        return len(self._recorded) + len(self._settled) + len(self._touched)

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of the statements that write all of it.

        `known` are the versions of all pools that were used.
        """
        pools = [
            pool.key._asdict() | {"state": pool.state(), "tick": pool.tick, "version": pool.version}
            for pool in self.moved
        ]
        known = [key._asdict() | {"version": number} for key, number in self._versions.items()]
        return {
            "now": self._now,
            "block_seconds": self._block_seconds,
            "known": orjson.dumps(known).decode(),
            "entries": orjson.dumps(self._recorded).decode(),
            "settled": orjson.dumps(self._settled).decode(),
            "pools": orjson.dumps(pools).decode(),
        }

    def new_rows(self) -> Iterator[tuple[Any, ...]]:
        """Yield for each new row: signature, whether it landed, its outcome, what still lands."""
        for row in self._recorded:
            has_landed = row["lands_at"] is not None and row["lands_at"] <= self._now
            outcome = row["amount_in"], row["amount_out"], row["rejection"]
            yield row["signature"], has_landed, *outcome, row["network_fee"], row["payload"] or None

    def _execute(self, instruction: Instruction, lands_at: float) -> Outcome:
        pools = self._pools
        keys = instruction.pools & pools.keys()
        # A landing that is settled late meets pools that may already be further than its second.
        tick = max([int(lands_at), *(pools[key].tick for key in keys)])
        for key in keys:
            pools[key] = self._arbitrage.pool_at(pools[key], tick)
        outcome, moved = execute(instruction, pools, tick)
        pools.update(moved)
        self._touched.update(moved)
        return outcome

    def _lands_at(self, entry: Entry) -> float | None:
        if entry.latency is None:
            return None
        lands_at = self._now + entry.latency
        if entry.must_land:
            lands_at = min(lands_at, (entry.expires_at_height + 0.5) * self._block_seconds)
        return lands_at if self._height_at(lands_at) <= entry.expires_at_height else None

    def _height_at(self, epoch: float) -> int:
        return int(epoch // self._block_seconds)


def _columns(outcome: Outcome) -> dict[str, Any]:
    return {
        "amount_in": outcome.amount_in,
        "amount_out": outcome.amount_out,
        "rejection": outcome.rejection,
        "network_fee": None if outcome == AWAITED else NETWORK_FEE,
    }
