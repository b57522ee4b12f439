"""`GET /api/orders`: which orders are listed, and how its pages are turned."""

from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.db.models import QuerySet
from django.http import QueryDict
from django.test.utils import CaptureQueriesContext

from config.database.conninfo import conninfo
from orders.api import pagination
from orders.api.filters import OrderFilter, filter_orders
from orders.engine.submission import new_order_id
from orders.lifecycle import Status
from orders.models import Order
from routing.venue import Side
from tests.support.accounts import Account, make_account
from tests.support.client import CREDENTIALS, SELL_SOL, get, submit
from tests.support.database import as_owner
from tests.support.resting_orders import rest, rest_limit, rest_stop, resting_order
from tests.support.walker import Walker, confirm

pytestmark = pytest.mark.usefixtures("engine_loop", "account")

BUY_JUP = {"baseToken": "JUP", "quoteToken": "USDC", "side": "buy", "amountIn": "10"}


async def ids(query: str = "") -> list[str]:
    """Return the orders of one page."""
    answer = await get(f"/api/orders?{query}")
    assert answer.status == 200, answer.text
    return [order["orderId"] for order in answer.json["results"]]


async def walk(url: str | None, way: str = "next") -> tuple[list[list[str]], str]:
    """Turn pages to their end; return the ids on each, and the last page's URL."""
    found: list[list[str]] = []
    last = ""
    while url:
        last = url.removeprefix("http://testserver")
        page = (await get(last)).json
        found.append([order["orderId"] for order in page["results"]])
        url = page[way]
    return found, last


@pytest.fixture
def looks_at_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a page look through no more than two orders."""
    monkeypatch.setattr(pagination, "LOOKED_AT", 2)


async def set_all_to_one_time() -> None:
    """Let all orders have been stored at one time, as those that share a statement are."""
    async with await psycopg.AsyncConnection.connect(conninfo(), autocommit=True) as database:
        await database.execute("UPDATE orders SET created_at = '2026-11-21T10:00:00Z'")


DEAD_TRANSACTION = """
INSERT INTO order_transactions
  (order_id, attempt, signature, payload, expires_at_height, outcome, created_at, settled_at)
VALUES (%s, 9, %s, '', 1, 'expired', now(), now())
"""


async def add_dead_transaction(order_id: str, signature: str) -> None:
    """Let the order have had a transaction, of another attempt, that never landed."""
    async with await psycopg.AsyncConnection.connect(conninfo(), autocommit=True) as database:
        await database.execute(DEAD_TRANSACTION, (order_id, signature))


async def test_a_list_shows_orders_as_they_are_shown_alone() -> None:
    order_id = await submit()
    await confirm(order_id)
    page = (await get("/orders/")).json
    alone = (await get(f"/api/orders/{order_id}")).json

    assert page["results"] == page["orders"] == [alone["order"]]
    assert (page["next"], page["previous"]) == (None, None)


@pytest.mark.parametrize("is_one_time", [False, True])
async def test_pages_go_back_from_the_newest_and_forth_again(is_one_time: bool) -> None:
    made = [await submit() for _ in range(5)]
    if is_one_time:
        await set_all_to_one_time()
    newest_first = sorted(made, reverse=True)
    found, last = await walk("/api/orders?limit=2")

    assert found == [newest_first[:2], newest_first[2:4], newest_first[4:]]
    again, _ = await walk(last, "previous")
    assert again == found[::-1]


async def test_orders_that_come_in_between_move_no_page() -> None:
    made = [await submit() for _ in range(4)]
    first = (await get("/api/orders?limit=2")).json
    late = [await submit() for _ in range(3)]
    second = (await get(first["next"].removeprefix("http://testserver"))).json

    assert [order["orderId"] for order in second["results"]] == made[1::-1]
    back, _ = await walk(second["previous"], "previous")
    assert back == [made[:1:-1], late[1::-1], [late[2]]]


async def test_pages_keep_what_was_asked_for() -> None:
    for _ in range(3):
        await submit(BUY_JUP)
        await submit(SELL_SOL)
    found, last = await walk("/api/orders?limit=2&side=buy&market=JUP/USDC")

    assert [len(page) for page in found] == [2, 1]
    assert "side=buy" in last
    assert len({order for page in found for order in page}) == 3


@pytest.mark.usefixtures("looks_at_two")
async def test_a_page_that_looked_through_enough_goes_on_from_there() -> None:
    made = [await submit(BUY_JUP), *[await submit() for _ in range(5)]]
    found, last = await walk("/api/orders?side=buy")

    assert found == [[], [], made[:1]]
    again, _ = await walk(last, "previous")
    assert [order for page in again for order in page] == made[:1]
    unfiltered, _ = await walk("/api/orders")
    assert unfiltered == [made[::-1]]


@pytest.mark.usefixtures("looks_at_two")
async def test_active_orders_are_found_however_old_they_are() -> None:
    oldest = await submit()
    for _ in range(4):
        await confirm(await submit())
    assert await ids("state=active") == [oldest]
    assert await ids("status=pending,routing") == [oldest]


async def test_each_filter_finds_what_it_names() -> None:
    pending = await submit()
    bought = await submit(BUY_JUP)
    await Walker(bought).walk(Status.ROUTING)
    confirmed = await submit()
    await confirm(confirmed)
    failed = await submit()
    await Walker(failed).walk(Status.ROUTING, Status.FAILED)
    everything = [failed, confirmed, bought, pending]

    assert await ids() == everything
    for query, found in {
        "status=pending": [pending],
        "status=Confirmed": [confirmed],
        "status=pending,failed": [failed, pending],
        "status=routing, failed": [failed, bought],
        "status=expired": [],
        "state=active": [bought, pending],
        "state=closed": [failed, confirmed],
        "state=closed&status=pending": [],
        "market=JUP/USDC": [bought],
        "market=sol/usdc": [failed, confirmed, pending],
        "side=buy": [bought],
        "side=SELL": [failed, confirmed, pending],
        "type=market": everything,
        "venue=meteora": [confirmed],
        "venue=raydium": [],
        "side=sell&state=active": [pending],
    }.items():
        assert await ids(quote(query, safe="=&")) == found, query


async def test_resting_orders_are_found_by_what_they_ask(account: Account) -> None:
    market = await submit()
    await confirm(market)
    group, parent = new_order_id(), new_order_id()
    soon = datetime.now(UTC) + timedelta(hours=1)
    limit = await rest_limit(account.id, 112, tags={"book": "a", "desk": "1"})
    bought = await rest_limit(account.id, 90, side=Side.BUY, time_in_force="gtd", expires_at=soon)
    stop = await rest_stop(account.id, 90, tags={"book": "b"}, parent_id=parent)
    trail = await rest(
        resting_order(account.id, "trailingStop", trail_bps=300, activation_price="130")
    )
    legs = await rest(
        resting_order(account.id, "takeProfit", trigger_price="120", group_id=group),
        resting_order(
            account.id, "stopLimit", trigger_price="95", limit_price="94", group_id=group
        ),
    )
    resting = [*legs[::-1], *trail, stop, bought, limit]

    ends_after, ends_before = soon - timedelta(minutes=1), soon + timedelta(minutes=1)
    for query, found in {
        "": [*resting, market],
        "state=resting": resting,
        "state=active": resting,
        "state=closed": [market],
        "status=open": resting,
        "status=open,confirmed": [*resting, market],
        "type=limit": [bought, limit],
        "type=stop_limit": [legs[1]],
        "type=Take-Profit,stop": [legs[0], stop],
        "state=resting&side=buy": [bought],
        "state=active&side=buy": [bought],
        f"groupId={group}": legs[::-1],
        f"groupId={group}&type=stopLimit": [legs[1]],
        f"groupId={parent}": [],
        f"parentOrderId={parent}": [stop],
        "phase=unarmed": trail,
        "phase=waiting,unarmed": resting,
        "phase=latched": [],
        "tag.book=a": [limit],
        "tag.book=a&tag.desk=1": [limit],
        "tag.book=a&tag.desk=2": [],
        "tag.Book=a": [],
        "tag.book=b&state=resting": [stop],
        f"expiresBefore={ends_before:%Y-%m-%dT%H:%M:%SZ}": [bought],
        f"expiresBefore={ends_after:%Y-%m-%dT%H:%M:%SZ}": [],
    }.items():
        assert await ids(quote(query, safe="=&")) == found, query


@pytest.mark.usefixtures("looks_at_two")
async def test_orders_with_an_index_are_found_however_old_they_are(account: Account) -> None:
    group, parent = new_order_id(), new_order_id()
    oldest = await rest_limit(account.id, 112, group_id=group, parent_id=parent, tags={"book": "a"})
    for _ in range(3):
        await submit()
    assert await ids("state=resting") == [oldest]
    assert await ids("state=resting&tag.book=a") == [oldest]
    assert await ids("phase=waiting") == [oldest]
    assert await ids(f"groupId={group}") == [oldest]
    assert await ids(f"parentOrderId={parent}") == [oldest]
    found, _ = await walk("/api/orders?tag.book=a")
    assert [order for page in found for order in page] == [oldest]
    assert len(found) > 1, "a page looked through more than it may"


async def test_resting_orders_of_others_are_in_no_list(account: Account) -> None:
    group = new_order_id()
    mine = await rest_limit(account.id, 112)
    stranger = make_account().id
    for owner in (stranger, None):
        await rest_limit(owner, 112, group_id=group, parent_id=group, tags={"book": "a"})
    for query in ("", "state=active", "state=resting", "status=open", "phase=waiting"):
        assert await ids(query) == [mine], query
    for query in (f"groupId={group}", f"parentOrderId={group}", "tag.book=a"):
        assert await ids(query) == [], query


async def test_tags_are_a_filter_for_accounts_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(CREDENTIALS, "authorization")
    refused = await get("/api/orders?tag.book=a")
    assert (refused.status, refused.json["error"]) == (401, "not_authenticated")


async def test_an_order_is_shown_with_its_seq_as_its_tag() -> None:
    order_id = await submit()
    assert (await get(f"/api/orders/{order_id}")).headers["etag"] == '"1"'
    await Walker(order_id).walk(Status.ROUTING)
    assert (await get(f"/api/orders/{order_id}")).headers["etag"] == '"2"'


async def test_a_range_of_time_holds_its_beginning_and_not_its_end() -> None:
    made = [await submit() for _ in range(3)]
    times = [(await get(f"/api/orders/{order_id}")).json["createdAt"] for order_id in made]

    assert await ids(f"createdAfter={times[1]}") == made[:0:-1]
    assert await ids(f"createdBefore={times[1]}") == made[:1]
    assert await ids(f"createdAfter={times[0]}&createdBefore={times[2]}") == made[1::-1]
    assert await ids(f"createdAfter={times[1]}&createdBefore={times[1]}") == []
    in_india = "2026-11-21T05:30:00+05:30"  # whose + is a space unless a client escapes it
    assert await ids(f"createdAfter={in_india}") == await ids(f"createdAfter={quote(in_india)}")


@pytest.mark.parametrize(
    ("query", "field", "code"),
    [
        ("status=done", "status", "invalid_choice"),
        ("status=pending,", "status", "invalid_choice"),
        ("status=pending,done", "status", "invalid_choice"),
        ("state=open", "state", "invalid_choice"),
        ("side=long", "side", "invalid_choice"),
        ("side=buy,sell", "side", "invalid_choice"),
        ("type=limited", "type", "invalid_choice"),
        ("type=oco", "type", "invalid_choice"),  # a request; its legs have types of their own
        ("phase=sleeping", "phase", "invalid_choice"),
        ("groupId=mine", "groupId", "invalid_id"),
        ("parentOrderId=1", "parentOrderId", "invalid_id"),
        ("expiresBefore=tomorrow", "expiresBefore", "invalid_time"),
        ("tag.=x", "tag.", "invalid_text"),
        ("tag.a%20b=x", "tag.a b", "invalid_text"),
        ("tag.book=%00", "tag.book", "invalid_text"),
        ("tag.book=", "tag.book", "required"),
        ("tag.book=x&tag.book=y", "tag.book", "given_twice"),
        ("tag=x", "tag", "unknown_parameter"),
        ("&".join(f"tag.t{n}=x" for n in range(11)), "tag.NAME", "out_of_range"),
        ("venue=nowhere", "venue", "invalid_choice"),
        ("market=SOL", "market", "unknown_market"),
        ("market=USDC/SOL", "market", "unknown_market"),
        ("market=SOL/SOL", "market", "unknown_market"),
        ("market=%00/%00", "market", "unknown_market"),
        ("createdAfter=yesterday", "createdAfter", "invalid_time"),
        ("createdAfter=2026-11-21", "createdAfter", "invalid_time"),
        ("createdAfter=2026-11-21T10:00:00", "createdAfter", "invalid_time"),
        ("createdAfter=2026-02-30T10:00:00Z", "createdAfter", "invalid_time"),
        ("createdAfter=0001-01-01T00:00:00%2B10:00", "createdAfter", "invalid_time"),
        ("createdBefore=1763719200", "createdBefore", "invalid_time"),
        ("limit=0", "limit", "out_of_range"),
        ("limit=201", "limit", "out_of_range"),
        ("limit=-1", "limit", "invalid_number"),
        ("limit=x", "limit", "invalid_number"),
        ("limit=%C2%B2", "limit", "invalid_number"),
        ("limit=99999999999", "limit", "invalid_number"),
        ("statsu=pending", "statsu", "unknown_parameter"),
        ("STATUS=pending", "STATUS", "unknown_parameter"),
        ("offset=10", "offset", "out_of_range"),
        ("offset=-1", "offset", "invalid_number"),
        ("offset=0&offset=0", "offset", "given_twice"),
        ("%00=1", "\x00", "unknown_parameter"),
        ("q=a%20b", "q", "invalid_text"),
        ("q=%20abcdef", "q", "invalid_text"),
        ("q=%25", "q", "invalid_text"),
        (f"q={'x' * 129}", "q", "invalid_text"),
        ("q=%00", "q", "invalid_text"),
        ("q=abcdef&q=abcdef", "q", "given_twice"),
        ("status=", "status", "required"),
        ("cursor=", "cursor", "required"),
        ("side=buy&side=sell", "side", "given_twice"),
    ],
)
async def test_a_query_that_means_nothing_is_refused_by_name(
    query: str, field: str, code: str
) -> None:
    for path in ("/api/orders", "/execute/"):
        answer = await get(f"{path}?{query}")
        assert (answer.status, answer.json["error"]) == (400, "invalid_request"), answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert [(one["field"], one["code"]) for one in answer.json["errors"]] == [(field, code)]


async def test_all_that_is_wrong_with_a_query_is_told_at_once() -> None:
    answer = await get("/api/orders?status=done&createdAfter=x&side=up")
    assert {one["field"] for one in answer.json["errors"]} == {"status", "createdAfter", "side"}


@pytest.mark.parametrize(
    "text",
    [
        "junk",
        "older",
        "older|2026-01-01T00:00:00+00:00|1",
        "older|2026-01-01T00:00:00|01a1fc02-2219-7ea8-9f11-ba64b00749af",
        "older|today|01a1fc02-2219-7ea8-9f11-ba64b00749af",
        "older|0001-01-01T00:00:00+10:00|01a1fc02-2219-7ea8-9f11-ba64b00749af",
        "sideways|2026-01-01T00:00:00+00:00|01a1fc02-2219-7ea8-9f11-ba64b00749af",
        "\x00|\x00|\x00",
    ],
)
async def test_a_cursor_that_is_not_ours_is_refused(text: str) -> None:
    for cursor in (urlsafe_b64encode(text.encode()).decode(), quote(text), "%FF"):
        answer = await get(f"/api/orders?cursor={cursor}")
        assert answer.status == 400, answer.text
        (wrong,) = answer.json["errors"]
        assert (wrong["field"], wrong["code"]) == ("cursor", "invalid_cursor")


async def test_whether_an_order_has_arrived_can_be_asked_without_sending_it() -> None:
    assert await ids("clientOrderId=mine-1") == []
    mine = await submit(SELL_SOL | {"clientOrderId": "mine-1"})
    await submit(SELL_SOL | {"clientOrderId": "MINE-1"})
    await submit(BUY_JUP | {"clientOrderId": "mine-11"})
    await submit()
    assert await ids("clientOrderId=mine-1") == [mine]
    assert await ids("clientOrderId=mine-1&status=pending&side=sell&limit=1") == [mine]
    assert await ids("clientOrderId=mine-1&side=buy") == []
    assert await ids("clientOrderId=mine-1&createdBefore=2020-01-01T00:00:00Z") == []
    page = (await get("/api/orders?clientOrderId=mine-1&limit=1")).json
    assert (page["next"], page["previous"]) == (None, None)


async def test_a_text_finds_the_order_that_it_names(account: Account) -> None:
    mine = await submit(SELL_SOL | {"clientOrderId": "abcdef"})
    await confirm(mine)
    other = await submit()
    stranger = make_account().id
    await rest_limit(stranger, 112)
    signature = "5Nx27ainpmZfT4KcXh3kR9vWq8Lb2yD6sUeJgA1nPt"
    await add_dead_transaction(mine, signature)

    for text in (
        *(mine, mine.upper(), mine.replace("-", ""), mine[-6:], f"…{mine[-8:]}", mine[-12:]),
        *(mine[-17:], signature, "abcdef"),
    ):
        assert await ids(f"q={quote(text)}") == [mine], text
    assert await ids(f"q={mine[-6:]}&status=confirmed&market=SOL/USDC") == [mine]
    for text in (
        *(mine[-5:], mine[:8], f"0{mine[-8:]}", f"{mine[-8:]}0", signature[:20], signature.lower()),
        *("abcde", "ABCDEF", "x" * 128),
    ):
        assert await ids(f"q={quote(text)}") == [], text
    assert await ids(f"q={mine[-6:]}&side=buy") == []
    assert other != mine


async def test_an_id_that_ends_alike_is_found_with_it_and_none_of_another_account(
    account: Account,
) -> None:
    end = "0123456789ab"
    own = [f"01a1fc02-2219-7ea8-9f1{n}-{end}" for n in range(2)]
    foreign = f"01a1fc02-2219-7ea8-9f12-{end}"
    for order_id, owner in (*((one, account.id) for one in own), (foreign, make_account().id)):
        await rest(resting_order(owner, limit_price="112")._replace(id=order_id))
    assert await ids(f"q={end}") == own[::-1]


async def test_a_search_is_for_accounts_as_their_ids_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(CREDENTIALS, "authorization")
    nobody = await get("/api/orders?q=abcdef")
    assert (nobody.status, nobody.json["error"]) == (400, "account_required")


async def test_an_order_is_found_by_its_id_among_more_than_a_page_looks_through(
    looks_at_two: None,
) -> None:
    mine = await submit(SELL_SOL | {"clientOrderId": "mine-1"})
    for _ in range(4):
        await submit()
    assert await ids("clientOrderId=mine-1") == [mine]


async def test_whether_an_order_has_arrived_is_for_its_account_and_no_false_no_for_anonymous(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await submit(SELL_SOL | {"clientOrderId": "mine-1"})
    other = await get("/api/orders?clientOrderId=mine-1", **make_account().headers)

    assert (other.status, other.json["results"]) == (200, [])
    monkeypatch.delitem(CREDENTIALS, "authorization")
    nobody = await get("/api/orders?clientOrderId=mine-1")
    assert (nobody.status, nobody.json["error"]) == (400, "account_required")


@pytest.mark.parametrize("name", ["a%20b", "x" * 65, "a/b", "%C3%A4", "a%00", "a,b", " mine-1"])
async def test_what_can_be_no_id_of_a_client_is_refused(name: str) -> None:
    answer = await get(f"/api/orders?clientOrderId={name.replace(' ', '%20')}")
    assert answer.status == 400
    (wrong,) = answer.json["errors"]
    assert (wrong["field"], wrong["code"]) == ("clientOrderId", "invalid_text")


async def test_other_paths_refuse_parameters_they_do_not_know() -> None:
    order_id = await submit()
    for path in (f"/api/orders/{order_id}?", f"/api/orders/{order_id}/events?after=0&"):
        answer = await get(f"{path}since=1")
        assert answer.status == 400
        assert [(one["field"], one["code"]) for one in answer.json["errors"]] == [
            ("since", "unknown_parameter")
        ]


async def test_every_filter_is_among_the_parameters_that_are_told() -> None:
    (wrong,) = (await get("/api/orders?x=1")).json["errors"]
    told = wrong["message"].rpartition("Known: ")[2].rstrip(".").split(", ")
    assert set(told) == {*OrderFilter.base_filters, "limit", "cursor", "offset", "tag.NAME"}


async def test_a_page_of_orders_costs_no_query_for_each(
    django_assert_max_num_queries: Any,
) -> None:
    for _ in range(4):
        await submit()

    def turn() -> int:
        with django_assert_max_num_queries(6):  # one to know the owner, and a transaction
            found = len(
                pagination.page_of(
                    filter_orders(QueryDict("side=sell"), own_orders()), None, 25
                ).orders
            )
        connection.close()
        return found

    assert await sync_to_async(turn)() == 4


@pytest.mark.parametrize(("limit", "statements"), [(1, 1), (2, 2)])
async def test_a_page_that_found_enough_does_not_ask_how_far_it_looked(
    limit: int, statements: int
) -> None:
    for _ in range(2):
        await submit()

    def turn() -> int:
        chosen = filter_orders(QueryDict("side=sell"), own_orders())
        with CaptureQueriesContext(connection) as seen:
            pagination.page_of(chosen, None, limit)
        connection.close()
        return sum('FROM "orders"' in one["sql"] for one in seen.captured_queries)

    assert await sync_to_async(turn)() == statements


ENDED_ORDERS = """
INSERT INTO orders (id, owner_id, type, side, base, quote, amount_in, slippage_bps, status, seq,
  attempts, lease_token, lost_leases, needs_attention, created_at, started_at, finished_at,
  next_check)
SELECT gen_random_uuid(), CASE WHEN n % 10 = 0 THEN (SELECT owner_id FROM orders LIMIT 1) END,
  'market', 'sell', 'SOL', 'USDC', 1, 100, 'cancelled', 2, 0, 1, 0, false, at, at, at, at
FROM generate_series(1, 20000) AS n, LATERAL (SELECT now() - n * interval '1 second' AS at) AS made
"""


def own_orders() -> QuerySet[Order]:
    """Return the orders of the test's one account."""
    return Order.objects.filter(owner=Order.objects.values_list("owner", flat=True)[0])


async def plan(query: str) -> str:
    """Return how PostgreSQL would run the last statement of a page."""

    def explain() -> str:
        with CaptureQueriesContext(connection) as seen:
            page = pagination.page_of(filter_orders(QueryDict(query), own_orders()), None, 2)
            pagination.page_of(filter_orders(QueryDict(query), own_orders()), page.older, 2)
        of_orders = [one["sql"] for one in seen.captured_queries if 'FROM "orders"' in one["sql"]]
        with psycopg.connect(as_owner(conninfo())) as database:
            database.execute(ENDED_ORDERS)  # few rows would be read whole, or in any order
            database.execute("SET LOCAL enable_seqscan = off")
            database.execute("ANALYZE orders")
            rows = database.execute(f"EXPLAIN {of_orders[-1]}").fetchall()
            database.rollback()
        connection.close()
        return "\n".join(row[0] for row in rows)

    return await sync_to_async(explain)()


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("", "orders_of_owner"),
        ("createdAfter=2020-01-01T00:00:00Z", "orders_of_owner"),
        ("status=confirmed", "orders_of_owner"),
        ("market=SOL/USDC", "orders_of_owner"),
        ("state=active", "orders_in_line"),
        ("clientOrderId=mine-1", "orders_client_order_id_once"),
        ("q=749af0", "orders_by_end"),
        ("q=749af0", "orders_client_order_id_once"),
        ("q=749af0", "order_transactions_signature_once"),
        ("status=submitted", "orders_begun"),
        ("state=active", "orders_resting"),
        ("state=resting", "orders_resting"),
        ("status=open", "orders_resting"),
        ("phase=latched", "orders_resting"),
        ("groupId=018f0000-0000-7000-8000-000000000001", "orders_of_group"),
        ("parentOrderId=018f0000-0000-7000-8000-000000000001", "orders_of_parent"),
    ],
)
async def test_every_page_is_found_by_an_index(query: str, index: str) -> None:
    for _ in range(5):
        await submit()
    assert index in await plan(query)
