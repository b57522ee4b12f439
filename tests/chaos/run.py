"""One run: the engine, its clients, the faults at their times, the drain, and the verdict."""

import asyncio
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from tests.chaos.bot import Bot, bot_beside
from tests.chaos.clients import Clients
from tests.chaos.kinds import DEEDS, kinds_without
from tests.chaos.plan import Fault, Options, errands_of, faults_of
from tests.chaos.resting import Snapshots
from tests.chaos.stack import Stack, running
from tests.chaos.streams import Readers
from tests.chaos.verdict import Done, Verdict, judge
from tests.support.accounts import make_account
from tests.support.engine import PATIENCE

UNDONE_WITHIN = (
    60.0  # seconds without the end of any fault, after which those under way have failed
)
NO_LONGER = 20  # times the drain's seconds, however much still moves
PROGRESS = """
SELECT count(*) FILTER (WHERE finished_at IS NULL), coalesce(sum(seq), 0) FROM orders
"""
BREAK_THE_WALL = """
DROP TRIGGER orders_transitions ON orders;
ALTER TABLE orders DROP CONSTRAINT IF EXISTS order_transactions_one_may_land;
DROP INDEX IF EXISTS order_transactions_one_may_land;
"""


async def run(options: Options, logs: Path) -> tuple[Verdict, list[str]]:
    """Return the verdict, and the evidence of what is broken; the processes' logs are in `logs`."""
    faults = faults_of(options, kinds_without(options.without))
    kinds = {fault.kind for fault in faults}
    async with running(options, logs, kinds) as stack:
        if "constraints" in options.without:
            with psycopg.connect(stack.database, autocommit=True) as connection:
                connection.execute(BREAK_THE_WALL)
        account = make_account(stack.database)
        clients = Clients(stack.port, account, options.patience)
        others = [make_account(stack.database) for _ in range(options.accounts)]
        readers = Readers(stack.port, account, others)
        keeping = asyncio.create_task(stack.keep_running())
        snapshots = Snapshots()
        looking = asyncio.create_task(snapshots.look(stack))
        try:
            await _until_web_answers(stack)
            await readers.start()
            trading = asyncio.create_task(readers.trade(options.seconds))
            async with bot_beside(stack, options, logs) as bot:
                done, drain_seconds = await _load_and_break(
                    stack, clients, options, faults, logs, bot
                )
            await trading
            await readers.until_told(stack.database, options.drain)
        finally:
            await clients.stop()
            await readers.stop()
            keeping.cancel()
            looking.cancel()
        told = await readers.report(stack.database)
        return judge(options, stack, clients, drain_seconds, logs, done, snapshots, told, bot)


async def _load_and_break(
    stack: Stack,
    clients: Clients,
    options: Options,
    faults: Sequence[Fault],
    logs: Path,
    bot: Bot | None,
) -> tuple[list[Done], float | None]:
    sending = asyncio.create_task(clients.run(errands_of(options)))
    try:
        done, _ = await asyncio.gather(
            Breaking(stack, logs).run(faults), asyncio.sleep(options.seconds)
        )
        if bot is not None:
            await bot.settle()
            clients.answered += bot.order_ids
        drain_seconds = await _drain(stack, clients, sending, options.drain)
        if sending.done():
            sending.result()
    finally:
        sending.cancel()
        await asyncio.wait([sending])
    return done, drain_seconds


async def _until_web_answers(stack: Stack) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", stack.port)
                writer.write(
                    b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
                )
                answer = await reader.read()
                writer.close()
            except OSError:
                answer = b""
            if b" 200 " in answer[:20]:
                return
            await asyncio.sleep(0.1)


class Breaking:
    """Does faults. Many wait for their turn, so that the time of one is not its own alone."""

    def __init__(self, stack: Stack, logs: Path) -> None:
        self._stack = stack
        self._log = logs / "faults.log"
        self._clock = asyncio.get_running_loop().time
        self._start = self._clock()
        self._patience: set[asyncio.Timeout] = set()
        self._done: list[Done] = []

    async def run(self, faults: Sequence[Fault]) -> list[Done]:
        """Do every fault at its time; when all are undone, return those that could be done."""
        async with asyncio.TaskGroup() as group:
            for fault in faults:
                await asyncio.sleep(self._start + fault.at - self._clock())
                group.create_task(self._do(fault))
        return self._done

    async def _do(self, fault: Fault) -> None:
        begun = self._clock() - self._start
        outcome = "done"
        try:
            async with asyncio.timeout(UNDONE_WITHIN) as patience:
                self._patience.add(patience)
                try:
                    await DEEDS[fault.kind](self._stack, fault)
                finally:
                    self._patience.discard(patience)
            self._done.append(Done(fault.kind, datetime.now(UTC)))
        except Exception:  # noqa: BLE001  # the run goes on: a fault that fails is no fault of the engine
            outcome = traceback.format_exc()
        for other in self._patience:
            if not other.expired():
                other.reschedule(self._clock() + UNDONE_WITHIN)
        with self._log.open("a") as log:
            log.write(f"{begun:.2f}-{self._clock() - self._start:.2f} {fault}: {outcome}\n")


async def _drain(
    stack: Stack, clients: Clients, sending: "asyncio.Task[None]", seconds: float
) -> float | None:
    """Return how long it took until every order and every stream had ended.

    It is counted from the last fault and the last 201. None: some had not ended, or were not even
    answered, and nothing had moved for so many seconds.
    """
    clock = asyncio.get_running_loop().time
    begun = start = moved_at = clock()
    before: tuple[int, ...] = ()
    while clock() - moved_at < seconds and clock() - begun < seconds * NO_LONGER:
        if not sending.done():
            start = clock()
        still_open, moves = await _progress(stack)
        told = sum(len(follower.messages) for follower in clients.followers)
        if sending.done() and not still_open and clients.have_ended:
            return round(clock() - start, 1)
        if (moves, told, len(clients.answered)) != before:
            before, moved_at = (moves, told, len(clients.answered)), clock()
        await asyncio.sleep(0.1)
    return None


async def _progress(stack: Stack) -> tuple[int, int]:
    """Return how many orders are open, and a number that grows with every move of any order."""
    async with await psycopg.AsyncConnection.connect(stack.database) as connection:
        row = await (await connection.execute(PROGRESS)).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])
