"""One run: the engine, its clients, the faults at their times, the drain, and the verdict."""

import asyncio
import traceback
from collections.abc import Sequence
from pathlib import Path

import psycopg

from tests.accounts import make_account
from tests.chaos.clients import Clients
from tests.chaos.kinds import DEEDS, kinds_without
from tests.chaos.plan import Fault, Options, errands_of, faults_of
from tests.chaos.stack import Stack, running
from tests.chaos.verdict import Verdict, judge
from tests.engine import OPEN, PATIENCE

UNDONE_WITHIN = 60.0  # seconds, for a fault, its turn and its repair, on a slow machine too
BREAK_THE_WALL = """
DROP TRIGGER orders_transitions ON orders;
ALTER TABLE orders DROP CONSTRAINT IF EXISTS order_transactions_one_may_land;
DROP INDEX IF EXISTS order_transactions_one_may_land;
"""


async def run(options: Options, logs: Path) -> tuple[Verdict, list[str]]:
    """Return the verdict, and the evidence of what is broken; the processes' logs are in `logs`."""
    faults = faults_of(options, kinds_without(options.without))
    async with running(options, logs) as stack:
        if "constraints" in options.without:
            with psycopg.connect(stack.database, autocommit=True) as connection:
                connection.execute(BREAK_THE_WALL)
        clients = Clients(stack.port, make_account(stack.database))
        keeping = asyncio.create_task(stack.keep_running())
        try:
            await _until_web_answers(stack)
            async with asyncio.TaskGroup() as group:
                group.create_task(clients.run(errands_of(options)))
                breaking = group.create_task(_break(stack, faults, logs))
            drain_seconds = await _drain(stack, clients, options.drain)
        finally:
            await clients.stop()
            keeping.cancel()
        verdict, evidence = judge(options, stack, clients, drain_seconds, logs)
    verdict.faults = breaking.result()
    return verdict, evidence


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


async def _break(stack: Stack, faults: Sequence[Fault], logs: Path) -> int:
    """Do every fault at its time; when all are undone, return how many could be done."""
    clock = asyncio.get_running_loop().time
    start = clock()
    doing: list[asyncio.Task[bool]] = []
    async with asyncio.TaskGroup() as group:
        for fault in faults:
            await asyncio.sleep(start + fault.at - clock())
            doing.append(group.create_task(_do(stack, fault, start, logs)))
    return sum(deed.result() for deed in doing)


async def _do(stack: Stack, fault: Fault, start: float, logs: Path) -> bool:
    clock = asyncio.get_running_loop().time
    begun = clock() - start
    outcome = "done"
    try:
        async with asyncio.timeout(UNDONE_WITHIN):
            await DEEDS[fault.kind](stack, fault)
    except Exception:  # noqa: BLE001  # the run goes on: a fault that fails is no fault of the engine
        outcome = traceback.format_exc()
    with (logs / "faults.log").open("a") as log:
        log.write(f"{begun:.2f}-{clock() - start:.2f} {fault}: {outcome}\n")
    return outcome == "done"


async def _drain(stack: Stack, clients: Clients, seconds: float) -> float | None:
    """Return how long it took until every order and every stream had ended; None: too long."""
    clock = asyncio.get_running_loop().time
    start = clock()
    try:
        async with asyncio.timeout(seconds):
            while await _open_orders(stack):
                await asyncio.sleep(0.1)
            await clients.ended()
    except TimeoutError:
        return None
    return round(clock() - start, 1)


async def _open_orders(stack: Stack) -> int:
    async with await psycopg.AsyncConnection.connect(stack.database) as connection:
        cursor = await connection.execute(OPEN)
        row = await cursor.fetchone()
    return int(row[0]) if row else 0
