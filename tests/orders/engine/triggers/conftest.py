"""An evaluator on pools and prices of the test's own."""

from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from config.runtime.postgres import Link
from orders.engine.journal import Journal
from orders.engine.triggers.evaluator import Evaluator
from routing.venues import Exchange
from tests.orders.engine.triggers.support import Desk, deep_venue
from tests.support.database import Database
from tests.support.stubs import ScriptedNetwork

MakeEvaluator = Callable[..., Evaluator]


@pytest_asyncio.fixture
async def make_evaluator(engine_loop: None, database_conninfo: str) -> AsyncIterator[MakeEvaluator]:
    """More evaluators than one, as if of other schedulers."""
    made: list[Evaluator] = []

    def make(*venues: object) -> Evaluator:
        exchange = Exchange(venues or (deep_venue(),), ScriptedNetwork())  # type: ignore[arg-type]
        made.append(Evaluator(exchange, Link(database_conninfo, "a test's triggers")))
        return made[-1]

    yield make
    for evaluator in made:
        await evaluator.close()


@pytest.fixture
def evaluator(make_evaluator: MakeEvaluator) -> Evaluator:
    return make_evaluator()


@pytest.fixture
def desk(journal: Journal, database: Database, evaluator: Evaluator) -> Desk:
    return Desk(journal, database, evaluator)
