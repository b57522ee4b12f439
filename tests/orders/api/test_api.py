import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import redis
from django.test import override_settings

from config.database.conninfo import conninfo
from orders.api.problems import REFUSALS, refusal
from orders.engine.changes.amending import NotAmendable, OrderChanged
from orders.engine.hints import ACTIVE_ORDERS, hints_of_this_loop
from orders.engine.submission import NotCancellable, OutcomeUnknown
from orders.lifecycle import Status
from orders.urls import entry_paths
from tests.support.accounts import Account, make_account
from tests.support.client import (
    SELL_SOL,
    Answer,
    connected,
    count_stored,
    database_away,
    get,
    post,
    request,
    submit,
)
from tests.support.database import as_owner
from tests.support.walker import Walker, confirm

pytestmark = pytest.mark.usefixtures("engine_loop")

RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,6}Z")
DECLARED, CHUNKED = b"x" * 10_000_000, [b"x" * 1_000_000] * 10


def assert_problem(answer: Answer, status: int, error: str) -> None:
    """Hold an answer to the promise of all errors: RFC 9457 with a code, and nothing private."""
    assert (answer.status, answer.json.get("error")) == (status, error), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["status"] == status
    assert answer.json["type"] == "about:blank"
    assert answer.json["title"]
    assert answer.json["detail"] == answer.json["message"] != ""
    assert "Traceback" not in answer.text
    assert ".py" not in answer.text


async def test_an_order_is_answered_with_its_id_where_to_follow_it_and_itself() -> None:
    answer = await post("/api/orders/execute", SELL_SOL | {"slippageBps": 50})

    assert answer.status == 201
    assert answer.headers["content-type"] == "application/json"
    body = answer.json
    order_id = body["orderId"]
    assert answer.headers["location"] == f"/api/orders/{order_id}"
    assert RFC_3339.fullmatch(body.pop("createdAt"))
    assert body.pop("links") == {
        "order": f"http://testserver/api/orders/{order_id}",
        "events": f"http://testserver/api/orders/{order_id}/events",
        "cancel": f"http://testserver/api/orders/{order_id}/cancel",
        "orders": "http://testserver/api/orders",
        "route": f"http://testserver/api/orders/{order_id}/route",
        "stream": f"ws://testserver/ws/orders/{order_id}",
    }
    for name in ("id", "websocketUrl", "success", "order", "data"):  # see test_dialects.py
        del body[name]
    given = {name: value for name, value in body.items() if value is not None}
    assert given == {
        "orderId": order_id,
        "status": "pending",
        "wsUrl": f"/ws/orders/{order_id}",
        "message": "Order received and queued",
        "type": "market",
        "side": "sell",
        "baseToken": "SOL",
        "quoteToken": "USDC",
        "tokenIn": "SOL",
        "tokenOut": "USDC",
        "amountIn": "1.5",
        "slippageBps": 50,
        "seq": 1,
        "attempts": 0,
        "summary": "Sell 1.5 SOL for USDC, slippage at most 0.5 %.",
    }


async def test_every_answer_says_in_a_sentence_what_an_amount_without_a_token_is_taken_for() -> (
    None
):
    said = "Buy 10 SOL with USDC, slippage at most 1 %."
    owner = make_account()
    body = {"type": "market", "side": "buy", "amount": 10, "clientOrderId": "a"}
    answers = [await post("/orders", body, **owner.headers) for _ in range(2)]

    assert [answer.status for answer in answers] == [201, 200]
    order_id = answers[0].json["orderId"]
    shown = await get(f"/api/orders/{order_id}", **owner.headers)
    (listed,) = (await get("/api/orders", **owner.headers)).json["results"]
    log = (await get(f"/api/orders/{order_id}/events", **owner.headers)).json["events"]
    for found in (
        *(answer.json for answer in answers),
        shown.json,
        listed,
        log[0]["data"]["order"],
    ):
        assert (found["summary"], found["amountIn"], found["amountOut"]) == (said, None, "10")


QUERIES = [
    *(f"{name}=1" for name in ("slippageBps", "venues", "side", "dryRun", "idempotencyKey", "")),
    *("reason", "amount=1&amount=2", "after=1", "ticket=x", "format=json&format=json", "format="),
]


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("path", ["/api/orders/execute", "/orders", "/execute/", "/api/orders"])
async def test_what_stands_in_the_query_of_an_order_is_refused_by_name_and_nothing_is_stored(
    path: str, query: str
) -> None:
    stored = count_stored()
    answer = await post(f"{path}?{query}", SELL_SOL)
    assert_problem(answer, 400, "invalid_request")
    (wrong,) = answer.json["errors"]

    assert wrong["field"] == query.partition("=")[0]
    assert wrong["code"] in ("unknown_parameter", "given_twice", "required")
    assert count_stored() == stored


@pytest.mark.parametrize("query", ["reason=x", "force", "order_id=1", "format=json&format=json"])
async def test_what_stands_in_the_query_of_a_cancellation_is_refused_and_nothing_is_cancelled(
    query: str,
) -> None:
    order_id = await submit()
    answer = await request("POST", f"/api/orders/{order_id}/cancel?{query}")
    assert_problem(answer, 400, "invalid_request")
    assert (await get(f"/api/orders/{order_id}")).json["status"] == "pending"


async def test_what_stands_in_the_query_for_a_ticket_is_refused() -> None:
    owner = make_account()
    answer = await request("POST", "/api/ws-tickets?seconds=60", **owner.headers)
    assert_problem(answer, 400, "invalid_request")
    for path in ("/api/ws-tickets", "/api/ws-tickets?format=json"):
        assert (await request("POST", path, **owner.headers)).status == 201


async def test_an_order_may_say_in_which_format_it_is_answered() -> None:
    assert (await post("/api/orders/execute?format=json", SELL_SOL)).status == 201


async def test_what_is_answered_first_is_what_is_shown_later() -> None:
    answer = await post("/api/orders/execute", SELL_SOL)
    first = answer.json

    assert first.pop("message") == "Order received and queued"
    shown = await get(answer.headers["location"])
    assert shown.status == 200
    assert shown.json == first


async def test_every_entry_path_takes_orders_with_and_without_a_slash() -> None:
    paths = entry_paths()

    assert {
        "/api/orders/execute",
        "/api/orders/",
        "/orders",
        "/orders/execute/",
        "/execute",
    } < set(paths)
    accepted = [await post(path, SELL_SOL) for path in paths]
    assert {answer.status for answer in accepted} == {201}
    assert len({answer.json["orderId"] for answer in accepted}) == len(paths) == 10


@pytest.mark.parametrize(
    "headers",
    [
        {"cookie": "theme=dark"},  # the stock way of config/http/order_entry.py
        {"accept": "application/json"},
        {"accept": "application/json, text/plain, */*"},
        {"content_type": "Application/JSON; charset=UTF-8"},
        {"origin": "https://another.example"},  # other sites cannot make a browser send JSON
    ],
)
async def test_programs_of_every_kind_are_served(headers: dict[str, str]) -> None:
    answer = await post("/execute", SELL_SOL, **headers)
    assert answer.status == 201
    assert answer.headers["content-type"] == "application/json"


async def test_a_confirmed_order_shows_its_fill() -> None:
    order_id = await submit()
    await confirm(order_id)
    shown = (await get(f"/api/orders/{order_id}/")).json

    assert (shown["status"], shown["seq"], shown["attempts"]) == ("confirmed", 5, 1)
    assert (shown["route"], shown["routedDex"]) == ("Meteora", "meteora")
    assert shown["txHash"]
    assert (shown["executedAmountIn"], shown["executedAmountOut"]) == ("0.000000001", "0.000001")
    assert shown["executedPrice"] == "1000.000000"
    assert RFC_3339.fullmatch(shown["finishedAt"])
    assert "cancel" not in shown["links"]


async def test_the_log_holds_every_event_and_can_be_read_from_any_point() -> None:
    order_id = await submit()
    await confirm(order_id)
    log = (await get(f"/api/orders/{order_id}/events")).json

    assert (log["orderId"], log["status"]) == (order_id, "confirmed")
    assert [event["seq"] for event in log["events"]] == [1, 2, 3, 4, 5]
    statuses = [event["status"] for event in log["events"]]
    assert statuses == ["pending", "routing", "building", "submitted", "confirmed"]
    for after in range(7):
        rest = (await get(f"/api/orders/{order_id}/events/?after={after}")).json
        assert rest["events"] == log["events"][after:]


@pytest.mark.parametrize("after", ["-1", "x", "1.5", "", "1e3", "99999999999", "%C2%B2", "%00"])
async def test_after_is_a_seq(after: str) -> None:
    order_id = await submit()
    answer = await get(f"/api/orders/{order_id}/events?after={after}")
    assert_problem(answer, 400, "invalid_request")
    assert answer.json["errors"][0]["field"] == "after"


@pytest.mark.parametrize("way", [(), (Status.ROUTING,), (Status.ROUTING, Status.BUILDING)])
async def test_an_order_that_was_not_submitted_is_cancelled_once(way: tuple[Status, ...]) -> None:
    order_id = await submit()
    await Walker(order_id).walk(*way)
    cancelled = await request("POST", f"/api/orders/{order_id}/cancel")

    assert cancelled.status == 200
    assert cancelled.json["status"] == "cancelled"
    assert "cancel" not in cancelled.json["links"]
    again = await post(f"/api/orders/{order_id}/cancel/", {})
    assert (again.status, again.json) == (200, cancelled.json)
    events = (await get(f"/api/orders/{order_id}/events")).json["events"]
    assert [event["status"] for event in events] == ["pending", *way, "cancelled"]


@pytest.mark.parametrize(
    "way",
    [
        (Status.ROUTING, Status.BUILDING, Status.SUBMITTED),
        (Status.ROUTING, Status.BUILDING, Status.SUBMITTED, Status.CONFIRMED),
        (Status.ROUTING, Status.FAILED),
    ],
)
async def test_an_order_that_may_have_filled_or_has_ended_is_not_cancelled(
    way: tuple[Status, ...],
) -> None:
    order_id = await submit()
    await Walker(order_id).walk(*way)
    answer = await request("POST", f"/api/orders/{order_id}/cancel")
    assert_problem(answer, 409, "not_cancellable")

    assert answer.json["orderStatus"] == way[-1]
    assert (await get(f"/api/orders/{order_id}")).json["status"] == way[-1]


async def test_an_order_is_cancelled_by_delete() -> None:
    order_id = await submit()
    cancelled = await request("DELETE", f"/api/orders/{order_id}")
    again = await request("DELETE", f"/api/orders/{order_id}/")

    assert (cancelled.status, cancelled.json["status"]) == (200, "cancelled")
    assert again.json == cancelled.json
    events = (await get(f"/api/orders/{order_id}/events")).json["events"]
    assert [event["event"] for event in events] == ["accepted", "cancelled"]


async def test_a_submitted_order_is_not_cancelled_by_delete() -> None:
    order_id = await submit()
    await Walker(order_id).walk(Status.ROUTING, Status.BUILDING, Status.SUBMITTED)

    assert_problem(await request("DELETE", f"/api/orders/{order_id}"), 409, "not_cancellable")


async def test_who_cancelled_an_order_is_told(account: Account) -> None:
    order_id = await submit()
    await post(f"/api/orders/{order_id}/cancel", {})
    events = (await get(f"/api/orders/{order_id}/events")).json["events"]

    assert events[-1]["data"] == {"reason": "user", "by": account.key[:12]}


async def test_when_possible_a_submitted_order_is_answered_202() -> None:
    order_id = await submit()
    await Walker(order_id).walk(Status.ROUTING, Status.BUILDING, Status.SUBMITTED)
    answer = await post(f"/api/orders/{order_id}/cancel", {"whenPossible": True})

    assert answer.status == 202
    assert (answer.json["status"], answer.json["cancelRequested"]) == ("submitted", True)
    assert (await get(f"/api/orders/{order_id}")).json["cancelRequested"] is True


async def test_when_possible_an_order_that_was_not_submitted_is_cancelled_at_once() -> None:
    order_id = await submit()
    answer = await post(f"/api/orders/{order_id}/cancel", {"whenPossible": True})

    assert (answer.status, answer.json["status"]) == (200, "cancelled")


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({"whenPossible": "yes"}, "whenPossible", "invalid_flag"),
        ({"when_possible": True}, "when_possible", "unknown_field"),
        ([], "body", "not_an_object"),
    ],
)
async def test_what_a_cancellation_does_not_know_is_refused(
    body: Any, field: str, code: str
) -> None:
    order_id = await submit()
    answer = await post(f"/api/orders/{order_id}/cancel", body)

    assert_problem(answer, 400, "invalid_request")
    assert [(one["field"], one["code"]) for one in answer.json["errors"]] == [(field, code)]
    assert (await get(f"/api/orders/{order_id}")).json["status"] == "pending"


@pytest.mark.parametrize("end", ["", "/", "/events", "/cancel"])
async def test_an_order_that_nobody_sent_is_not_found(end: str) -> None:
    method = "POST" if end == "/cancel" else "GET"
    for order_id in (str(uuid4()), "1", "null", "%00", "%F0%9F%92%A5", "0" * 31 + "-", "9" * 5_000):
        answer = await request(method, f"/api/orders/{order_id}{end}")
        assert_problem(answer, 404, "order_not_found")


async def test_rest_and_a_socket_say_of_a_missing_order_the_same() -> None:
    order_id = uuid4()
    problem = (await get(f"/api/orders/{order_id}")).json
    async with connected(f"/ws/orders/{order_id}") as socket:
        frame = await socket.message()
    status = problem.pop("status")

    assert frame == problem | {"type": "error", "httpStatus": status}


@pytest.mark.parametrize("kind", REFUSALS)
def test_no_refusal_leaves_a_blank_in_what_it_says(kind: type[Exception]) -> None:
    about: dict[type[Exception], tuple[Any, ...]] = {
        OutcomeUnknown: (str(uuid4()),),
        NotCancellable: (Status.FAILED,),
        NotAmendable: (Status.FAILED,),
        OrderChanged: (4, Status.OPEN),
    }
    found = refusal(kind(*about.get(kind, ())))

    assert found is not None
    assert (found["status"], found["error"]) == (REFUSALS[kind].status, REFUSALS[kind].code)
    assert not {"{", "}"} & set(found["detail"])


@pytest.mark.parametrize(
    "path", ["/api/orders/quote", "/api/orders/together/", "/api/orders/x/route"]
)
async def test_a_deed_that_there_is_not_is_not_taken_for_an_order(path: str) -> None:
    answer = await post(path, SELL_SOL)
    assert_problem(answer, 404, "not_found")
    assert answer.json["detail"] == f"Nothing is served at {path}."


@pytest.mark.parametrize("path", ["/nothing", "/api", "/api/orders/1/2/3", "/static/no.css"])
async def test_a_url_that_leads_nowhere_is_a_problem(path: str) -> None:
    assert_problem(await get(path), 404, "not_found")
    assert_problem(await post(path, SELL_SOL), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/api/orders"),
        ("PATCH", "/execute"),
        ("DELETE", "/api/orders/execute"),
        ("TRACE", "/orders"),
        ("BREW", "/orders"),
        ("POST", "/health"),
        ("PUT", "/api/orders/{id}"),
        ("POST", "/api/orders/{id}/events"),
        ("GET", "/api/orders/{id}/cancel"),
    ],
)
async def test_a_method_that_means_nothing_here_is_refused_with_those_that_do(
    method: str, path: str
) -> None:
    order_id = await submit()
    answer = await request(method, path.format(id=order_id))
    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"]


async def test_head_and_options_are_answered() -> None:
    order_id = await submit()
    for path in ("/api/orders", f"/api/orders/{order_id}", "/health"):
        assert (await request("HEAD", path)).status == 200
    options = await request("OPTIONS", "/api/orders")

    assert options.status == 200
    assert set(options.json["actions"]["POST"]) >= {"tokenIn", "amountIn", "slippageBps"}


@pytest.mark.parametrize("accept", ["application/problem+json", "application/Problem+json;q=0.5"])
async def test_who_asks_for_problems_alone_gets_json(accept: str) -> None:
    assert (await post("/execute", SELL_SOL, accept=accept)).status == 201
    assert (await get("/api/orders", accept=accept)).json["results"] == []
    assert_problem(await post("/execute", {"amount": -1}, accept=accept), 400, "invalid_order")


LOOK_ALIKES: list[dict[str, Any]] = [
    *({"tokenIn": "\u017fOL"}, {"tokenIn": "\u00a0SOL"}, {"tokenOut": "\uff35SDC"}),
    *({"type": "mar\u212aet"}, {"side": "\u017fell"}, {"amountIn": "\u20031.5"}),
    *({"amountIn": "\u0661"}, {"venues": ["raydium\u2003"]}, {"tokenIn": "SOL\u0000"}),
    *({"tokenIn": "\ud800"}, {"clientOrderId": "\ud800"}, {"amountIn": "1\udfff"}),
    *({"venues": ["\ud800"]}, {"\u0000": 1}, {"clientOrderId": "\u0000"}),
]


@pytest.mark.parametrize("field", LOOK_ALIKES)
async def test_what_only_looks_like_our_words_is_not_taken_for_them(field: dict[str, Any]) -> None:
    before = count_stored()
    answer = await post("/execute", SELL_SOL | field)
    assert_problem(answer, 400, "invalid_order")
    assert count_stored() == before


async def test_only_what_we_can_write_may_be_asked_for() -> None:
    before = count_stored()
    for answer in (
        await get("/api/orders", accept="application/xml"),
        await post("/execute", SELL_SOL, accept="application/xml"),
    ):
        assert_problem(answer, 406, "not_acceptable")

    assert count_stored() == before


NO_ORDERS: list[tuple[bytes | list[bytes], dict[str, str], int, str | None]] = [
    (b"", {}, 400, "invalid_order"),
    (b"", {"content_type": ""}, 400, "invalid_order"),
    (b"{}", {}, 400, "invalid_order"),
    (b"[]", {}, 400, "invalid_order"),
    (b"null", {}, 400, "invalid_order"),
    (b'"order"', {}, 400, "invalid_order"),
    (b"{", {}, 400, "malformed_json"),
    (b"amount=1", {}, 400, "malformed_json"),
    (b'{"amount": NaN}', {}, 400, "malformed_json"),
    (b'{"amount": Infinity}', {}, 400, "malformed_json"),
    (b'{"amount": 1e99999999999999999999}', {}, 400, "malformed_json"),
    (b'{"amount": ' + b"9" * 5_000 + b"}", {}, 400, "malformed_json"),
    (b'{"amount": ' + b"9" * 4_000 + b"}", {}, 400, "invalid_order"),
    (b'{"amount": 1e309}', {}, 400, "invalid_order"),
    (b'{"side": "buy", "amount": 1, "amount": 2}', {}, 400, "malformed_json"),
    (b'{"side": "b\xff"}', {}, 400, "malformed_json"),
    (b"\x00", {}, 400, "malformed_json"),
    (b'{"side": "\x00"}', {}, 400, "malformed_json"),
    (b'{"tokenIn": "\\u0000", "tokenOut": "SOL"}', {}, 400, "invalid_order"),
    (b'{"\\u0000": 1}', {}, 400, "invalid_order"),
    (b'{"\\ud800": 1}', {}, 400, "malformed_json"),
    (b'{"tokenIn": "\\ud800", "tokenOut": "SOL"}', {}, 400, "invalid_order"),
    (json.dumps(SELL_SOL).encode("utf-16"), {}, 400, "malformed_json"),
    (b"[" * 65_536, {}, 400, "malformed_json"),
    (b"[" * 32_768 + b"]" * 32_768, {}, 400, "malformed_json"),
    (b'{"a":' * 13_000, {}, 400, "malformed_json"),
    (b'{"amount":' + b"[" * 400 + b"]" * 400 + b"}", {}, 400, "invalid_order"),
    (json.dumps(SELL_SOL).encode(), {"content_type": "text/plain"}, 415, None),
    (json.dumps(SELL_SOL).encode(), {"content_type": "application/jsonp"}, 415, None),
    (json.dumps(SELL_SOL).encode(), {"content_type": "application/octet-stream"}, 415, None),
    (json.dumps(SELL_SOL).encode(), {"content_type": ""}, 415, None),
    (json.dumps(SELL_SOL).encode(), {"content_type": "junk"}, 415, None),
    (json.dumps(SELL_SOL).encode(), {"host": "a b"}, 400, "bad_request"),
    (b"--", {"content_type": "multipart/form-data"}, 415, "unsupported_media_type"),
    (
        b"side=buy",
        {"content_type": "application/x-www-form-urlencoded; charset=base64"},
        415,
        "unsupported_media_type",
    ),
    (
        b"&".join(b"a%d=" % number for number in range(2_000)),
        {"content_type": "application/x-www-form-urlencoded"},
        415,
        "unsupported_media_type",
    ),
    (
        b"--",
        {"content_type": "multipart/form-data", "cookie": "a=b"},
        400,
        "malformed_json",
    ),
    (
        b"side=%31",
        {"content_type": "application/x-www-form-urlencoded; charset=base64", "cookie": "a=b"},
        415,
        "unsupported_media_type",
    ),
    (
        b"&".join(b"a%d=" % number for number in range(2_000)),
        {"content_type": "application/x-www-form-urlencoded", "cookie": "a=b"},
        400,
        "bad_request",
    ),
    (DECLARED, {}, 413, "body_too_large"),
    (CHUNKED, {}, 413, "body_too_large"),
    (CHUNKED, {"cookie": "a=b"}, 413, "body_too_large"),
    (b"x" * 65_537, {}, 413, "body_too_large"),
    (b" " * 65_536, {}, 400, "malformed_json"),
]


@pytest.mark.parametrize(
    ("body", "headers", "status", "error"),
    NO_ORDERS,
    ids=lambda value: str(value)[:40],
)
async def test_a_body_that_is_no_order_is_refused_and_nothing_is_stored(
    body: bytes | list[bytes], headers: dict[str, str], status: int, error: str | None
) -> None:
    before = count_stored()
    sent = {"content_type": "application/json", **headers}
    answer = await request("POST", "/api/orders/execute", body, **sent)
    assert_problem(answer, status, error or "unsupported_media_type")
    assert count_stored() == before


async def test_every_path_that_reads_a_body_limits_it() -> None:
    order_id = await submit()
    for path in ("/health", f"/api/orders/{order_id}/cancel", "/nothing"):
        assert_problem(await post(path, DECLARED), 413, "body_too_large")


async def test_a_host_that_is_not_ours_is_refused_before_anything_is_stored() -> None:
    before = count_stored()
    with override_settings(ALLOWED_HOSTS=["testserver"]):
        refused = await post("/execute", SELL_SOL, host="evil.example")
    assert_problem(refused, 400, "bad_request")

    assert "ALLOWED_HOSTS" in refused.json["detail"]
    assert count_stored() == before


@pytest.mark.parametrize(
    "host", ["engine.example:", "Engine.Example.:8000", "[0:0::1]", "[::1]:80"]
)
async def test_an_order_is_taken_by_whichever_way_its_host_is_written(host: str) -> None:
    with override_settings(ALLOWED_HOSTS=["engine.example", "[::1]"]):
        taken = await post("/execute", SELL_SOL, host=host)
    assert taken.status == 201


async def test_a_refused_order_is_told_field_by_field() -> None:
    before = count_stored()
    answer = await post("/execute", {"tokenIn": "SOL", "amount": "-5", "price": 90})
    assert_problem(answer, 400, "invalid_order")

    assert answer.json["fields"] == ["amount", "price", "tokenIn"]
    assert answer.json["errors"] == [
        {"field": "price", "code": "unknown_field", "message": "There is no such field."}
    ]
    assert "price" in answer.json["detail"]
    assert count_stored() == before


async def test_no_answer_is_guessed_to_be_a_page_by_a_browser() -> None:
    for answer in (await get("/api/orders"), await post("/execute", b"<script>")):
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_without_the_database_every_door_says_that_trying_again_helps() -> None:
    order_id = str(uuid4())
    for method, path in (
        ("POST", "/api/orders/execute"),
        ("GET", f"/api/orders/{order_id}"),
        ("GET", f"/api/orders/{order_id}/events"),
        ("POST", f"/api/orders/{order_id}/cancel"),
    ):
        body = json.dumps(SELL_SOL).encode() if path.endswith("execute") else b""
        with database_away():
            answer = await request(method, path, body, content_type="application/json")
        assert_problem(answer, 503, "database_unavailable")
        assert answer.headers["retry-after"] == "1"


async def test_times_are_in_utc_wherever_the_database_stands() -> None:
    at = datetime.now(UTC)
    with psycopg.connect(as_owner(conninfo()), autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {connection.info.dbname} SET TimeZone TO 'Asia/Tokyo'")
        try:
            order_id = await submit()
            await confirm(order_id)
            order = (await get(f"/api/orders/{order_id}")).json
            async with connected(f"/ws/orders/{order_id}") as socket:
                messages, _ = await socket.rest()
        finally:
            connection.execute(f"ALTER DATABASE {connection.info.dbname} RESET TimeZone")
    told = [order[name] for name in ("createdAt", "startedAt", "finishedAt")]
    told += [message["timestamp"] for message in messages]

    assert len(told) == 8
    for time in told:
        assert abs(datetime.fromisoformat(time) - at) < timedelta(minutes=1)


async def test_an_accepted_order_is_among_the_active_ones_until_it_ends(
    redis_client: redis.Redis,
) -> None:
    order_id = await submit()
    await hints_of_this_loop().wait_until_drained()
    snapshot: Any = redis_client.hget(ACTIVE_ORDERS, order_id)

    assert json.loads(snapshot)["status"] == "pending"
    await request("POST", f"/api/orders/{order_id}/cancel")
    assert not redis_client.hexists(ACTIVE_ORDERS, order_id)
