"""The commands read their arguments as the API reads an order."""

import io
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.core.management.base import OutputWrapper
from django.db import InternalError, OperationalError, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import override_settings

from config.runtime import group_commit
from config.runtime.rate import Rate
from orders.engine.journal import Journal
from orders.events import Event
from orders.lifecycle import Status
from orders.management import order_watch
from orders.management.commands.status import lines
from orders.monitoring.engine_status import EngineStatus, read_engine_status
from orders.monitoring.verdict import WELL
from tests.support.client import count_stored, get, submit
from tests.support.walker import Walker, confirm


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (("sell", "-1", "SOL/USDC"), "amount"),
        (("sell", "x", "SOL/USDC"), "amount"),
        (("sell", "0", "SOL/USDC", "--in"), "amountIn"),
        (("buy", "1", "SOL/USDC"), "amount"),
        (("buy", "0", "SOL/USDC", "--out"), "amountOut"),
        (("hold", "1", "SOL/USDC"), "side"),
        (("sell", "1", "SOL"), "market"),
        (("sel", "1.5", "SOLUSDC"), "side"),
        (("sell", "1", "SOL/WSOL"), "baseToken"),
        (("sell", "1", "SOL/USDC", "--slippage-bps", "5001"), "slippageBps"),
        (("sell", "0.0000000001", "SOL/USDC"), "amount"),
        (("sell", "1", "SOL/USDC", "--venue", "orca"), "venues"),
        (("sell", "1", "SOL/USDC", "--exclude-venue", "orca"), "excludeVenues"),
        (("sell", "1", "SOL/USDC", "--venue=raydium", "--exclude-venue=raydium"), "excludeVenues"),
        (("sell", "1", "SOL/USDC", "--max-price-impact-bps", "10001"), "maxPriceImpactBps"),
    ],
)
@pytest.mark.usefixtures("transactional_db")
def test_bad_input_is_named_and_nothing_is_stored(arguments: tuple[str, ...], field: str) -> None:
    written = io.StringIO()
    with pytest.raises(CommandError, match=field) as refused:
        call_command("place_order", *arguments, "--json", stdout=written)

    assert refused.value.returncode == 2
    problem = json.loads(written.getvalue())
    assert (problem["error"], problem["errors"][0]["field"]) == ("invalid_order", field)
    assert count_stored() == 0


@pytest.mark.usefixtures("engine_loop")
async def test_the_standing_counts_what_waits_and_what_was_begun() -> None:
    waiting, begun, _ = await submit(), await submit(), await confirm(await submit())
    await Walker(begun).walk(Status.ROUTING)
    found = await sync_to_async(standing_now)()

    assert (found.waiting, found.in_flight) == (1, 1)
    assert found.oldest_waiting is not None
    created_at = (await get(f"/api/orders/{waiting}")).json["createdAt"]
    age = (datetime.now(UTC) - datetime.fromisoformat(created_at)).total_seconds()
    assert 0 <= found.oldest_waiting <= age
    counts = {status: count for status, count in found.last_hour.items() if count}
    assert counts == {"pending": 1, "routing": 1, "confirmed": 1}
    assert "waiting     1, the oldest for" in "\n".join(lines(found, WELL))


@pytest.mark.usefixtures("engine_loop")
async def test_the_standing_counts_no_further_than_its_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("orders.monitoring.engine_status.MOST_COUNTED", 2)
    for _ in range(3):
        await submit()
    for _ in range(3):
        await Walker(await submit()).walk(Status.ROUTING)
    found = await sync_to_async(standing_now)()

    assert (found.waiting, found.in_flight) == (2, 2)
    assert sum(found.last_hour.values()) == 2


@pytest.mark.usefixtures("engine_loop")
async def test_the_standing_tells_what_is_left_of_the_budget() -> None:
    with override_settings(ORDER_RATE_LIMIT=Rate.parse("5/m")):
        for _ in range(3):
            await Walker(await submit()).walk(Status.ROUTING)
        found = await sync_to_async(standing_now)()
        assert found.budget == 2
        assert "budget      2 of 5 starts left in 60 s" in lines(found, WELL)


def standing_now() -> EngineStatus:
    try:
        return read_engine_status()
    finally:
        connection.close()


@pytest.mark.usefixtures("transactional_db")
def test_a_part_that_does_not_answer_is_told_and_makes_the_command_fail() -> None:
    written = io.StringIO()
    with pytest.raises(CommandError, match="worker down") as degraded:
        call_command("status", stdout=written)
    assert degraded.value.returncode == 1
    assert "health      degraded (database ok, redis ok, worker down)" in written.getvalue()


ORDER = ("place_order", "sell", "1", "SOL/USDC")
ORDER_ID = r"[0-9a-f-]{36}"
AWAY = psycopg.OperationalError("the server said nothing")
READ_ONLY = psycopg.errors.ReadOnlySqlTransaction("cannot execute INSERT")


def refused(*arguments: str) -> tuple[CommandError, str]:
    """Return how the command ended, and what it wrote before."""
    written = io.StringIO()
    with pytest.raises(CommandError) as error:
        call_command(*arguments, stdout=written)
    return error.value, written.getvalue()


def accepting(monkeypatch: pytest.MonkeyPatch, error: BaseException, *, stores: bool) -> None:
    """Have the journal store an order or not, and end with this error."""
    accept = Journal.accept_or_begin

    async def accept_and_fail(self: Journal, order: Any) -> Any:
        if stores:
            await accept(self, order)
        raise error

    monkeypatch.setattr(Journal, "accept_or_begin", accept_and_fail)


@pytest.mark.usefixtures("transactional_db")
@pytest.mark.parametrize("stores", [True, False])
def test_an_order_that_may_be_stored_is_named_by_its_id_and_how_to_look_for_it(
    stores: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepting(monkeypatch, group_commit.OutcomeUnknown("no answer"), stores=stores)
    ended, written = refused(*ORDER, "--json")

    assert ended.returncode == 4
    problem = json.loads(written)
    assert problem["error"] == "outcome_unknown"
    assert f"`manage.py watch_order {problem['orderId']}`" in str(ended)
    assert "`manage.py status`" in str(ended)
    assert "Nothing was stored" not in str(ended)
    monkeypatch.undo()
    assert bool(count_stored()) == stores


@pytest.mark.usefixtures("transactional_db")
@pytest.mark.parametrize("error", [AWAY, READ_ONLY])
def test_a_database_that_stores_nothing_is_told_so(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepting(monkeypatch, error, stores=False)
    ended, written = refused(*ORDER)
    assert (ended.returncode, written) == (3, "")
    assert str(ended).startswith("The database does not answer. Nothing was stored. ")
    assert count_stored() == 0


@pytest.mark.usefixtures("transactional_db")
def test_a_stored_order_is_said_to_be_stored_when_its_events_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def follow(order_id: str, after: int = 0) -> Any:
        raise AWAY
        yield

    monkeypatch.setattr(order_watch, "follow", follow)
    ended, written = refused(*ORDER, "--watch")
    assert ended.returncode == 3
    (order_id,) = re.findall(rf"Order ({ORDER_ID}) is stored, and goes on", str(ended))
    assert order_id in written
    assert count_stored() > 0


@pytest.mark.usefixtures("transactional_db")
@pytest.mark.parametrize("stores", [True, False])
def test_a_command_that_is_stopped_says_where_to_look(
    stores: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepting(monkeypatch, KeyboardInterrupt(), stores=stores)
    ended, _ = refused(*ORDER)
    assert ended.returncode == 130
    assert re.search(rf"`manage.py watch_order {ORDER_ID}`", str(ended))
    assert "goes on" not in str(ended)


@pytest.mark.parametrize(
    ("arguments", "known"),
    [
        ((*ORDER, "--account", "ada"), "Nothing was stored."),
        (("create_api_key", "ada"), "No key was made."),
        (("revoke_api_key", "oee_x"), "Revoke it again"),
        (("list_api_keys",), ""),
        (("status",), ""),
    ],
)
def test_a_command_whose_database_is_away_says_so_in_a_sentence(
    arguments: tuple[str, ...], known: str, no_database: None
) -> None:
    ended, written = refused(*arguments)
    assert (ended.returncode, written) == (3, "")
    assert str(ended).startswith(f"The database does not answer. {known}")


@pytest.mark.usefixtures("transactional_db")
def test_a_key_that_may_have_been_made_is_not_said_to_be_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    User.objects.create_user("ada")

    def lose(*_: object) -> None:
        raise InternalError("read-only") from READ_ONLY

    monkeypatch.setattr("orders.management.commands.create_api_key.make_key", lose)
    ended, _ = refused("create_api_key", "ada")
    assert ended.returncode == 3
    assert "If a key was made, nobody knows it" in str(ended)


@pytest.fixture
def no_database(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every statement of Django's fails as if the server were gone."""

    def lose(*_: object, **__: object) -> None:
        raise OperationalError("the server said nothing")

    monkeypatch.setattr(BaseDatabaseWrapper, "cursor", lose)
    yield
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("happened", "message", "said"),
    [
        (None, "Comparing prices", "Comparing prices"),
        ("triggered", "Triggered: the bid reached 95", "Triggered: the bid reached 95"),
        ("returned", "The price moved", "returned: The price moved"),
    ],
)
def test_an_event_says_once_what_happened(happened: str | None, message: str, said: str) -> None:
    event = Event("1", 2, Status.OPEN, 0, message, datetime.now(UTC), {}, happened)
    written = io.StringIO()
    order_watch.Telling(OutputWrapper(written), as_json=False).tell(event)
    assert written.getvalue() == f"  0.000 s  open       {said}\n"
