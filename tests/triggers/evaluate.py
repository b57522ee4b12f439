"""One evaluator of the run, in a process of its own: it is killed at any moment."""

import asyncio

import psycopg

from config.database.conninfo import conninfo
from config.runtime.postgres import Link
from orders.engine.triggers.evaluator import Evaluator
from routing.venues import Exchange
from tests.support.stubs import ScriptedNetwork

PAUSE = 0.01
LAST = "SELECT coalesce(max(tick), 0) FROM price_ticks"


async def evaluate_for_ever() -> None:
    """Evaluate what there is. No venue shows pools: what becomes a limit order rests."""
    ticks = Link(conninfo(), "ticks")
    evaluator = Evaluator(Exchange((), ScriptedNetwork()), Link(conninfo(), "triggers"))
    while True:
        try:
            ((last,),) = await ticks.fetch(LAST, ())
            await evaluator.evaluate(last)
        except (psycopg.Error, OSError):
            await asyncio.sleep(10 * PAUSE)
        await asyncio.sleep(PAUSE)
