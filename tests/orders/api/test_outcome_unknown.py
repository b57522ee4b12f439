"""What is said of an order is true: stored, not stored, or not known."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from django.db import InternalError, OperationalError, connection

from config.database.conninfo import conninfo
from config.runtime.group_commit import GroupCommit, OutcomeUnknown
from config.runtime.postgres import Link
from config.runtime.rate import Rate
from orders.access import authentication
from orders.access.accounts import Accounts
from orders.access.admission import Backlog, Overloaded
from orders.api.changes import senders
from orders.engine import submission
from routing.registry import read_registry
from tests.support.accounts import execute, make_account
from tests.support.client import SELL_SOL, connected, count_stored, get, post, request, submit
from tests.support.database import Database, MakeJournal
from tests.support.machine import Watch
from tests.support.proxy import Cut, Proxy, proxy_of
from tests.support.samples import new_order

pytestmark = pytest.mark.usefixtures("engine_loop", "redis_client")

SOON = 2.5  # seconds: of an order's POST, whatever PostgreSQL does


@asynccontextmanager
async def cut_off(
    database: Database, make_journal: MakeJournal, monkeypatch: pytest.MonkeyPatch, cut: Cut | None
) -> AsyncIterator[Proxy]:
    """Have the engine's journal lose its next statement or answer, and find no way back."""
    async with proxy_of(database.conninfo) as proxy:
        journal = make_journal(proxy.conninfo)
        monkeypatch.setattr(submission, "journal_of_this_loop", lambda: journal)
        if cut is None:
            await proxy.shut()
            yield proxy
            return
        await journal.connect()
        proxy.cut = cut
        shutting = asyncio.create_task(_shut_when_cut(proxy))
        try:
            yield proxy
        finally:
            await shutting


async def _shut_when_cut(proxy: Proxy) -> None:
    async with asyncio.timeout(120):
        while not proxy.cuts:
            await asyncio.sleep(0.001)
    await proxy.shut()


async def test_an_order_whose_commit_lost_its_answer_is_found_by_the_id_that_was_told(
    database: Database, make_journal: MakeJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with cut_off(database, make_journal, monkeypatch, Cut.AFTER):
        watch = Watch()
        answer = await post("/execute", SELL_SOL)
        watch.assert_within(SOON)

    assert (answer.status, answer.json["error"]) == (503, "outcome_unknown")
    assert answer.headers["retry-after"] == str(answer.json["retryAfter"])
    assert answer.json["wsUrl"].endswith(answer.json["orderId"])
    assert (await get(f"/api/orders/{answer.json['orderId']}")).status == 200


async def test_what_was_never_sent_is_said_not_to_be_stored(
    database: Database, make_journal: MakeJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = count_stored()
    async with cut_off(database, make_journal, monkeypatch, None):
        answer = await post("/execute", SELL_SOL)

    assert (answer.status, answer.json["error"]) == (503, "database_unavailable")
    assert "Nothing was stored" in answer.json["detail"]
    assert count_stored() == stored


async def test_with_a_key_sending_again_is_enough(
    database: Database, make_journal: MakeJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = make_account()
    journal = submission.journal_of_this_loop
    async with cut_off(database, make_journal, monkeypatch, Cut.AFTER) as proxy:
        key = {"idempotency_key": "k"}
        monkeypatch.setattr(submission, "accepted_before", _nothing)
        answer = await post("/execute", SELL_SOL, **owner.headers, **key)
        assert proxy.cuts == 1
    monkeypatch.undo()

    assert submission.journal_of_this_loop is journal
    again = await post("/execute", SELL_SOL, **owner.headers, **key)
    assert (answer.status, again.status) == (503, 200)
    assert again.json["orderId"] == answer.json["orderId"]


async def _nothing(*_: object, **__: object) -> None:
    return None


async def crowded_out(*_: object) -> None:
    raise Overloaded


@pytest.mark.parametrize("path", ["/execute", "/ws/orders"])
async def test_a_frame_is_told_so_under_its_id(
    path: str, database: Database, make_journal: MakeJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = make_account()
    frame = {"action": "execute", "requestId": "a", "order": SELL_SOL}
    async with connected(path, **owner.headers) as socket:
        async with cut_off(database, make_journal, monkeypatch, Cut.AFTER):
            await socket.send(frame)
            told, _ = await socket.until(lambda message: "requestId" in message)
        if path == "/ws/orders":
            events, _ = await socket.until(lambda message: "seq" in message)
            assert events[-1]["orderId"] == told[-1]["orderId"], "it was stored"

    assert [one["type"] for one in told if one["type"] not in ("hello", "checkpoint")] == ["error"]
    assert (told[-1]["requestId"], told[-1]["httpStatus"]) == ("a", 503)
    assert told[-1]["error"] == "outcome_unknown"
    order = await get(f"/api/orders/{told[-1]['orderId']}", **owner.headers)
    assert order.status == 200


async def test_a_socket_is_told_that_the_outcome_is_unknown(
    database: Database, make_journal: MakeJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connected("/execute") as socket:
        async with cut_off(database, make_journal, monkeypatch, Cut.AFTER):
            await socket.send(SELL_SOL)
            frame = await socket.message()
        assert (frame["type"], frame["error"]) == ("error", "outcome_unknown")
        assert (await get(f"/api/orders/{frame['orderId']}")).status == 200


async def test_an_answer_that_cannot_be_read_leaves_the_outcome_unknown(
    make_journal: MakeJournal, monkeypatch: pytest.MonkeyPatch, database: Database
) -> None:
    async def unreadable(*_: object) -> Any:
        raise NotImplementedError("can't parse timestamptz with DateStyle")

    class Unreadable(GroupCommit[Any, Any]):
        def __init__(self, link: Link, _: Any, recover: Any, **options: Any) -> None:
            super().__init__(link, unreadable, recover, **options)

    monkeypatch.setattr("orders.engine.journal.GroupCommit", Unreadable)
    with pytest.raises(OutcomeUnknown):
        await make_journal().accept(new_order())


async def test_an_order_that_a_frozen_server_stored_late_is_one_order(
    make_journal: MakeJournal, monkeypatch: pytest.MonkeyPatch, database: Database
) -> None:
    """The first send is taken for lost, and commits between the look for it and the second."""
    order, other, said = new_order(), make_journal(), []

    class Frozen(GroupCommit[Any, Any]):
        def __init__(self, link: Link, run: Any, recover: Any, **options: Any) -> None:
            async def lost_once(connection: Any, orders: Any) -> Any:
                said.append("sent")
                if said == ["sent"]:
                    raise psycopg.OperationalError("the connection was lost")
                return await run(connection, orders)

            async def stored_meanwhile(connection: Any, orders: Any) -> Any:
                found = await recover(connection, orders)
                said.append("looked")
                if said == ["sent", "looked"]:
                    await other.accept(order)
                return found

            super().__init__(link, lost_once, stored_meanwhile, **options)

    monkeypatch.setattr("orders.engine.journal.GroupCommit", Frozen)
    event = await make_journal().accept(order)

    assert (event.order_id, said) == (order.id, ["sent", "looked"] * 2)
    assert await database.rows("SELECT count(*)::int FROM orders") == [(1,)]


def read_registry_and_hang_up() -> None:
    read_registry()
    connection.close()


async def test_a_repeated_order_is_found_whatever_market_backlog_and_limit_say(
    own_registry: None, settings: Any
) -> None:
    settings.ACCOUNT_RATE_LIMIT = Rate(2, 3600)
    owner = make_account()
    by_key = {"idempotency_key": "k"} | owner.headers
    named = SELL_SOL | {"clientOrderId": "c"}
    first = await post("/execute", SELL_SOL, **by_key)
    second = await post("/execute", named, **owner.headers)
    execute(conninfo(), "UPDATE markets SET takes_orders = false")
    await asyncio.to_thread(read_registry_and_hang_up)
    for _ in range(3):
        answers = [
            await post("/execute", SELL_SOL, **by_key),
            await post("/execute", named, **owner.headers),
        ]
        assert [answer.status for answer in answers] == [200, 200]
        assert [a.json["orderId"] for a in answers] == [
            first.json["orderId"],
            second.json["orderId"],
        ]
    other = await post("/execute", SELL_SOL | {"amountIn": "2"}, **by_key)

    assert (other.status, other.json["error"]) == (422, "idempotency_key_reused")


async def test_a_repeated_order_without_tokens_is_found_when_the_default_market_changes(
    settings: Any,
) -> None:
    owner = make_account()
    headers = {"idempotency_key": "k"} | owner.headers
    order = {"type": "market", "side": "sell", "amount": "1.5"}
    first = await post("/orders", order, **headers)
    settings.DEFAULT_MARKET = "JUP/USDC"
    again = await post("/orders", json.loads(json.dumps(order)), **headers)

    assert (again.status, again.json["orderId"]) == (200, first.json["orderId"])


async def test_a_stored_order_whose_key_cannot_be_looked_up_is_not_said_to_be_missing(
    database: Database, make_journal: MakeJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = make_account()
    headers = {"idempotency_key": "k"} | owner.headers

    assert (await post("/execute", SELL_SOL, **headers)).status == 201
    async with cut_off(database, make_journal, monkeypatch, None):
        again = await post("/execute", SELL_SOL, **headers)
    assert (again.status, again.json["error"]) == (503, "database_unavailable")
    assert "Nothing was stored" not in again.json["detail"]


async def test_nor_is_it_on_a_socket(
    database: Database, make_journal: MakeJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = make_account()
    named = SELL_SOL | {"clientOrderId": "c"}

    assert (await post("/execute", named, **owner.headers)).status == 201
    async with (
        connected("/execute", **owner.headers) as socket,
        cut_off(database, make_journal, monkeypatch, None),
    ):
        await socket.send(named)
        frame = await socket.message()
    assert frame["error"] == "database_unavailable"
    assert "Nothing was stored" not in frame["detail"]


@pytest.mark.parametrize("by", ["header", "field"])
@pytest.mark.parametrize("is_browser", [False, True])
async def test_nor_is_one_whose_api_key_cannot_be_looked_up(
    by: str, is_browser: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = make_account()
    order = SELL_SOL | ({"clientOrderId": "c"} if by == "field" else {})
    headers = owner.headers | ({"idempotency_key": "k"} if by == "header" else {})

    assert (await post("/execute", order, **headers)).status == 201
    lose_api_keys(monkeypatch)
    accept = {"accept": "application/json, text/html;q=0.1"} if is_browser else {}
    again = await post("/execute", order, **headers, **accept)
    assert (again.status, again.json["error"]) == (503, "database_unavailable")
    assert "Nothing was stored" not in again.json["detail"]
    other = await post("/execute", SELL_SOL, **owner.headers, **accept)
    assert "Nothing was stored" in other.json["detail"]
    for junk in (b"{", b"[]", b"\xff"):
        answer = await request("POST", "/execute", junk, **owner.headers, **accept)
        assert (answer.status, answer.json["error"]) == (503, "database_unavailable")


async def test_nor_is_it_on_a_socket_whose_api_key_cannot_be_looked_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    owner = make_account()
    named = SELL_SOL | {"clientOrderId": "c"}

    assert (await post("/execute", named, **owner.headers)).status == 201
    lose_api_keys(monkeypatch)
    async with connected("/execute", **owner.headers) as socket:
        await socket.send(named)
        messages, code = await socket.rest()
    assert [message["error"] for message in messages] == ["database_unavailable"]
    assert "Nothing was stored" not in messages[0]["detail"]
    assert code == 1013


async def test_nor_is_one_that_is_repeated_while_it_is_stored_and_meets_a_limit(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ACCOUNT_RATE_LIMIT = Rate(1, 3600)
    owner = make_account()
    named = SELL_SOL | {"clientOrderId": "c"}

    assert (await post("/execute", named, **owner.headers)).status == 201
    monkeypatch.setattr(submission, "accepted_before", _nothing)
    limited = await post("/execute", named, **owner.headers)
    monkeypatch.setattr(senders, "allowance_of", _nothing)
    monkeypatch.setattr(Backlog, "let_in", crowded_out)
    async with connected("/execute", **owner.headers) as socket:
        await socket.send(named)
        crowded = await socket.message()
    assert [limited.json["error"], crowded["error"]] == ["too_many_requests", "overloaded"]
    for detail in (limited.json["detail"], crowded["detail"]):
        assert "This request stored nothing" in detail


async def test_a_cancellation_whose_order_cannot_be_read_afterwards_may_be_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order_id = await submit()
    cancel = submission.cancel_order

    def cancel_and_lose_the_server(order: Any, **how: Any) -> None:
        cancel(order, **how)
        raise InternalError("read-only") from psycopg.errors.ReadOnlySqlTransaction()

    monkeypatch.setattr(submission, "cancel_order", cancel_and_lose_the_server)
    answer = await post(f"/api/orders/{order_id}/cancel", None)
    assert (answer.status, answer.json["error"]) == (503, "outcome_unknown")
    assert answer.json["orderId"] == order_id
    monkeypatch.undo()
    again = await post(f"/api/orders/{order_id}/cancel", None)
    assert (again.status, again.json["status"]) == (200, "cancelled")


def lose_api_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every API key's lookup end as if the database were away."""

    async def lose(*_: object) -> None:
        raise psycopg.OperationalError("the server said nothing")

    def lose_now(*_: object) -> None:
        raise OperationalError("the server said nothing")

    monkeypatch.setattr(Accounts, "holder_of", lose)
    monkeypatch.setattr(authentication, "find_api_key", lose_now)
