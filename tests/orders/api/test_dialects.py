"""What clients of other systems send, open and read, door by door: `orders.api.reading.dialects`.

The whole of it, on every path and a real engine, is replayed by tests/orders/api/test_replay.py.
"""

import asyncio
import json
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.test import override_settings

from orders.api.reading import dialects
from orders.api.reading.dialects import NotTaken, canonical
from orders.lifecycle import Status
from orders.sockets import consumers, subscriptions
from orders.streams.resync import Streams, Watch
from tests.support.accounts import make_account
from tests.support.client import (
    HOST,
    SELL_SOL,
    Refused,
    Socket,
    connected,
    count_stored,
    database_away,
    get,
    post,
    request,
    submit,
)
from tests.support.walker import Walker, confirm

pytestmark = pytest.mark.usefixtures("engine_loop", "redis_client")

NOT_FOUND = "order_not_found"
PAGE = "https://app.example"


# --- bodies


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        (
            {"inputToken": "SOL", "outputToken": "USDC", "amount": 1},
            {"tokenIn": "SOL", "tokenOut": "USDC", "amount": 1},
        ),
        ({"fromToken": "SOL", "toToken": "USDC"}, {"tokenIn": "SOL", "tokenOut": "USDC"}),
        ({"inputMint": "a", "outputMint": "b"}, {"tokenIn": "a", "tokenOut": "b"}),
        ({"baseMint": "a", "quoteMint": "b"}, {"baseToken": "a", "quoteToken": "b"}),
        (
            {"token_in": "SOL", "token_out": "USDC", "amount_in": "1", "order_type": "market"},
            {"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1", "orderType": "market"},
        ),
        ({"input_token": "SOL", "slippage_bps": 5}, {"tokenIn": "SOL", "slippageBps": 5}),
        ({"max_slippage_bps": 5}, {"slippageBps": 5}),
        ({"maxSlippageBps": 5}, {"slippageBps": 5}),
        ({"client_order_id": "a"}, {"clientOrderId": "a"}),
        (
            {"pair": "SOL-USDC", "direction": "buy"},
            {"baseToken": "SOL", "quoteToken": "USDC", "side": "buy"},
        ),
        ({"pair": " SOL/USDC "}, {"baseToken": "SOL", "quoteToken": "USDC"}),
        ({"pair": "SOL_USDC"}, {"baseToken": "SOL", "quoteToken": "USDC"}),
        ({"userId": "u", "walletAddress": "w", "side": "buy"}, {"side": "buy"}),
        ({"inputToken": None, "tokenIn": "SOL"}, {"tokenIn": "SOL"}),
        ({"minAmountOut": None}, {}),
        (SELL_SOL, SELL_SOL),
        ({"typo": 1, "userId": 1}, {"typo": 1}),
        ([], []),
        (None, None),
    ],
)
def test_a_foreign_body_becomes_ours(sent: Any, meant: Any) -> None:
    assert canonical(sent).body == meant


def test_who_sends_it_is_dropped_and_named() -> None:
    found = canonical(SELL_SOL | {"userId": "u", "user_wallet": "w"})
    assert (found.body, found.ignored) == (SELL_SOL, ("userId", "user_wallet"))


@pytest.mark.parametrize(
    ("sent", "field", "code"),
    [
        (SELL_SOL | {"inputToken": "SOL"}, "inputToken", "conflict"),
        ({"inputToken": "SOL", "fromToken": "SOL"}, "fromToken", "conflict"),
        ({"token_in": "SOL", "inputToken": "SOL"}, "inputToken", "conflict"),
        (SELL_SOL | {"amount_in": "1.5"}, "amount_in", "conflict"),
        ({"pair": "SOL/USDC", "baseToken": "SOL"}, "pair", "conflict"),
        ({"side": "buy", "direction": "buy"}, "direction", "conflict"),
        ({"slippageBps": 1, "maxSlippageBps": 1}, "maxSlippageBps", "conflict"),
        ({"pair": "SOLUSDC"}, "pair", "invalid_text"),
        ({"pair": "A/B/C"}, "pair", "invalid_text"),
        ({"pair": ["SOL", "USDC"]}, "pair", "invalid_text"),
        (SELL_SOL | {"minAmountOut": "1"}, "minAmountOut", "unknown_field"),
        (SELL_SOL | {"min_amount_out": 1}, "min_amount_out", "unknown_field"),
    ],
)
async def test_two_spellings_of_one_thing_and_what_cannot_be_had_are_refused_by_name(
    sent: dict[str, Any], field: str, code: str
) -> None:
    with pytest.raises(NotTaken):
        canonical(sent)
    before = count_stored()
    answer = await post("/api/orders/execute", sent)

    assert (answer.status, answer.json["error"]) == (400, "invalid_order")
    assert [(one["field"], one["code"]) for one in answer.json["errors"]] == [(field, code)]
    assert answer.json["fields"] == sorted(sent)
    assert count_stored() == before


async def test_a_refusal_names_the_fields_as_the_client_did() -> None:
    sent = {"userId": "u", "inputToken": "XYZ", "outputToken": "USDC", "amount": 1}
    by_http = (await post("/orders", sent)).json

    assert [one["field"] for one in by_http["errors"]] == ["inputToken"]
    assert by_http["fields"] == sorted(sent)
    async with connected("/orders") as socket:
        await socket.send(sent)
        by_socket = await socket.message()
    assert (by_socket["errors"], by_socket["fields"]) == (by_http["errors"], by_http["fields"])


async def test_a_field_that_touches_price_or_size_is_never_dropped() -> None:
    for name in ("slippageTolerance", "maxSlippage", "slippagePct", "limitPrice", "minOut", "size"):
        answer = await post("/execute", SELL_SOL | {name: "1", "userId": "u"})
        assert [one["field"] for one in answer.json["errors"]] == [name]


async def test_an_order_says_what_was_ignored_and_stays_anonymous() -> None:
    owner = make_account()
    answer = await post("/api/orders/execute", SELL_SOL | {"userId": owner.name, "wallet": "w"})

    assert (answer.status, answer.json["ignored"]) == (201, ["userId", "wallet"])
    assert (await get("/api/orders", **owner.headers)).json["results"] == []
    async with connected("/api/orders/execute") as socket:
        await socket.send(SELL_SOL | {"userId": owner.name})
        first = await socket.message()
    assert (first["status"], first["ignored"]) == ("pending", ["userId"])
    assert "ignored" not in (await post("/execute", SELL_SOL)).json
    with override_settings(ALLOW_ANONYMOUS_ORDERS=False):
        assert (await post("/execute", SELL_SOL | {"userId": owner.name})).status == 401


async def test_nothing_foreign_reaches_what_is_stored() -> None:
    sent = {"userId": "u", "pair": "SOL/USDC", "direction": "sell", "amount_in": "1.5"}
    foreign = (await post("/api/orders/execute", sent)).json["orderId"]
    ours = await submit()
    events = [(await get(f"/api/orders/{one}/events")).json["events"][0] for one in (foreign, ours)]
    asked = [
        {name: value for name, value in one["data"]["order"].items() if name in SELL_SOL}
        for one in events
    ]

    assert asked[0] == asked[1] == SELL_SOL
    assert events[0]["data"]["order"].keys() == events[1]["data"]["order"].keys()


async def test_an_order_sent_again_is_answered_the_same_in_a_foreign_dialect_too() -> None:
    headers = make_account().headers | {"idempotency_key": "k-1"}
    sent = {"userId": "u", "input_token": "SOL", "output_token": "USDC", "amount_in": "1.5"}
    first = await post("/api/orders/execute", sent, **headers)
    again = await post("/api/orders/execute", sent, **headers)
    ours = await post("/api/orders/execute", SELL_SOL, **headers)

    assert (first.status, again.status, ours.status) == (201, 200, 200)
    assert again.json == first.json
    assert ours.json == {name: one for name, one in first.json.items() if name != "ignored"}


async def test_a_client_order_id_in_snake_case_finds_the_same_order() -> None:
    headers = make_account().headers
    first = await post("/execute", SELL_SOL | {"client_order_id": "mine"}, **headers)
    again = await post("/execute", SELL_SOL | {"clientOrderId": "mine"}, **headers)
    assert (again.status, again.json["orderId"]) == (200, first.json["orderId"])


# --- numbers


@pytest.mark.parametrize(
    ("number", "taken"),
    [
        ("1.7000000000000002", "1.7"),
        ("0.30000000000000004", "0.3"),
        ("3.2718281828459045", "3.271828183"),
        ("0.9999999999999999", "1"),
        ("123456.78900000001", "123456.789"),
        ("1.0000000001", None),  # nobody computes so few digits
        ("0.0000000015000000001", None),
        ("0.00000000049999999999999", None),
        ("1.70000000000000020000000000001", None),  # more than a double has
    ],
)
async def test_a_number_with_the_noise_of_a_double_is_taken_as_it_was_meant(
    number: str, taken: str | None
) -> None:
    body = '{"tokenIn":"SOL","tokenOut":"USDC","amountIn":%s}'
    answer = await post("/execute", (body % number).encode())
    if taken is None:
        assert answer.json["errors"][0]["code"] == "too_precise"
    else:
        assert (answer.status, answer.json["amountIn"]) == (201, taken)
    text = await post("/execute", (body % f'"{number}"').encode())

    assert text.json["errors"][0]["code"] == "too_precise", "a string is exact"


@pytest.mark.parametrize(
    ("field", "number", "bps"),
    [
        ("slippage", 0.7 / 100, 70),
        ("slippage", 0.1 + 0.2 - 0.29, 100),
        ("slippageBps", 0.07 * 10_000, 700),
        ("maxSlippageBps", 0.07 * 10_000, 700),
        ("slippage", 0.0123456789012345, None),
    ],
)
async def test_a_tolerance_that_was_computed_is_taken_as_it_was_meant(
    field: str, number: float, bps: int | None
) -> None:
    answer = await post("/execute", SELL_SOL | {field: number})
    if bps is None:
        assert answer.json["errors"][0]["code"] == "too_precise"
    else:
        assert (answer.status, answer.json["slippageBps"]) == (201, bps)


@pytest.mark.parametrize("number", ["1.23456789012345e999999", "-1.23456789012345e-99999"])
def test_a_number_beyond_all_measure_is_no_noise(number: str) -> None:
    assert canonical({"slippage": Decimal(number)}).body == {"slippage": Decimal(number)}


@pytest.mark.parametrize(
    ("text", "number"),
    [("1.5", "1.5"), ("100", "100"), ("98.717504", "98.717504"), ("0.000000001", "1e-9")],
)
def test_a_decimal_becomes_the_shortest_number_that_reads_back_the_same(
    text: str, number: str
) -> None:
    told = dialects.with_numbers(json.dumps({"executedPrice": text, "message": text}))
    assert told == f'{{"executedPrice":{number},"message":"{text}"}}'


# --- answers


async def test_answers_have_the_names_that_others_read() -> None:
    accepted = (await post("/api/orders/execute", SELL_SOL)).json
    order_id = accepted["orderId"]
    shown = (await get(f"/api/orders/{order_id}")).json
    cancelled = (await request("POST", f"/api/orders/{order_id}/cancel")).json
    for answer in (accepted, shown, cancelled):
        assert answer["success"] is True
        assert answer["id"] == order_id
        assert answer["websocketUrl"] == answer["wsUrl"] == f"/ws/orders/{order_id}"
        assert answer["order"] == answer["data"]
        assert answer["order"].items() <= answer.items()
        assert answer["order"]["id"] == order_id


async def test_a_page_for_people_shows_an_order_once() -> None:
    order_id = await submit()
    page = await get(f"/api/orders/{order_id}", accept="text/html")
    assert page.status == 200
    assert "websocketUrl" not in page.text


async def test_a_list_is_also_under_orders_and_offset_is_zero_alone() -> None:
    headers = make_account().headers
    await post("/execute", SELL_SOL, **headers)
    page = (await get("/api/orders?limit=5&offset=0", **headers)).json

    assert page["orders"] == page["results"]
    assert len(page["orders"]) == 1
    assert (await get("/api/orders?offset=1", **headers)).json["errors"][0]["field"] == "offset"


async def test_health_is_where_others_ask_for_it() -> None:
    assert (await get("/api/health")).json.keys() == (await get("/health")).json.keys()


# --- sockets


STREAMS = [
    *("/ws/{}", "/ws/orders/{}/status", "/api/orders/{}/ws", "/api/orders/{}/status"),
    *("/api/orders/{}/stream", "/api/orders/ws/{}", "/api/orders/status/{}"),
    *("/api/orders/stream/{}", "/api/orders/updates/{}", "/api/orders/execute/{}"),
    *("/orders/{}/ws", "/order/{}", "/ws?orderId={}", "/api/orders/ws?orderId={}"),
    *("/api/orders/status?orderId={}", "/ws/orders?orderId={}", "/orders/ws?id={}"),
]
SUBSCRIBERS = [f"/{path}" for path in dialects.SUBSCRIBE_PATHS]


@pytest.mark.parametrize("path", STREAMS)
async def test_an_order_is_followed_to_its_end_in_numbers(path: str) -> None:
    order_id = await submit()
    await confirm(order_id)
    async with connected(path.format(order_id.upper())) as socket:
        messages, code = await socket.rest()

    assert [one["status"] for one in messages][-1] == "confirmed"
    assert [one["seq"] for one in messages] == [1, 2, 3, 4, 5]
    assert {one["type"] for one in messages} == {"status_update"}
    assert isinstance(messages[-1]["executedPrice"], float)
    assert messages[0]["data"]["order"]["amountIn"] == 1.5
    assert code == 1000
    async with connected(path.format(order_id) + ("&" if "?" in path else "?") + "after=4") as one:
        assert [message["seq"] for message in (await one.rest())[0]] == [5]


@pytest.mark.parametrize("path", STREAMS)
async def test_over_plain_http_there_is_no_stream(path: str) -> None:
    order_id = await submit()
    assert (await get(path.format(order_id).partition("?")[0])).status == 404


@pytest.mark.parametrize("text", ["fees", "1", "engines", "0194a7de-0000-7000-8000", "%00"])
@pytest.mark.parametrize("path", ["/ws/{}", "/order/{}", "/orders/{}/ws"])
async def test_only_a_uuid_is_an_id(path: str, text: str) -> None:
    async with connected(path.format(text)) as socket:
        messages, code = await socket.rest()
    assert code == 4404
    assert NOT_FOUND not in [one.get("error") for one in messages], "the path is nobody's"


async def test_without_an_order_id_the_path_of_one_is_the_accounts_stream() -> None:
    async with connected("/ws/orders", **make_account().headers) as socket:
        assert (await socket.message())["type"] == "hello"
    async with connected("/ws/orders/?after=0", **make_account().headers) as socket:
        assert (await socket.rest())[1] == 4400, "it has cursors"


SUBSCRIBE = [
    {"type": "subscribe", "orderId": "ID"},
    {"action": "subscribe", "orderId": "ID"},
    {"orderId": "ID"},
    {"type": "subscribe", "payload": {"orderId": "ID"}},
    {"type": "subscribe", "order_id": "ID", "userId": "u"},
]


def naming(frame: dict[str, Any], order_id: str) -> Any:
    return json.loads(json.dumps(frame).replace("ID", order_id))


@pytest.mark.parametrize("frame", SUBSCRIBE)
@pytest.mark.parametrize("path", SUBSCRIBERS)
async def test_orders_that_messages_name_are_followed_on_one_socket(
    path: str, frame: dict[str, Any]
) -> None:
    ended, live = await submit(), await submit()
    await confirm(ended)
    async with connected(path) as socket:
        for order_id in (ended, live, live):  # again is not twice
            await socket.send(naming(frame, order_id))
        messages = await socket.messages(6)
        walker = Walker(live)
        await walker.walk(Status.ROUTING, Status.CANCELLED)
        messages += await socket.messages(2)
        await socket.send({"type": "ping"})
        assert await socket.message() == {"type": "pong"}, "it stays open"
    told = [(one["orderId"], one["status"]) for one in messages]

    assert [status for one, status in told if one == live] == ["pending", "routing", "cancelled"]
    assert [status for one, status in told if one == ended][-1] == "confirmed"
    assert isinstance(messages[4]["executedPrice"], float)


async def told_of(socket: Socket, named: Any) -> dict[str, Any]:
    await socket.send({"type": "subscribe", "orderId": named})
    return await socket.message()


@pytest.mark.parametrize("path", SUBSCRIBERS)
async def test_anothers_order_and_none_get_the_same_frame_and_the_socket_stays(path: str) -> None:
    owner, other = make_account(), make_account()
    order_id = (await post("/execute", SELL_SOL, **owner.headers)).json["orderId"]
    for headers in ({}, other.headers):
        async with connected(path, **headers) as socket:
            frames = [
                await told_of(socket, named)
                for named in (order_id, str(uuid4()), "1", 1, [], "", {"orderId": order_id})
            ]
            assert all(frame == frames[0] for frame in frames)
            assert (frames[0]["type"], frames[0]["error"]) == ("error", NOT_FOUND)
            mine = await submit()
            assert (await told_of(socket, mine))["status"] == "pending"
    async with connected(path, **owner.headers) as socket:
        assert (await told_of(socket, order_id))["status"] == "pending"


async def test_whose_an_order_is_is_known_before_its_hints_are_joined(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While the database thinks, not even a hint of another's order passes."""
    owner = make_account()
    order_id = (await post("/execute", SELL_SOL, **owner.headers)).json["orderId"]
    asked, answer = asyncio.Event(), asyncio.Event()
    watched: list[Watch] = []
    history = Streams.history

    async def slow(*arguments: Any, **options: Any) -> Any:
        asked.set()
        await answer.wait()
        return await history(*arguments, **options)

    async with connected("/ws") as socket:
        monkeypatch.setattr(Streams, "history", slow)
        monkeypatch.setattr(Streams, "watch", lambda _, watch: watched.append(watch))
        await socket.send({"type": "subscribe", "orderId": order_id})
        await asked.wait()
        assert watched == []
        await Walker(order_id).walk(Status.ROUTING)
        answer.set()
        assert (await socket.message())["error"] == NOT_FOUND
        await socket.send({"type": "ping"})
        assert await socket.message() == {"type": "pong"}
    assert watched == []


@pytest.mark.parametrize(
    "frame",
    [
        *({}, {"type": "subscribe"}, {"type": "subscribe_all"}, {"type": ["subscribe"]}, SELL_SOL),
        {"type": "subscribe", "orderId": str(UUID(int=1)), "order_id": str(UUID(int=2))},
        {"orderId": str(UUID(int=1)), "payload": {"orderId": str(UUID(int=2))}},
    ],
)
async def test_what_names_no_order_or_two_is_told_what_to_send_and_nothing_is_stored(
    frame: Any,
) -> None:
    before = count_stored()
    async with connected("/ws") as socket:
        await socket.send(frame)
        assert (await socket.message())["error"] == "unknown_action"
    assert count_stored() == before


async def test_nobody_is_told_of_everybodys_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    async with connected("/ws") as socket:
        await confirm(await submit())
        await socket.send({"type": "ping"})
        assert await socket.message() == {"type": "pong"}


async def test_a_socket_that_follows_nothing_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert subscriptions.NOTHING_SECONDS == 60
    monkeypatch.setattr(subscriptions, "NOTHING_SECONDS", 0.01)
    async with connected("/ws") as socket:
        assert await socket.rest() == ([], 1000)


async def test_a_socket_whose_orders_have_ended_waits_and_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order_id = await submit()
    async with connected("/api/orders/ws") as socket:
        await told_of(socket, order_id)
        monkeypatch.setattr(subscriptions, "NOTHING_SECONDS", 0.01)
        await confirm(order_id)
        messages, code = await socket.rest()

    assert [one["status"] for one in messages][-1] == "confirmed"
    assert code == 1000


async def test_so_many_orders_are_followed_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "MAX_OPEN_ORDERS", 2)
    async with connected("/ws") as socket:
        for _ in range(2):
            assert (await told_of(socket, await submit()))["status"] == "pending"
        await socket.send({"orderId": await submit()})
        messages, code = await socket.rest()

    assert [one["error"] for one in messages] == ["too_many_orders"]
    assert code == 4429


async def test_a_query_that_names_two_orders_is_a_conflict() -> None:
    async with connected(f"/ws?orderId={uuid4()}&id={uuid4()}") as socket:
        messages, code = await socket.rest()
    assert ([one["error"] for one in messages], code) == (["invalid_request"], 4400)


async def test_without_the_database_a_subscription_may_be_sent_again() -> None:
    order_id = await submit()
    async with connected("/ws") as socket:
        with pytest.MonkeyPatch.context() as patched:

            async def away(*_: Any, **__: Any) -> Any:
                raise consumers.psycopg.OperationalError("away")

            patched.setattr(Streams, "history", away)
            assert (await told_of(socket, order_id))["error"] == "database_unavailable"
        assert (await told_of(socket, order_id))["status"] == "pending"
    with database_away():
        assert (await get("/api/health")).status == 503


@override_settings(ALLOW_ANONYMOUS_ORDERS=False)
@pytest.mark.parametrize("path", [*SUBSCRIBERS, "/ws/01a1fc02-2219-7ea8-9f11-ba64b00749af"])
async def test_nobody_subscribes_where_orders_have_accounts(path: str) -> None:
    async with connected(path) as socket:
        messages, code = await socket.rest()
    assert ([one["error"] for one in messages], code) == (["not_authenticated"], 4401)


@pytest.mark.parametrize("frame", [{"type": "ping"}, {"action": "ping", "timestamp": 1}])
async def test_a_ping_by_message_is_answered_on_every_socket(frame: Any) -> None:
    order_id = await submit()
    for path in (f"/ws/orders/{order_id}?after=1", f"/ws/{order_id}?after=1", "/ws", "/execute"):
        async with connected(path) as socket:
            await socket.send(frame)
            assert await socket.message() == {"type": "pong"}, path


# --- pages of other origins


def cors_headers(headers: dict[str, str]) -> set[str]:
    return {name for name in headers if name.startswith("access-control-")}


PREFLIGHT = {
    "origin": PAGE,
    "access_control_request_method": "POST",
    "access_control_request_headers": "authorization,content-type,idempotency-key",
}


@override_settings(ALLOWED_ORIGINS=[PAGE])
@pytest.mark.parametrize("path", ["/api/orders/execute", "/execute/", "/api/orders", "/api/health"])
async def test_a_browser_is_told_that_a_listed_page_may_send_orders(path: str) -> None:
    answer = await request("OPTIONS", path, **PREFLIGHT)

    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "POST" in answer.headers["access-control-allow-methods"]
    allowed = answer.headers["access-control-allow-headers"].lower()
    assert {"authorization", "content-type", "idempotency-key"} <= set(allowed.split(", "))
    assert answer.headers["vary"] == "Origin"
    assert "access-control-allow-credentials" not in answer.headers


@override_settings(ALLOWED_ORIGINS=[PAGE])
async def test_a_listed_page_reads_every_answer_and_what_the_headers_say() -> None:
    for answer in (
        await post("/api/orders/execute", SELL_SOL, origin=PAGE),
        await post("/api/orders/execute", {}, origin=PAGE),
        await post("/api/orders/execute", b"x" * 70_000, origin=PAGE),
        await get("/api/orders", origin=PAGE),
        await get("/nothing", origin=PAGE),
        await get("/livez", origin=PAGE),
    ):
        assert answer.headers["access-control-allow-origin"] == PAGE, answer.status
        exposed = answer.headers["access-control-expose-headers"]
        for name in ("Location", "Retry-After", "Idempotent-Replayed"):
            assert name in exposed.split(", ")
        assert "Origin" in answer.headers["vary"]
        assert "access-control-allow-credentials" not in answer.headers


@override_settings(ALLOWED_ORIGINS=[PAGE])
@pytest.mark.parametrize(
    "origin", ["https://app.example.evil", "http://app.example", "null", "*", "", "\xff", None]
)
async def test_no_other_page_is_let_in(origin: str | None) -> None:
    said = {} if origin is None else {"origin": origin}
    for answer in (
        await post("/execute", SELL_SOL, **said),
        await request("OPTIONS", "/execute", **(PREFLIGHT | {"origin": origin or ""})),
    ):
        assert cors_headers(answer.headers) == set()
        assert "Origin" in answer.headers["vary"], "caches must not mix them up"


async def test_nothing_is_shared_where_no_origin_is_listed() -> None:
    answer = await post("/execute", SELL_SOL, origin=PAGE)
    assert cors_headers(answer.headers) == set()
    assert "Origin" not in answer.headers.get("vary", "")


@override_settings(ALLOWED_ORIGINS=[PAGE])
async def test_a_socket_of_a_listed_page_acts_without_the_visitors_session() -> None:
    owner = make_account()
    order_id = (await post("/execute", SELL_SOL, **owner.headers)).json["orderId"]
    cookie = await owner.log_in()
    async with connected(f"/ws/orders/{order_id}", **cookie, origin=f"http://{HOST}") as socket:
        assert (await socket.message())["status"] == "pending"
    async with connected(f"/ws/orders/{order_id}", **cookie, origin=PAGE) as socket:
        assert (await socket.message())["error"] == NOT_FOUND
    async with connected(f"/ws/orders/{order_id}", **owner.headers, origin=PAGE) as socket:
        assert (await socket.message())["status"] == "pending", "a key of its own counts"
    with pytest.raises(Refused):
        async with connected(f"/ws/orders/{order_id}", origin="https://another.example"):
            pass


def test_tags_are_told_as_they_are_where_decimals_are_numbers() -> None:
    order = {"limitPrice": "112.5", "tags": {"price": "high", "amount": "1.50"}}
    (told,) = json.loads(dialects.with_numbers(json.dumps([{"data": {"order": order}}])))
    assert told["data"]["order"] == {"limitPrice": 112.5, "tags": order["tags"]}
