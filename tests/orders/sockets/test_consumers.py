import asyncio
import json
from copy import deepcopy
from typing import Any
from uuid import uuid4

import pytest
from channels.testing import WebsocketCommunicator
from django.test import override_settings

from config.asgi import application
from config.runtime.redis_listening import listening_options
from orders.engine.hints import hints_of_this_loop
from orders.events import Event
from orders.lifecycle import Status
from orders.sockets import consumers, protocol
from orders.streams import resync
from orders.streams.resync import Streams, Watch, streams_of_this_loop
from orders.urls import entry_paths
from tests.support.accounts import Account
from tests.support.client import (
    HOST,
    PATIENCE,
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
from tests.support.database import Database
from tests.support.shapes import assert_told
from tests.support.walker import WHOLE_WAY, Walker, cancel_in_silence, confirm

pytestmark = pytest.mark.usefixtures("engine_loop", "redis_client")

STATUSES = ["pending", "routing", "building", "submitted", "confirmed"]
NO_REDIS = "redis://127.0.0.1:1/0"


@pytest.fixture
def no_resync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the sockets to the hints alone."""
    monkeypatch.setattr(resync, "RESYNC_SECONDS", 3_600)


@pytest.fixture
def quick_resync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resync, "RESYNC_SECONDS", 0.02)


async def log_of(order_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await get(f"/api/orders/{order_id}/events")).json["events"]
    return found


def stream(order_id: str, query: str = "") -> Any:
    return connected(f"/ws/orders/{order_id}{query}")


async def assert_ends(socket: Socket, code: int, error: str) -> None:
    """Hold the socket to saying why it ends, and ending."""
    messages, closed = await socket.rest()
    assert [(one["type"], one["error"]) for one in messages] == [("error", error)]
    assert "status" not in messages[0], "which is a word, and an order's"
    assert messages[0]["httpStatus"] >= 400
    assert messages[0]["message"] == messages[0]["detail"] != ""
    assert closed == code


async def test_a_socket_that_comes_late_gets_the_whole_log_and_a_clean_close() -> None:
    order_id = await submit()
    await confirm(order_id)
    async with stream(order_id) as socket:
        messages, code = await socket.rest()

    assert messages == await log_of(order_id)
    assert [message["status"] for message in messages] == STATUSES
    assert code == 1000


@pytest.mark.parametrize("path", ["/ws/orders/{}", "/api/orders/execute"])
async def test_a_server_that_stops_may_refuse_a_socket_before_it_is_accepted(path: str) -> None:
    """uvicorn answers a handshake that its stop cuts short, and lets nobody accept it then."""

    async def too_late(message: Any) -> None:
        raise RuntimeError(f"got '{message['type']}'")

    async def stopping(scope: Any, receive: Any, send: Any) -> None:
        await application(scope, receive, too_late)

    lines = [(b"host", HOST.encode())]
    communicator = WebsocketCommunicator(stopping, path.format(await submit()), lines)
    await communicator.send_input({"type": "websocket.connect"})
    await communicator.wait(PATIENCE)  # and no exception


async def test_a_socket_that_comes_early_gets_each_event_as_it_happens(no_resync: None) -> None:
    order_id = await submit()
    async with stream(order_id) as socket:
        received = [await socket.message()]
        walker = Walker(order_id)
        for status in WHOLE_WAY:
            await walker.walk(status)
            received.append(await socket.message())
            assert received[-1]["status"] == status
        assert await socket.rest() == ([], 1000)

    assert received == await log_of(order_id)


@pytest.mark.parametrize("after", range(7))
async def test_a_client_that_comes_back_gets_what_it_missed(after: int) -> None:
    order_id = await submit()
    await confirm(order_id)
    async with stream(order_id, f"?after={after}") as socket:
        messages, code = await socket.rest()

    assert [message["seq"] for message in messages] == list(range(after + 1, 6))
    assert code == 1000


@pytest.mark.parametrize("after", [1, 2, 99])
async def test_a_socket_that_has_seen_all_so_far_gets_what_comes(
    after: int, no_resync: None
) -> None:
    order_id = await submit()
    async with stream(order_id, f"?after={after}") as socket:
        await socket.caught_up()
        await confirm(order_id)
        messages, code = await socket.rest()

    assert [message["seq"] for message in messages] == [2, 3, 4, 5]
    assert code == 1000


async def test_a_message_serves_the_clients_of_all_five_systems() -> None:
    order_id = await submit()
    await confirm(order_id)
    async with stream(order_id) as socket:
        messages, _ = await socket.rest()
    last = messages[-1]

    assert set(last) == {
        *("type", "orderId", "seq", "event", "status", "message", "timestamp", "attempt", "route"),
        *("routedDex", "txHash", "executedPrice", "error", "data"),
    }
    assert (last["orderId"], last["seq"], last["status"]) == (order_id, 5, "confirmed")
    assert (last["route"], last["routedDex"]) == ("Meteora", "meteora")
    assert last["data"]["selectedDex"] == "meteora"
    assert last["txHash"] == last["data"]["txHash"]
    assert last["executedPrice"] == last["data"]["executedPrice"]
    assert last["timestamp"].endswith("Z")
    assert messages[0]["data"]["order"]["amountIn"] == "1.5"


async def test_a_hint_told_twice_or_late_is_passed_on_once(no_resync: None) -> None:
    order_id = await submit()
    async with stream(order_id) as socket:
        await socket.message()
        walker = Walker(order_id)
        await walker.walk(Status.ROUTING)
        for seq in (1, 2, 2, 1):
            hints_of_this_loop().publish(await stored_event(order_id, seq))
        await walker.walk(*WHOLE_WAY[1:])
        messages, _ = await socket.rest()

    assert [message["seq"] for message in messages] == [2, 3, 4, 5]


async def stored_event(order_id: str, seq: int) -> Event:
    return (await streams_of_this_loop().history(order_id, seq - 1))[0]


async def test_a_hint_that_skips_an_event_makes_the_socket_read_the_log(no_resync: None) -> None:
    order_id = await submit()
    async with stream(order_id) as socket:
        await socket.message()
        silent = Walker(order_id, in_silence=True)
        await silent.walk(*WHOLE_WAY)
        await silent.close()
        hints_of_this_loop().publish(await stored_event(order_id, 3))
        messages, code = await socket.rest()

    assert [message["seq"] for message in messages] == [2, 3, 4, 5]
    assert code == 1000


async def test_an_event_without_a_hint_is_found_by_the_resync(quick_resync: None) -> None:
    order_id = await submit()
    async with stream(order_id) as socket:
        await socket.message()
        await cancel_in_silence(order_id)
        messages, code = await socket.rest()

    assert [(message["seq"], message["status"]) for message in messages] == [(2, "cancelled")]
    assert code == 1000


async def test_a_socket_ahead_of_its_log_goes_on_from_what_a_restored_database_has(
    quick_resync: None,
    database: Database,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watches: list[Watch] = []
    watch = Streams.watch

    def kept(streams: Streams, new: Watch) -> None:
        watches.append(new)
        watch(streams, new)

    monkeypatch.setattr(Streams, "watch", kept)
    order_id = await submit()
    async with stream(order_id) as socket:
        await socket.message()
        watches[-1].sent = 4
        await logged(caplog, "back in time")
        await cancel_in_silence(order_id)
        messages, code = await socket.rest()

    assert [(message["seq"], message["status"]) for message in messages] == [(2, "cancelled")]
    assert code == 1000
    assert caplog.text.count("back in time") == 1


async def test_a_socket_whose_order_a_restored_database_never_had_is_told(
    quick_resync: None, database: Database
) -> None:
    order_id = await submit()
    async with stream(order_id) as socket:
        await socket.message()
        await database.rows("SET session_replication_role = replica")  # past the triggers
        await database.rows("DELETE FROM orders WHERE id = %s", order_id)
        await assert_ends(socket, 4404, "order_not_found")


@pytest.mark.parametrize("entry", ["/api/orders/execute", "/ws"])
async def test_a_socket_of_several_orders_goes_on_without_one_that_a_restored_database_never_had(
    quick_resync: None, database: Database, entry: str
) -> None:
    async with connected(entry) as socket:
        gone, kept = [await followed(socket, entry) for _ in range(2)]
        await database.rows("SET session_replication_role = replica")  # past the triggers
        await database.rows("DELETE FROM orders WHERE id = %s", gone)
        told = await socket.message()
        assert (told["error"], told["orderId"]) == ("order_not_found", gone)
        await cancel_in_silence(kept)
        assert (await socket.message())["status"] == "cancelled"


async def followed(socket: Socket, entry: str) -> str:
    """Have the socket follow one more order, until it has heard of it; return its id."""
    if entry == "/ws":
        await socket.send({"type": "subscribe", "orderId": await submit()})
    else:
        await socket.send(SELL_SOL)
    return str((await socket.message())["orderId"])


async def logged(caplog: pytest.LogCaptureFixture, text: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while text not in caplog.text:
            await asyncio.sleep(0.005)


async def test_every_socket_of_an_order_hears_of_it(no_resync: None) -> None:
    order_id, other = await submit(), await submit()
    async with stream(order_id) as one, stream(order_id) as two, stream(other) as foreign:
        for socket in (one, two, foreign):
            await socket.message()
        await confirm(order_id)
        for socket in (one, two):
            messages, _ = await socket.rest()
            assert [message["status"] for message in messages] == STATUSES[1:]
        await request("POST", f"/api/orders/{other}/cancel")
        messages, _ = await foreign.rest()
        assert [message["status"] for message in messages] == ["cancelled"]


@pytest.mark.parametrize(
    "path",
    [
        "/ws/orders/0194a7de-0000-7000-8000-000000000001",
        "/ws/orders/1",
        "/ws/orders/%00",
        "/ws/orders/%F0%9F%92%A5",
    ],
)
async def test_an_order_that_does_not_exist_is_said_and_closed_with_4404(path: str) -> None:
    async with connected(path) as socket:
        await assert_ends(socket, 4404, "order_not_found")


@pytest.mark.parametrize("after", ["-1", "x", "9999999999", "%C2%B2"])
async def test_an_after_that_is_no_seq_is_said_and_closed_with_4400(after: str) -> None:
    async with connected(f"/ws/orders/{uuid4()}?after={after}") as socket:
        await assert_ends(socket, 4400, "invalid_after")


@pytest.mark.parametrize(
    ("query", "field", "code"),
    [
        ("since=4", "since", "unknown_parameter"),
        ("After=4", "After", "unknown_parameter"),
        ("slippageBps", "slippageBps", "unknown_parameter"),
        ("=4", "", "unknown_parameter"),
        ("format=json", "format", "unknown_parameter"),
        ("after=", "after", "required"),
        ("ticket=", "ticket", "required"),
        ("after=1&after=1", "after", "given_twice"),
        ("ticket=a&ticket=b", "ticket", "given_twice"),
    ],
)
@pytest.mark.parametrize("path", ["/ws/orders/{id}?", "/execute?orderId={id}&"])
async def test_what_a_sockets_query_has_beside_what_is_known_is_refused_by_name(
    path: str, query: str, field: str, code: str
) -> None:
    order_id = await submit()
    async with connected(f"{path.format(id=order_id)}{query}") as socket:
        (refused,), closed = await socket.rest()
    assert (closed, refused["error"]) == (4400, "invalid_request")
    assert [(one["field"], one["code"]) for one in refused["errors"]] == [(field, code)]


@pytest.mark.parametrize(
    ("query", "field", "code"),
    [
        ("orderid=1", "orderid", "unknown_parameter"),
        ("orderId=", "orderId", "required"),
        ("orderId=1&orderId=", "orderId", "given_twice"),
        ("after=3", "after", "unknown_parameter"),
        ("slippageBps=10", "slippageBps", "unknown_parameter"),
    ],
)
async def test_a_socket_for_orders_that_would_follow_none_is_refused_by_name(
    query: str, field: str, code: str
) -> None:
    async with connected(f"/api/orders/execute?{query}") as socket:
        (refused,), closed = await socket.rest()
    assert (closed, refused["error"]) == (4400, "invalid_request")
    assert [(one["field"], one["code"]) for one in refused["errors"]] == [(field, code)]


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("idempotency-key", "Idempotency-Key"),
        ("x-idempotency-key", "x-idempotency-key"),
        ("idempotency_key", "idempotency_key"),
    ],
)
async def test_a_key_beside_orders_that_it_would_not_protect_is_refused(
    name: str, field: str
) -> None:
    stored = count_stored()
    async with connected("/execute", **{name: "k"}) as socket:
        await socket.send(SELL_SOL)
        (refused,), closed = await socket.rest()

    assert (closed, refused["error"]) == (4400, "invalid_request")
    assert [one["field"] for one in refused["errors"]] == [field]
    assert count_stored() == stored


async def test_what_stands_beside_an_action_is_refused_by_name_and_not_dropped() -> None:
    async with connected("/execute") as socket:
        await socket.send({"action": "execute", "order": SELL_SOL, "slippageBps": 10})
        refused = await socket.message()
        assert refused["error"] == "invalid_order"
        assert [(one["field"], one["code"]) for one in refused["errors"]] == [
            ("slippageBps", "unknown_field")
        ]
        await socket.send({"action": "execute", "order": SELL_SOL})
        assert (await socket.message())["data"]["order"]["summary"].startswith("Sell 1.5 SOL")


@pytest.mark.parametrize("query", ["orderId=1", "orderId=%00"])
async def test_what_is_no_id_is_said_without_a_greeting(query: str) -> None:
    async with connected(f"/execute?{query}") as socket:
        await assert_ends(socket, 4404, "order_not_found")


async def test_an_id_nobody_has_is_said_after_the_greeting() -> None:
    order_id = str(uuid4())
    async with connected(f"/execute?orderId={order_id}") as socket:
        assert await socket.message() == {"orderId": order_id, "status": "connected"}
        await assert_ends(socket, 4404, "order_not_found")


@pytest.mark.parametrize("path", ["/", "/ws/fees", "/nothing", "/api/orders/x/events"])
async def test_a_path_that_leads_nowhere_says_where_orders_are_and_is_closed_with_4404(
    path: str,
) -> None:
    async with connected(path) as socket:
        messages, code = await socket.rest()

    assert code == 4404
    assert_told(messages, "orderStream")
    (frame,) = messages
    assert (frame["type"], frame["error"], frame["httpStatus"]) == ("error", "not_found", 404)
    assert frame["message"] == frame["detail"]
    assert path in frame["message"]
    assert "/ws/orders/{id}" in frame["message"]


JUNK = [
    "junk",
    "{",
    "[]",
    "1",
    '"order"',
    '{"amount": NaN}',
    '{"amount": 1e99999999999999999999}',
    '{"a": 1, "a": 1}',
    '{"\\ud800": 1}',
    "[" * 60_000,
    "\x00",
    b"\x00\x01",
    b'{"side": "buy", "amount": 1}',
]


@pytest.mark.parametrize("frame", JUNK, ids=lambda frame: str(frame)[:20])
async def test_junk_is_said_to_be_junk_and_closed_with_4400(frame: str | bytes) -> None:
    order_id = await submit()
    before = count_stored()
    for path in (f"/ws/orders/{order_id}?after=1", "/api/orders/execute"):
        async with connected(path) as socket:
            await (socket.send_bytes if isinstance(frame, bytes) else socket.send_text)(frame)
            await assert_ends(socket, 4400, "malformed_json")

    assert count_stored() == before


@pytest.mark.parametrize(
    "fields",
    [
        *({"action": "\ud800"}, {"action": "cancel", "orderId": "\udc00"}, {"amount": "1\udfff"}),
        *({"venues": ["\ud800"]}, {"excludeVenues": ["\udfff"]}, {"tokenIn": "\ud800"}),
        *({"idempotencyKey": "\ud800"}, {"clientOrderId": "\ud800"}, {"note": "\ud800"}),
        *({"action": ["\ud800"]}, {"side": {"a": "\ud800"}}, {"slippageBps": "\udfff"}),
    ],
    ids=str,
)
async def test_half_a_character_in_a_frame_is_refused_and_the_socket_goes_on(
    fields: dict[str, object],
) -> None:
    before = count_stored()
    async with connected("/execute") as socket:
        await socket.send_text(json.dumps(SELL_SOL | fields))
        assert (await socket.message())["type"] == "error"
        await socket.send({"action": "wait"})
        assert (await socket.message())["error"] == "unknown_action"

    assert count_stored() == before


async def test_an_order_sent_to_a_stream_is_not_taken_and_the_stream_goes_on() -> None:
    order_id = await submit()
    before = count_stored()
    async with stream(order_id) as socket:
        assert (await socket.message())["seq"] == 1
        await socket.send(SELL_SOL)
        assert (await socket.message())["error"] == "unexpected_frame"
        assert count_stored() == before
        await confirm(order_id)
        _, code = await socket.rest()

    assert code == 1000


async def test_a_flood_of_frames_is_closed_with_4429(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MAX_FRAMES", 5)
    before = count_stored()
    async with connected("/execute") as socket:
        for _ in range(6):
            await socket.send({"action": "wait"})
        messages, code = await socket.rest()

    assert [one["error"] for one in messages] == ["unknown_action"] * 5 + ["too_many_frames"]
    assert code == 4429
    assert count_stored() == before


async def test_one_socket_follows_so_many_orders_and_no_more(
    account: Account,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(consumers, "MAX_OPEN_ORDERS", 2)
    async with connected("/execute") as socket:
        for _ in range(3):
            await socket.send(SELL_SOL)
        messages, code = await socket.rest()

    assert [one.get("status") for one in messages] == ["pending", "pending", None]
    assert messages[-1]["httpStatus"] == 429
    assert code == 4429
    assert len((await get("/api/orders")).json["results"]) == 2


@pytest.mark.parametrize("frame", [SELL_SOL, {"action": "execute", "order": SELL_SOL}])
@pytest.mark.parametrize("path", ["/api/orders/execute", "/execute/"])
async def test_an_order_may_come_as_a_frame_and_is_streamed_to_its_end(
    path: str, frame: dict[str, Any], no_resync: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "IDLE_SECONDS", 0.01)
    async with connected(path) as socket:
        await socket.send(frame)
        first = await socket.message()
        assert (first["seq"], first["status"]) == (1, "pending")
        assert first["message"] == "Order received and queued"
        await confirm(first["orderId"])
        messages, code = await socket.rest()

    assert [message["status"] for message in messages] == STATUSES[1:]
    assert code == 1000


async def test_every_entry_path_is_a_socket_too() -> None:
    for path in entry_paths():
        async with connected(path) as socket:
            await socket.send(SELL_SOL)
            assert (await socket.message())["status"] == "pending"


async def test_several_orders_share_a_socket(
    no_resync: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "IDLE_SECONDS", 0.01)
    async with connected("/orders/execute") as socket:
        ids = []
        for _ in range(3):
            await socket.send(SELL_SOL)
            ids.append((await socket.message())["orderId"])
        for order_id in reversed(ids):
            await confirm(order_id)
        messages, code = await socket.rest()
    for order_id in ids:
        told = [message["seq"] for message in messages if message["orderId"] == order_id]
        assert told == [2, 3, 4, 5]

    assert len(messages) == 12
    assert code == 1000


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        ({}, "invalid_order"),
        (SELL_SOL | {"amountIn": "-5"}, "invalid_order"),
        (SELL_SOL | {"tokenOut": "WSOL"}, "invalid_order"),
        ({"action": "execute"}, "invalid_order"),
        ({"action": "execute", "order": []}, "invalid_order"),
        ({"action": "cancel"}, "unknown_action"),
        ({"action": None}, "unknown_action"),
        ({"action": ["execute"]}, "unknown_action"),
    ],
)
async def test_an_order_that_is_refused_costs_nothing_but_a_frame(
    frame: dict[str, Any], error: str
) -> None:
    before = count_stored()
    async with connected("/execute") as socket:
        await socket.send(frame)
        refusal = await socket.message()
        assert (refusal["type"], refusal["httpStatus"], refusal["error"]) == ("error", 400, error)
        assert count_stored() == before
        await socket.send(SELL_SOL)
        assert (await socket.message())["status"] == "pending"


async def test_a_refusal_on_a_socket_says_what_the_one_over_http_does() -> None:
    wrong = {"tokenIn": "SOL", "limitPrice": 1}
    async with connected("/execute") as socket:
        await socket.send(wrong)
        by_socket = await socket.message()
    by_http = (await post("/execute", wrong)).json
    http_status = by_http.pop("status")

    assert by_socket == by_http | {"type": "error", "httpStatus": http_status}


@pytest.mark.parametrize("path", ["/api/orders/execute", "/execute/"])
async def test_a_socket_for_one_order_greets_follows_and_closes(path: str) -> None:
    order_id = await submit()
    async with connected(f"{path}?orderId={order_id}") as socket:
        assert await socket.message() == {"orderId": order_id, "status": "connected"}
        await confirm(order_id)
        messages, code = await socket.rest()

    assert [message["status"] for message in messages] == STATUSES
    assert code == 1000


async def test_a_socket_for_one_order_knows_after_too() -> None:
    order_id = await submit()
    await confirm(order_id)
    async with connected(f"/execute?orderId={order_id}&after=4") as socket:
        messages, code = await socket.rest()

    assert [message["status"] for message in messages] == ["connected", "confirmed"]
    assert code == 1000


@pytest.mark.parametrize(
    "origin",
    [
        "https://another.example",
        f"http://{HOST}.another.example",
        f"http://{HOST}:8000",
        f"http://another.example/{HOST}",
        "null",
        "http://[",
        "",
        "\xff",
    ],
)
@pytest.mark.parametrize("path", ["/ws/orders/x", "/execute", "/nothing"])
async def test_a_page_of_another_site_opens_no_socket(path: str, origin: str) -> None:
    with pytest.raises(Refused):
        async with connected(path, origin=origin):
            pass


@pytest.mark.parametrize("origin", [f"http://{HOST}", f"https://{HOST}", "https://app.example"])
async def test_our_own_pages_and_trusted_ones_open_sockets(origin: str) -> None:
    order_id = await submit()
    with override_settings(ALLOWED_ORIGINS=["https://app.example"]):
        async with connected(f"/ws/orders/{order_id}", origin=origin) as socket:
            assert (await socket.message())["status"] == "pending"


async def test_without_the_database_a_stream_says_that_trying_again_helps() -> None:
    with database_away():
        async with stream(str(uuid4())) as socket:
            await assert_ends(socket, 1013, "database_unavailable")


async def test_without_the_database_an_order_on_a_socket_is_refused_and_may_be_sent_again() -> None:
    with database_away():
        async with connected("/execute") as socket:
            for _ in range(2):
                await socket.send(SELL_SOL)
                refusal = await socket.message()
                assert (refusal["httpStatus"], refusal["error"]) == (503, "database_unavailable")


async def test_without_redis_a_socket_still_tells_all(
    settings: Any, quick_resync: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = deepcopy(settings.CHANNEL_LAYERS)
    layers["default"]["CONFIG"]["hosts"] = [listening_options(NO_REDIS, connect_seconds=1)]
    monkeypatch.setattr(protocol, "LAYER_SECONDS", 0.2)
    settings.CHANNEL_LAYERS, settings.REDIS_URL = layers, NO_REDIS
    order_id = await submit()
    async with stream(order_id) as socket:
        first = await socket.message()
        await confirm(order_id)
        messages, code = await socket.rest()

    assert [one["status"] for one in [first, *messages]] == STATUSES
    assert code == 1000
