"""The exits of a bracket: made with the fill of their entry, for exactly what it paid out."""

from typing import Any

import psycopg
import pytest

from orders.engine import terms_moves
from orders.engine.execution import Execution
from orders.engine.journal import Journal
from orders.terms import minimum
from routing.venue import UnsupportedToken
from tests.orders.engine.test_execution import FaultyVenue, claim
from tests.support.accounts import make_account
from tests.support.database import Database
from tests.support.resting import (
    cancel,
    carry,
    event_names,
    lands,
    last_data,
    order_of_type,
    released,
    watch_of,
)
from tests.support.stubs import exchange_of
from tests.support.venue_stubs import StubVenue

pytestmark = pytest.mark.usefixtures("quick")
TARGET = {"limitPrice": "112"}
PROTECTION = {"triggerPrice": "95"}
BOTH = {"takeProfit": TARGET, "stopLoss": PROTECTION}
EXITS = """
SELECT to_jsonb(o) FROM orders o WHERE parent_id IS NOT NULL
ORDER BY type IN ('limit', 'takeProfit') DESC
"""


async def enter(journal: Journal, kind: str = "market", **changes: Any) -> str:
    """Store an entry that buys SOL with 150 USDC, and return its id."""
    terms = {"market": {"time_in_force": "ioc"}, "limit": {"limit_price": "101"}}[kind]
    buys = {"side": "buy", "amount_in": 150_000_000}
    order = order_of_type(kind, **buys | {"more": BOTH} | terms | changes)
    await journal.accept(order)
    return order.id


async def exits(database: Database) -> list[dict[str, Any]]:
    return [row[0] for row in await database.rows(EXITS)]


async def test_the_exits_of_wrapped_sol_watch_the_prices_of_sol(
    journal: Journal, database: Database
) -> None:
    await enter(journal, base="WSOL")
    await carry(journal, database)

    for one in await exits(database):
        assert one["base"] == "WSOL"
        assert (await watch_of(database, one["id"]))["pair"] == "SOL/USDC"


async def test_the_exits_of_a_bracket_are_for_exactly_what_was_paid_out(
    journal: Journal, database: Database
) -> None:
    entry = await enter(journal)
    await carry(journal, database)

    paid = await database.order(entry, "filled_out")
    target, stop = await exits(database)
    assert [one["amount_in"] for one in (target, stop)] == [paid, paid]
    assert [one["type"] for one in (target, stop)] == ["limit", "stop"]
    assert {(one["side"], one["status"], one["parent_id"]) for one in (target, stop)} == {
        ("sell", "open", entry)
    }
    assert (target["limit_price"], target["slippage_bps"]) == (112, None)
    assert target["min_out"] == -(-paid * 112 // 1000)
    assert (stop["trigger_price"], stop["slippage_bps"]) == (95, 500)
    assert target["group_id"] == stop["group_id"] is not None
    assert (await last_data(database, entry))["children"] == [target["id"], stop["id"]]
    assert (await watch_of(database, target["id"]))["kind"] == ">"
    assert (await watch_of(database, stop["id"]))["kind"] == "<"
    assert await event_names(database, stop["id"]) == ["accepted"]
    assert await database.rows("SELECT count(*) FROM order_groups") == [(1,)]


async def test_the_exits_exist_in_the_snapshot_in_which_the_entry_is_confirmed(
    journal: Journal, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = await enter(journal)
    order = await claim(journal)
    seen: list[tuple[str, int]] = []
    write = terms_moves._storing_exits
    look = (
        "SELECT status, (SELECT count(*) FROM orders WHERE parent_id IS NOT NULL) FROM orders"
        " WHERE id = %s"
    )

    with psycopg.connect(database.conninfo, autocommit=True) as other:

        def note() -> None:
            seen.extend(other.execute(look, (entry,)).fetchall())

        def noting(*asked: Any) -> Any:
            note()
            found = yield from write(*asked)
            note()
            return found

        monkeypatch.setattr(terms_moves, "_storing_exits", noting)
        await Execution(journal, exchange_of(lands())).carry_order(order)
        note()

    assert seen == [("submitted", 0), ("submitted", 0), ("confirmed", 2)]


@pytest.mark.parametrize(
    ("asked", "type_", "slippage"),
    [
        ({"takeProfit": {"triggerPrice": "112"}}, "takeProfit", 100),
        ({"takeProfit": {"triggerPrice": "112", "slippageBps": 70}}, "takeProfit", 70),
        ({"takeProfit": {"triggerPrice": "112", "limitPrice": "111"}}, "takeProfit", None),
        ({"takeProfit": {"limitPrice": "112"}}, "limit", None),
        ({"stopLoss": {"triggerPrice": "95"}}, "stop", 500),
        ({"stopLoss": {"triggerPrice": "95", "limitPrice": "94"}}, "stopLimit", None),
        ({"stopLoss": {"trailBps": 200}}, "trailingStop", 500),
        ({"stopLoss": {"trailBps": 200, "activationPrice": "120"}}, "trailingStop", 500),
    ],
)
async def test_one_exit_alone_is_in_no_group(
    journal: Journal, database: Database, asked: dict[str, Any], type_: str, slippage: int | None
) -> None:
    await enter(journal, more=asked)
    network = await carry(journal, database)

    (only,) = await exits(database)
    assert (only["type"], only["slippage_bps"], only["group_id"]) == (type_, slippage, None)
    phase = "unarmed" if "activationPrice" in str(asked) else "waiting"
    assert only["phase"] == phase
    await released(journal, database, only["id"], StubVenue("raydium", "115"), network=network)
    assert await database.order(only["id"], "status") == "confirmed"


async def test_a_limit_entry_is_a_bracket_as_well(journal: Journal, database: Database) -> None:
    entry = await enter(journal, "limit")
    await released(journal, database, entry)

    assert len(await exits(database)) == 2


async def test_a_sale_is_exited_by_buying_with_what_it_paid(
    journal: Journal, database: Database
) -> None:
    entry = await enter(
        journal,
        side="sell",
        amount_in=1_500_000_000,
        more={"takeProfit": {"limitPrice": "90"}, "stopLoss": {"triggerPrice": "105"}},
    )
    await carry(journal, database)

    paid = await database.order(entry, "filled_out")
    target, stop = await exits(database)
    assert [one["side"] for one in (target, stop)] == ["buy", "buy"]
    assert target["amount_in"] == paid
    assert target["min_out"] == -(-paid * 1000 // 90)
    lines = [(await watch_of(database, one["id"]))["kind"] for one in (target, stop)]
    assert lines == ["<", ">"]


async def test_there_are_no_exits_if_the_entry_ends_otherwise(
    journal: Journal, database: Database
) -> None:
    failed = await enter(journal)
    await carry(journal, database, venues=[FaultyVenue(UnsupportedToken("not here"))])
    cancelled = await enter(journal)
    await cancel(cancelled)

    assert await exits(database) == []
    assert await database.rows("SELECT status FROM orders ORDER BY id") == [
        ("failed",),
        ("cancelled",),
    ]
    assert "children" not in await last_data(database, failed)


async def test_an_exit_below_the_markets_minimum_is_not_made_and_the_event_says_so(
    journal: Journal, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(minimum, "minimum_in", lambda *_: 10_000_000_000)
    entry = await enter(journal)
    await carry(journal, database)

    data = await last_data(database, entry)
    reason = "less than the market's minimum of 10"
    assert await exits(database) == []
    assert "children" not in data
    assert data["childrenRefused"] == [
        {"exit": "takeProfit", "reason": reason},
        {"exit": "stopLoss", "reason": reason},
    ]


async def test_an_exit_that_no_account_could_be_paid_leaves_the_other_alone(
    journal: Journal, database: Database
) -> None:
    entry = await enter(
        journal, more={"takeProfit": {"limitPrice": "9" * 30}, "stopLoss": PROTECTION}
    )
    await carry(journal, database)

    (stop,) = await exits(database)
    assert (stop["type"], stop["group_id"]) == ("stop", None)
    (refused,) = (await last_data(database, entry))["childrenRefused"]
    assert refused["exit"] == "takeProfit"


async def test_a_name_that_is_taken_meanwhile_does_not_prevent_an_exit(
    journal: Journal, database: Database
) -> None:
    owner = make_account().id
    named = {
        "takeProfit": TARGET | {"clientOrderId": "target"},
        "stopLoss": PROTECTION | {"clientOrderId": "stop"},
    }
    await enter(journal, owner=owner, more=named)
    taken = order_of_type("limit", limit_price="200", owner=owner, client_order_id="stop")
    await journal.accept(taken)
    await carry(journal, database)

    target, stop = await exits(database)
    assert [one["client_order_id"] for one in (target, stop)] == ["target", None]
    assert {one["owner_id"] for one in (target, stop)} == {owner}
    data = await last_data(database, stop["id"])
    assert data["clientOrderIdTaken"] == "stop"
    assert data["order"]["clientOrderId"] is None
    assert "clientOrderIdTaken" not in await last_data(database, target["id"])


async def test_exits_belong_to_the_sender_of_their_entry(
    journal: Journal, database: Database
) -> None:
    await enter(journal, stranger=-77)
    await carry(journal, database)

    assert {one["sender"] for one in await exits(database)} == {-77}
