"""Sent again, an order is the same order: whoever sends it, however often, wherever it breaks."""

import asyncio
import json
import urllib.error
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.conf import settings
from django.test import override_settings

from config.database.conninfo import conninfo
from orders.api.reading import serializers, slippage
from orders.engine import submission
from orders.engine.moves import AlreadyAccepted
from routing.tokens import MARKETS, TOKENS, Registry
from tests.support.accounts import execute, make_account
from tests.support.client import HOST, SELL_SOL, Answer, connected, count_stored, get, post
from tests.support.database import Database, MakeJournal, rewrite
from tests.support.engine import Engine, Web, engine
from tests.support.proxy import Cut, proxy_of
from tests.support.samples import new_order
from tests.support.walker import confirm

pytestmark = pytest.mark.usefixtures("engine_loop", "redis_client")

ORDERS = "SELECT count(*)::int FROM orders"


class Change(NamedTuple):
    """What another release, or an operator, makes of what an order may say."""

    where: Any
    name: str
    value: Any
    order: dict[str, Any]
    is_refused: bool = True


JUP_LESS = Registry(
    [token for token in TOKENS if token.symbol != "JUP"],
    [market for market in MARKETS if "JUP" not in market.name],
)
CHANGES = {
    "a venue was removed": Change(
        *(serializers, "LABELS", {"raydium": "Raydium"}, {"venues": ["meteora"]})
    ),
    "all venues but the excluded one were removed": Change(
        *(serializers, "LABELS", {"raydium": "Raydium"}, {"excludeVenues": "raydium"})
    ),
    "a token was removed": Change(
        *(serializers, "registry", lambda: JUP_LESS, {"tokenIn": "JUP", "tokenOut": "USDC"})
    ),
    "less slippage is tolerated": Change(
        *(slippage, "MAX_SLIPPAGE_BPS", 10, {"slippageBps": "50"})
    ),
    "less impact is tolerated": Change(*(serializers, "BPS", 10, {"maxPriceImpactBps": 50})),
    "smaller amounts are taken": Change(*(serializers, "MAX_ATOMS", 1, {})),
    "a field was removed": Change(*(serializers.ORDER_REQUEST, "fields", {}, {"slippage": "0.01"})),
    "another default slippage": Change(
        *(serializers, "DEFAULT_SLIPPAGE_BPS", 7, {"slippageBps": None}), is_refused=False
    ),
}
RAW = json.dumps(SELL_SOL)
TWO_EXITS = SELL_SOL | {
    "type": "oco",
    "takeProfit": {"limitPrice": "112"},
    "stopLoss": {"trailBps": 200},
}


async def send(order: dict[str, Any], key: str | None = None, **headers: str) -> Answer:
    return await post("/execute", order, **headers, **({"idempotency_key": key} if key else {}))


@pytest.mark.parametrize("by", ["header", "field"])
async def test_the_same_request_again_is_the_same_order(by: str) -> None:
    owner = make_account()
    key = "mine-1" if by == "header" else None
    order = SELL_SOL if by == "header" else SELL_SOL | {"clientOrderId": "mine-1"}
    first = await send(order, key, **owner.headers)

    assert (first.status, "idempotent-replayed" in first.headers) == (201, False)
    await confirm(first.json["orderId"])
    same = {"tokenIn": "sol", "tokenOut": "USDC", "amount": 1.5, "slippageBps": 100}  # said so
    for again in (order, order | {}, same | {n: order[n] for n in order if n == "clientOrderId"}):
        answer = await send(again, key, **owner.headers)
        assert (answer.status, answer.headers["idempotent-replayed"]) == (200, "true")
        assert answer.json == first.json
        assert answer.headers["location"] == first.headers["location"]
    assert len((await get("/api/orders", **owner.headers)).json["results"]) == 1


async def test_another_order_under_the_same_key_is_refused() -> None:
    owner = make_account()
    first = await send(SELL_SOL | {"clientOrderId": "a"}, "k", **owner.headers)

    assert first.json["clientOrderId"] == "a"
    stored = count_stored()
    for change in ({"amountIn": "2"}, {"slippageBps": 5}, {"tokenOut": "USDT"}, {}):
        answer = await send(SELL_SOL | change, "k", **owner.headers)
        assert (answer.status, answer.json["error"]) == (422, "idempotency_key_reused")
        answer = await send(SELL_SOL | {"amountIn": "3", "clientOrderId": "a"}, **owner.headers)
        assert (answer.status, answer.json["error"]) == (409, "client_order_id_taken")
    assert count_stored() == stored


async def test_keys_of_different_accounts_know_nothing_of_each_other() -> None:
    one, other = make_account(), make_account()
    order = SELL_SOL | {"clientOrderId": "a"}
    answers = [await send(order, "k", **owner.headers) for owner in (one, other)]
    assert [answer.status for answer in answers] == [201, 201]
    assert len({answer.json["orderId"] for answer in answers}) == 2


async def send_with(*lines: tuple[str, str], owner: Any) -> Answer:
    """Send an order with these header lines, as they are."""
    given = [(name.encode(), value.encode()) for name, value in lines]
    return await post("/execute", SELL_SOL, lines=given, **owner.headers)


@pytest.mark.parametrize(
    "lines",
    [
        [("idempotency-key", " k\t")],
        [("idempotency-key", "k"), ("idempotency-key", "k")],
        [("idempotency-key", "k"), ("idempotency-key", " k ")],
        [("Idempotency-Key", "\t k")],
    ],
)
async def test_one_key_is_one_order_however_its_header_is_written(
    lines: list[tuple[str, str]],
) -> None:
    owner = make_account()
    first = await send(SELL_SOL, "k", **owner.headers)
    again = await send_with(*lines, owner=owner)
    assert (again.status, again.json) == (200, first.json)


@pytest.mark.parametrize(
    "lines",
    [
        [("idempotency-key", "k"), ("idempotency-key", "l")],
        [("idempotency-key", "k"), ("idempotency-key", "")],
        [("idempotency-key", "k, l")],
        [("idempotency-key", "k, k")],
        [("idempotency-key", "k,k")],
        [("idempotency-key", "k,")],
    ],
)
async def test_two_keys_are_refused_and_nothing_is_stored(lines: list[tuple[str, str]]) -> None:
    stored = count_stored()
    answer = await send_with(*lines, owner=make_account())

    assert (answer.status, answer.json["error"]) == (400, "invalid_request")
    assert [(one["field"], one["code"]) for one in answer.json["errors"]] == [
        ("Idempotency-Key", "given_twice")
    ]
    assert count_stored() == stored


@pytest.mark.parametrize(
    "name",
    [
        *("x-idempotency-key", "idempotency_key", "idempotencykey", "idempotent-key"),
        *("x_idempotency_key", "idempotency", "idempotency-id", "idempotence-key"),
    ],
)
@pytest.mark.parametrize("beside", [[], [("idempotency-key", "k")]])
async def test_a_key_under_another_name_is_refused_with_the_right_one(
    name: str, beside: list[tuple[str, str]]
) -> None:
    stored = count_stored()
    answer = await send_with((name, "k"), *beside, owner=make_account())

    assert (answer.status, answer.json["error"]) == (400, "invalid_request")
    assert [(one["field"], one["code"]) for one in answer.json["errors"]] == [
        (name, "unknown_header")
    ]
    assert answer.json["detail"].endswith("Call it Idempotency-Key.")
    assert count_stored() == stored


async def test_strangers_share_no_keys() -> None:
    stored = count_stored()
    for answer in (await send(SELL_SOL, "k"), await send(SELL_SOL | {"clientOrderId": "a"})):
        assert (answer.status, answer.json["error"]) == (400, "account_required")
    assert count_stored() == stored


KEY_OF_PAGE = "0b9f1f9e-5a8e-4a53-9d0a-6a0f3f1c2d77"
BROWSER = "browser=" + "b" * 43
OTHER_BROWSER = "browser=" + "c" * 43


async def send_from(cookie: str, key: str = KEY_OF_PAGE, **changes: Any) -> Answer:
    """Send an order as our own page does that has no account."""
    headers = {"cookie": cookie, "origin": f"http://{HOST}"}
    return await send(SELL_SOL | changes, key, **headers)


async def test_a_browser_without_an_account_has_keys_of_its_own() -> None:
    first = await send_from(BROWSER)
    again = await send_from(BROWSER)

    assert (first.status, again.status) == (201, 200)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json["orderId"] == first.json["orderId"]
    assert (await send_from(BROWSER, amountIn="2")).json["error"] == "idempotency_key_reused"
    other = await send_from(OTHER_BROWSER)
    assert (other.status, other.json["orderId"] == first.json["orderId"]) == (201, False)
    of_account = await send(SELL_SOL, KEY_OF_PAGE, **make_account().headers)
    assert of_account.status == 201


async def test_what_a_browser_sent_ten_times_at_once_is_one_order() -> None:
    answers = await asyncio.gather(*(send_from(BROWSER) for _ in range(10)))
    assert len({answer.json["orderId"] for answer in answers}) == 1


async def test_a_browser_that_repeats_two_exits_gets_the_same_two() -> None:
    exits = {"type": "oco", "takeProfit": {"limitPrice": "112"}, "stopLoss": {"trailBps": 200}}
    first, again = [await send_from(BROWSER, **exits) for _ in range(2)]
    assert (first.status, again.status) == (201, 200)
    assert [one["orderId"] for one in again.json["orders"]] == [
        one["orderId"] for one in first.json["orders"]
    ]


@pytest.mark.parametrize(
    ("key", "headers"),
    [
        (KEY_OF_PAGE, {"cookie": BROWSER, "origin": "https://elsewhere.example"}),
        (KEY_OF_PAGE, {"cookie": BROWSER, "sec_fetch_site": "cross-site"}),
        (KEY_OF_PAGE, {"cookie": "browser=short"}),
        (KEY_OF_PAGE, {"cookie": "browser=" + "b" * 44}),
        (KEY_OF_PAGE, {}),
        ("a-word", {"cookie": BROWSER}),
    ],
)
async def test_a_browsers_keys_are_for_our_own_page_alone(
    key: str, headers: dict[str, str]
) -> None:
    stored = count_stored()
    answer = await send(SELL_SOL, key, **headers)
    assert (answer.status, answer.json["error"]) == (400, "account_required")
    assert count_stored() == stored


async def test_the_cookie_of_keys_shows_nobody_an_order_and_names_none() -> None:
    """Neither a client order id nor a batch nor a socket takes it for an account."""
    mine = {"cookie": BROWSER, "origin": f"http://{HOST}"}
    named = await post("/execute", SELL_SOL | {"clientOrderId": "a"}, **mine)
    batch = await post("/api/orders/batch", {"orders": [SELL_SOL]}, **mine, idempotency_key="k")
    of_batch = batch.json[0]["problem"]
    assert [named.json["error"], of_batch["error"]] == ["account_required"] * 2
    assert (await get("/api/orders", **mine)).json["results"] == []
    async with connected("/api/orders/execute", **mine) as socket:
        order = {"action": "execute", "requestId": "1", "order": SELL_SOL}
        await socket.send(order | {"idempotencyKey": KEY_OF_PAGE})
        assert (await socket.message())["error"] == "account_required"


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "é", "a\tb", "x" * 255 + "y "])
async def test_a_key_is_of_visible_characters(key: str) -> None:
    answer = await post("/execute", SELL_SOL, idempotency_key=key, **make_account().headers)
    assert (answer.status, answer.json["error"]) == (400, "invalid_request")
    assert answer.json["errors"][0]["field"] == "Idempotency-Key"


@pytest.mark.parametrize("name", ["", " a", "x" * 65, "a/b", "ä", "a\x00", 7, True, [], {}])
async def test_a_client_order_id_is_a_short_word(name: Any) -> None:
    owner = make_account()
    answer = await send(SELL_SOL | {"clientOrderId": name}, **owner.headers)
    assert (answer.status, answer.json["error"]) == (400, "invalid_order")
    assert [one["field"] for one in answer.json["errors"]] == ["clientOrderId"]


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
async def test_a_repeated_order_is_found_whatever_its_words_would_mean_by_now(
    change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = make_account()
    order = SELL_SOL | change.order
    named = order | {"clientOrderId": "c"}
    first = await send(order, "k", **owner.headers)
    second = await send(named, **owner.headers)
    assert (first.status, second.status) == (201, 201)
    monkeypatch.setattr(change.where, change.name, change.value)
    monkeypatch.setattr(serializers, "read_again", nothing)  # which would pause
    fresh = await send(order, "another", **owner.headers)
    assert fresh.status == (400 if change.is_refused else 201)

    shuffled = dict(reversed(order.items()))
    for before, again in (
        (first, await send(order, "k", **owner.headers)),
        (first, await send(shuffled, "k", **owner.headers)),
        (second, await send(named, **owner.headers)),
    ):
        assert (again.status, again.json) == (200, before.json)
    async with connected("/execute", **owner.headers) as socket:
        await socket.send(named)
        assert (await socket.message())["orderId"] == second.json["orderId"]
    stored = count_stored()
    for answer in (
        await send(order | {"amountIn": "2"}, "k", **owner.headers),
        await send(named | {"amountIn": "2"}, **owner.headers),
    ):
        is_unreadable = change.name == "fields"
        assert answer.status in ({400} if is_unreadable else {409, 422})
    assert count_stored() == stored


async def test_an_order_that_names_no_tokens_or_slippage_is_not_taken_for_one_that_does() -> None:
    owner = make_account()
    first = {"side": "sell", "amount": "1"}
    named = first | {"baseToken": "JUP", "quoteToken": "USDC", "slippageBps": 50}

    assert (await send(named, "k", **owner.headers)).status == 201
    for other in (first, first | {"slippageBps": 50}, named | {"slippageBps": None}):
        answer = await send(other, "k", **owner.headers)
        assert (answer.status, answer.json["error"]) == (422, "idempotency_key_reused")


async def test_the_same_request_at_the_same_moment_is_one_order_though_the_default_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    owner = make_account()
    order = {name: value for name, value in SELL_SOL.items() if name != "slippageBps"}
    first = await send(order, "k", **owner.headers)
    monkeypatch.setattr(serializers, "DEFAULT_SLIPPAGE_BPS", 7)
    monkeypatch.setattr(submission, "accepted_before", nothing)  # it is not stored yet
    again = await send(order, "k", **owner.headers)

    assert (again.status, again.json["orderId"]) == (200, first.json["orderId"])
    other = await send(order | {"amountIn": "2"}, "k", **owner.headers)
    assert (other.status, other.json["error"]) == (422, "idempotency_key_reused")


async def nothing(*_: object) -> None:
    pass


@pytest.mark.parametrize("depth", [10, 300, 900])
async def test_what_is_no_order_is_refused_under_a_known_key_too(depth: int) -> None:
    owner = make_account()

    assert (await send(SELL_SOL, "k", **owner.headers)).status == 201
    nested: Any = 10**30
    for _ in range(depth):
        nested = {"a": nested}
    for other in (SELL_SOL | {"venues": nested}, [], [SELL_SOL], None, 1):
        answer = await send(other, "k", **owner.headers)
        assert answer.status == 400, answer.text


async def test_a_refused_request_leaves_its_key_free() -> None:
    owner = make_account()
    assert (await send(SELL_SOL | {"amountIn": "-1"}, "k", **owner.headers)).status == 400
    assert (await send(SELL_SOL, "k", **owner.headers)).status == 201


async def test_fifty_at_once_make_one_order_and_are_answered_alike() -> None:
    owner = make_account()
    answers = await asyncio.gather(*(send(SELL_SOL, "k", **owner.headers) for _ in range(50)))
    assert sorted(answer.status for answer in answers) == [200] * 49 + [201]
    assert all(answer.json == answers[0].json for answer in answers)
    assert execute(conninfo(), ORDERS) == [(1,)]


async def test_keys_that_cross_in_two_processes_make_each_order_once(
    make_journal: MakeJournal, database: Database
) -> None:
    owner, journals = make_account(), [make_journal(), make_journal()]
    keys = [f"k{number}" for number in range(40)]

    async def accept(journal: Any, key: str) -> str:
        order = new_order(owner=owner.id, idempotency_key=key, data={"order": {}})
        try:
            return (await journal.accept(order)).order_id
        except AlreadyAccepted as before:
            return before.event.order_id

    forward = [accept(journals[0], key) for key in keys]
    backward = [accept(journals[1], key) for key in reversed(keys)]
    found = await asyncio.gather(*forward, *backward)
    assert found[:40] == found[:39:-1]
    assert len(set(found)) == 40
    assert await database.violations() == []


@pytest.mark.parametrize("cut", Cut)
async def test_an_answer_lost_by_the_database_is_found_again(
    cut: Cut, make_journal: MakeJournal, database: Database
) -> None:
    owner = make_account()
    async with proxy_of(database.conninfo) as proxy:
        journal = make_journal(proxy.conninfo)
        order = new_order(owner=owner.id, idempotency_key="k", data={"order": {}})
        await journal.connect()
        proxy.cut = cut
        event = await journal.accept(order)
        assert (event.order_id, proxy.cuts) == (order.id, 1)
        with pytest.raises(AlreadyAccepted) as before:
            await journal.accept(new_order(owner=owner.id, idempotency_key="k"))
        assert before.value.event == event

    assert await database.rows(ORDERS) == [(1,)]


async def test_an_order_of_the_default_market_is_found_again_after_the_default_has_changed() -> (
    None
):
    owner = make_account()
    body = {"side": "buy", "amount": 10, "clientOrderId": "mine-1"}
    first = await send(body, "k", **owner.headers)
    with override_settings(DEFAULT_MARKET="JUP/USDC"):
        again = await send(body, "k", **owner.headers)
        other = await send({"side": "buy", "amount": 10}, **owner.headers)

    assert (again.status, again.json) == (200, first.json)
    assert (other.json["baseToken"], other.json["amountOut"]) == ("JUP", "10")


async def test_an_order_is_found_again_though_it_would_be_too_large_by_now() -> None:
    owner = make_account()
    first = await send(SELL_SOL, "k", **owner.headers)
    with override_settings(MAX_ORDER_VALUE=Decimal(1)):
        again = await send(SELL_SOL, "k", **owner.headers)
        stored = count_stored()
        other = await send(SELL_SOL, "l", **owner.headers)

    assert (again.status, again.json) == (200, first.json)
    assert (other.status, other.json["error"]) == (400, "invalid_order")
    assert other.json["errors"][0]["code"] == "too_large"
    assert count_stored() == stored


async def test_an_order_of_an_older_release_is_found_again_and_answered_with_its_summary() -> None:
    owner = make_account()
    first = await send(SELL_SOL, "k", **owner.headers)
    rewrite(
        conninfo(),
        "UPDATE order_events SET data = (data #- '{order,summary}') - 'fingerprint'::text",
    )
    again = await send(SELL_SOL, "k", **owner.headers)

    assert (again.status, again.json) == (200, first.json)


async def test_a_socket_that_sends_an_order_again_follows_the_first_one() -> None:
    owner = make_account()
    order = SELL_SOL | {"clientOrderId": "mine-1"}
    order_id = (await send(order, **owner.headers)).json["orderId"]
    await confirm(order_id)
    async with connected("/execute", **owner.headers) as socket:
        await socket.send(order)
        messages = await socket.messages(5)
        assert {one["orderId"] for one in messages} == {order_id}
        assert [one["seq"] for one in messages] == [1, 2, 3, 4, 5]
        await socket.send(order | {"amountIn": "2"})
        assert (await socket.message())["error"] == "client_order_id_taken"
    async with connected("/execute") as socket:
        await socket.send(order)
        assert (await socket.message())["error"] == "account_required"

    assert execute(conninfo(), ORDERS) == [(1,)]


@pytest.fixture
def two_webs(process_database: str, tmp_path: Path) -> Any:
    with engine(process_database, tmp_path, REDIS_URL=settings.REDIS_URL) as running:
        yield running, [running.web(), running.web()]


def test_fifty_at_once_at_two_processes_make_one_order(two_webs: tuple[Engine, list[Web]]) -> None:
    running, webs = two_webs
    owner = make_account(running.conninfo)

    async def storm(bodies: list[dict[str, Any]], **keys: str) -> list[Any]:
        return await asyncio.gather(
            *(
                asyncio.to_thread(
                    webs[place % 2].request, "/execute", body, **keys, **owner.headers
                )
                for place, body in enumerate(bodies)
            )
        )

    same = asyncio.run(storm([SELL_SOL] * 50, idempotency_key="k"))
    assert sorted(answer.status for answer in same) == [200] * 49 + [201]
    assert (
        len(
            {
                json.dumps(answer.body, sort_keys=True).replace(webs[1].address, webs[0].address)
                for answer in same
            }
        )
        == 1
    )
    mixed = [SELL_SOL | {"amountIn": str(1 + place % 5)} for place in range(50)]
    found = asyncio.run(storm(mixed, idempotency_key="other"))
    assert sorted(answer.status for answer in found) == [200] * 9 + [201] + [422] * 40
    assert running.value(ORDERS) == 2


def test_who_hangs_up_and_comes_again_has_one_order(two_webs: tuple[Engine, list[Web]]) -> None:
    running, webs = two_webs
    owner = make_account(running.conninfo)
    head = (
        f"POST /execute HTTP/1.1\r\nHost: {webs[0].address}\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {owner.key}\r\nIdempotency-Key: k\r\n"
        f"Content-Length: {len(RAW)}\r\n\r\n{RAW}"
    ).encode()

    async def hang_up() -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", webs[0].port)
        writer.write(head)
        await writer.drain()
        writer.transport.abort()

    asyncio.run(hang_up())
    answers = [
        web.request("/execute", SELL_SOL, idempotency_key="k", **owner.headers)
        for web in (webs[0], webs[1])
    ]
    assert answers[1].status == 200
    assert len({answer.body["orderId"] for answer in answers}) == 1
    assert running.value(ORDERS) == 1


def test_a_key_is_the_same_however_a_network_delivers_it(
    two_webs: tuple[Engine, list[Web]],
) -> None:
    running, (web, _) = two_webs
    owner = make_account(running.conninfo)

    async def status(*lines: str) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
        writer.write(
            "\r\n".join(
                [
                    *("POST /execute HTTP/1.1", f"Host: {web.address}", "Connection: close"),
                    *("Content-Type: application/json", f"Content-Length: {len(RAW)}"),
                    *(f"Authorization: Bearer {owner.key}", *lines, "", RAW),
                ]
            ).encode()
        )
        answer = await reader.read()
        writer.close()
        return answer.split()[1]

    async def statuses() -> list[bytes]:
        return [
            await status("Idempotency-Key: k"),
            await status("Idempotency-Key:k \t"),
            await status("Idempotency-Key: k", "idempotency-key: k"),
            await status("Idempotency-Key: k", "IDEMPOTENCY-KEY: l"),
            await status("Idempotency_Key: k"),
            await status("X-Idempotency-Key: k"),
        ]

    assert asyncio.run(statuses()) == [b"201", b"200", b"200", b"400", b"400", b"400"]
    assert running.value(ORDERS) == 1


@pytest.mark.parametrize(("sent", "orders"), [(SELL_SOL, 1), (TWO_EXITS, 2)])
def test_a_process_that_dies_after_storing_leaves_no_key_stuck(
    process_database: str, tmp_path: Path, sent: dict[str, Any], orders: int
) -> None:
    with engine(process_database, tmp_path, REDIS_URL=settings.REDIS_URL) as running:
        owner = make_account(running.conninfo)
        dying = running.web(CRASH_AT="after_accept")
        with pytest.raises((urllib.error.URLError, ConnectionError)):
            dying.request("/execute", sent, idempotency_key="k", **owner.headers)
        answer = running.web().request("/execute", sent, idempotency_key="k", **owner.headers)
        assert answer.status == 200
        assert running.value(ORDERS) == orders
