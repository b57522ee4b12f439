"""Frames with a `requestId` do what requests do over HTTP, and are answered under their ids."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from django.test import override_settings

from config.database.conninfo import conninfo
from config.runtime.rate import Rate
from orders.api.changes import batch_views, replace_views
from orders.engine import submission
from orders.lifecycle import Status
from orders.sockets import consumers, entry, protocol
from orders.sockets.entry import ACTIONS, Answers
from tests.support.accounts import Account, execute, make_account
from tests.support.client import (
    CREDENTIALS,
    PATIENCE,
    SELL_SOL,
    Socket,
    connected,
    count_stored,
    database_away,
    get,
    post,
    request,
)
from tests.support.order_types import LIMIT, STOP
from tests.support.resting_orders import rest_limit
from tests.support.shapes import assert_told
from tests.support.walker import Walker, confirm

pytestmark = pytest.mark.usefixtures("engine_loop", "redis_client", "account")

PATH, ACCOUNT = "/api/orders/execute", "/ws/orders"
OCO = SELL_SOL | {
    "type": "oco",
    "takeProfit": {"limitPrice": "999"},
    "stopLoss": {"trailBps": 500},
}
"""One that needs no price to be read."""
TO_SUBMITTED = (Status.ROUTING, Status.BUILDING, Status.SUBMITTED)


@pytest.fixture
def ends_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a socket end soon after its last order."""
    monkeypatch.setattr(consumers, "IDLE_SECONDS", 0.05)


@asynccontextmanager
async def opened(**headers: str) -> AsyncIterator[Socket]:
    """Open a socket on which orders are entered."""
    async with connected(PATH, **headers) as socket:
        yield socket


async def ask(socket: Socket, action: str, request_id: str | None = None, **members: Any) -> Any:
    """Send a frame, and return its answer; what else the socket tells is passed over."""
    name = request_id or f"{action}-{uuid4()}"
    await socket.send({"action": action, "requestId": name, **members})
    return await answer_to(socket, name)


async def answer_to(socket: Socket, request_id: str) -> dict[str, Any]:
    return await heard(socket, lambda message: message.get("requestId") == request_id)


async def heard(socket: Socket, is_it: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Wait for such a message; checkpoints, which go on for ever, are no reason to wait on."""
    async with asyncio.timeout(PATIENCE):
        while not is_it(message := await socket.message()):
            pass
    return message


def acked(message: dict[str, Any], status: int) -> Any:
    """Hold an answer to an acknowledgement of this status, and return its body."""
    assert message["type"] == "ack", message
    assert message["httpStatus"] == status
    assert_told([message], "orderEntry")
    return message["body"]


def refused(message: dict[str, Any], status: int, code: str) -> dict[str, Any]:
    assert message["type"] == "error", message
    assert (message["httpStatus"], message["error"]) == (status, code), message
    assert message["requestId"]
    assert_told([message], "orderEntry")
    return message


def fields_of(message: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["field"], one["code"]) for one in message["errors"]]


# --- each action ---------------------------------------------------------------------------------


async def test_an_order_is_acknowledged_as_over_http_and_then_followed(ends_soon: None) -> None:
    async with opened() as socket:
        await socket.send({"action": "execute", "requestId": "1", "order": SELL_SOL})
        body = acked(await socket.message(), 201)
        first = await socket.message()
        order_id = body["orderId"]
        await confirm(order_id)
        messages, code = await socket.rest()

    by_http = (await post(PATH, SELL_SOL)).json
    assert body.keys() == by_http.keys()
    assert body["links"].keys() == by_http["links"].keys()
    assert body["links"]["order"] == by_http["links"]["order"].replace(by_http["orderId"], order_id)
    assert [one["seq"] for one in (first, *messages)] == [1, 2, 3, 4, 5]
    assert {one["orderId"] for one in (first, *messages)} == {order_id}
    assert code == 1000


async def test_both_orders_of_an_oco_follow_their_ack(account: Account) -> None:
    async with opened() as socket:
        await socket.send({"action": "execute", "requestId": "1", "order": OCO})
        body = acked(await socket.message(), 201)
        events = await socket.messages(2)

    assert [one["orderId"] for one in body["orders"]] == [one["orderId"] for one in events]
    assert [one["seq"] for one in events] == [1, 1]


async def test_an_order_is_cancelled_as_over_http(account: Account) -> None:
    order_id = await rest_limit(account.id, 112)
    async with opened() as socket:
        body = acked(await ask(socket, "cancel", orderId=order_id), 200)
        again = acked(await ask(socket, "cancel", orderId=order_id), 200)
        unknown = await ask(socket, "cancel", orderId=str(uuid4()))
        foreign = await ask(socket, "cancel", orderId=await rest_limit(make_account().id, 112))

    by_http = await request("POST", f"/api/orders/{order_id}/cancel")
    *_, event = (await get(f"/api/orders/{order_id}/events")).json["events"]
    assert event["data"]["by"] == account.key[:12]
    assert body == again == by_http.json
    assert body["status"] == "cancelled"
    refused(unknown, 404, "order_not_found")
    refused(foreign, 404, "order_not_found")


async def test_a_submitted_order_is_cancelled_when_possible() -> None:
    order_id = (await post(PATH, SELL_SOL)).json["orderId"]
    await Walker(order_id).walk(*TO_SUBMITTED)
    async with opened() as socket:
        at_once = await ask(socket, "cancel", orderId=order_id)
        body = acked(await ask(socket, "cancel", orderId=order_id, whenPossible=True), 202)

    assert refused(at_once, 409, "not_cancellable")["orderStatus"] == "submitted"
    assert body["cancelRequested"] is True


async def test_several_orders_are_cancelled_by_their_ids(account: Account) -> None:
    order_ids = [await rest_limit(account.id, 112) for _ in range(3)]
    async with opened() as socket:
        body = acked(await ask(socket, "cancel", orderIds=[*order_ids, "no id"]), 207)

    assert [one["status"] for one in body] == [200, 200, 200, 404]


async def test_all_orders_that_pass_the_filter_are_cancelled(account: Account) -> None:
    limits = [await rest_limit(account.id, 112) for _ in range(2)]
    stop = (await post(PATH, STOP | {"ifCrossed": "execute", "tags": {"book": "a"}})).json
    async with opened() as socket:
        entries = acked(await ask(socket, "cancelAll", scope="entries", market="SOL/USDC"), 200)
        tagged = acked(await ask(socket, "cancelAll", **{"tag.book": "a"}), 200)
        empty = await ask(socket, "cancelAll", market=None)

    assert sorted(entries["orderIds"]) == sorted(limits)
    assert tagged == {"cancelled": 1, "requested": 0, "orderIds": [stop["orderId"]]}
    assert fields_of(refused(empty, 400, "invalid_request")) == [("market", "null")]


async def test_an_order_is_amended_at_the_seq_that_was_seen(account: Account) -> None:
    order_id = await rest_limit(account.id, 112)
    async with opened() as socket:
        change: dict[str, Any] = {"orderId": order_id, "changes": {"limitPrice": "111"}}
        unseen = await ask(socket, "amend", **change)
        body = acked(await ask(socket, "amend", seq=1, **change), 200)
        stale = await ask(socket, "amend", seq=1, **change)
        wrong = await ask(socket, "amend", seq=2, orderId=order_id, changes={"side": "buy"})
        taken = await ask(socket, "amend", seq=2, orderId=order_id, changes={"tags": None})

    refused(unseen, 428, "seq_required")
    assert (body["seq"], body["limitPrice"]) == (2, "111")
    assert refused(stale, 409, "order_changed")["seq"] == 2
    assert fields_of(refused(wrong, 400, "invalid_order")) == [("side", "not_amendable")]
    acked(taken, 200)


async def test_an_order_is_replaced_and_the_new_one_followed(account: Account) -> None:
    order_id = await rest_limit(account.id, 112)
    async with opened() as socket:
        await socket.send(
            {"action": "replace", "requestId": "1", "orderId": order_id, "order": LIMIT}
        )
        body = acked(await socket.message(), 201)
        first = await socket.message()
        again = await ask(socket, "replace", orderId=order_id, order=LIMIT)

    assert body["replaces"] == order_id
    assert (first["orderId"], first["seq"]) == (body["orderId"], 1)
    assert (await get(f"/api/orders/{order_id}")).json["replacedBy"] == body["orderId"]
    assert refused(again, 409, "not_cancellable")["orderStatus"] == "cancelled"


async def test_a_preview_stores_nothing() -> None:
    stored = count_stored()
    async with opened() as socket:
        body = acked(await ask(socket, "preview", order=SELL_SOL), 200)
        wrong = await ask(socket, "preview", order=SELL_SOL | {"amountIn": "-1"})

    assert (body["executesNow"], body["selectedDex"] in ("raydium", "meteora")) == (True, True)
    refused(wrong, 400, "invalid_order")
    assert count_stored() == stored


async def test_the_orders_of_a_batch_follow_its_ack() -> None:
    orders = [SELL_SOL, {"tokenIn": "SOL"}, LIMIT, OCO]
    async with opened() as socket:
        await socket.send({"action": "batch", "requestId": "1", "orders": orders})
        body = acked(await socket.message(), 207)
        events = await socket.messages(4)
        none = await ask(socket, "batch", orders=orders, mode="all")

    assert [one["status"] for one in body] == [201, 400, 201, 201]
    stored = [body[0]["order"], body[2]["order"], *body[3]["orders"]]
    assert [one["orderId"] for one in events] == [one["orderId"] for one in stored]
    assert {one["seq"] for one in events} == {1}
    assert [one["status"] for one in refused(none, 409, "batch_refused")["items"]] == [400]


# --- ids, keys, errors ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "status", "code", "fields"),
    [
        ({"action": "subscribe"}, 400, "unknown_action", None),
        ({"action": ["execute"]}, 400, "unknown_action", None),
        ({"action": "execute"}, 400, "invalid_order", None),
        ({"action": "execute", "order": 7}, 400, "invalid_order", None),
        (
            {"action": "execute", "order": SELL_SOL, "tag": 1},
            *(400, "invalid_request", [("tag", "unknown_field")]),
        ),
        (
            {"action": "execute", "order": SELL_SOL, "idempotencyKey": "a,b"},
            *(400, "invalid_request", [("Idempotency-Key", "given_twice")]),
        ),
        (
            {"action": "execute", "order": SELL_SOL, "idempotencyKey": 7},
            *(400, "invalid_request", [("Idempotency-Key", "invalid_text")]),
        ),
        (
            {"action": "execute", "order": SELL_SOL, "idempotencyKey": "\ud800"},
            *(400, "invalid_request", [("Idempotency-Key", "invalid_text")]),
        ),
        ({"action": "cancel"}, 400, "invalid_request", [("orderId", "required")]),
        ({"action": "cancel", "orderId": 7}, 400, "invalid_request", [("orderId", "invalid_text")]),
        ({"action": "cancel", "orderId": "x"}, 404, "order_not_found", None),
        (
            {"action": "cancel", "orderId": "x", "orderIds": ["x"]},
            *(400, "invalid_request", [("orderId", "unknown_field")]),
        ),
        (
            {"action": "cancel", "orderId": "x", "whenPossible": 1},
            *(400, "invalid_request", [("whenPossible", "invalid_flag")]),
        ),
        (
            {"action": "cancelAll", "markets": "x"},
            *(400, "invalid_request", [("markets", "unknown_field")]),
        ),
        (
            {"action": "amend", "orderId": "x", "seq": 1},
            *(400, "invalid_request", [("changes", "not_an_object")]),
        ),
        (
            {"action": "amend", "orderId": "x", "seq": 1, "changes": {"seq": 1}},
            *(400, "invalid_request", [("seq", "unknown_field")]),
        ),
        ({"action": "replace"}, 400, "invalid_request", [("orderId", "required")]),
        (
            {"action": "preview", "order": SELL_SOL, "idempotencyKey": "k"},
            *(400, "invalid_request", [("idempotencyKey", "unknown_field")]),
        ),
        ({"action": "batch"}, 400, "invalid_request", [("orders", "invalid_list")]),
        (
            {"action": "batch", "orders": [], "modes": 1},
            *(400, "invalid_request", [("modes", "unknown_field")]),
        ),
    ],
)
async def test_a_frame_that_is_wrong_is_refused_under_its_id(
    frame: dict[str, Any], status: int, code: str, fields: Any
) -> None:
    stored = count_stored()
    async with opened() as socket:
        await socket.send({"requestId": "mine", **frame})
        message = refused(await socket.message(), status, code)
        acked(await ask(socket, "preview", order=SELL_SOL), 200)

    assert message["requestId"] == "mine"
    assert fields is None or fields_of(message) == fields
    assert count_stored() == stored


@pytest.mark.parametrize("request_id", [7, None, "", "x" * 65, "a b", "é", ["1"], {}])
async def test_an_id_that_is_none_is_refused(request_id: Any) -> None:
    async with opened() as socket:
        await socket.send({"action": "execute", "requestId": request_id, "order": SELL_SOL})
        message = await socket.message()

    assert (message["type"], message["error"]) == ("error", "invalid_request")
    assert fields_of(message) == [("requestId", "invalid_text")]
    assert count_stored() == 0


async def test_a_repeated_id_gets_the_first_answer_again() -> None:
    async with opened() as socket:
        first = await ask(socket, "execute", "a", order=SELL_SOL)
        again = await ask(socket, "execute", "a", order=LIMIT)
        failed = await ask(socket, "execute", "b", order={})
        failed_again = await ask(socket, "execute", "b", order=SELL_SOL)

    assert first == again
    assert failed == failed_again
    assert execute(conninfo(), "SELECT count(*) FROM orders") == [(1,)]


async def test_an_id_that_is_repeated_while_it_is_under_way_is_done_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = hold(monkeypatch)
    async with opened() as socket:
        for _ in range(3):
            await socket.send({"action": "execute", "requestId": "a", "order": SELL_SOL})
        await gate.reached(1)
        gate.open()
        answers = await socket.messages(3)

    assert answers[0] == answers[1] == answers[2]
    acked(answers[0], 201)
    assert execute(conninfo(), "SELECT count(*) FROM orders") == [(1,)]


async def test_ids_are_of_one_connection() -> None:
    async with opened() as one, opened() as other:
        first = acked(await ask(one, "execute", "a", order=SELL_SOL), 201)
        second = acked(await ask(other, "execute", "a", order=SELL_SOL), 201)

    assert first["orderId"] != second["orderId"]


def test_so_many_answers_are_kept_and_not_more() -> None:
    answers = Answers()
    for number in range(entry.MOST_ANSWERS + 1):
        answers.keep(str(number), "x")
    assert answers.get("0") is None
    assert answers.get("1") == answers.get(str(entry.MOST_ANSWERS)) == "x"
    answers.keep("long", "x" * entry.MOST_KEPT)
    assert answers.get(str(entry.MOST_ANSWERS)) is None
    assert answers.get("long") is not None


async def test_the_same_key_finds_the_same_order_by_both_doors() -> None:
    async with opened() as socket:
        first = acked(
            await ask(socket, "execute", order=SELL_SOL, idempotencyKey="k"),
            201,
        )
        again = acked(await ask(socket, "execute", order=SELL_SOL, idempotencyKey="k"), 200)
        other = await ask(socket, "execute", order=LIMIT, idempotencyKey="k")
        named = SELL_SOL | {"clientOrderId": "mine"}
        by_http = (await post(PATH, named)).json
        by_name = acked(await ask(socket, "execute", order=named), 200)
    over_http = await post(PATH, SELL_SOL, idempotency_key="k")

    assert first["orderId"] == again["orderId"] == over_http.json["orderId"]
    assert over_http.status == 200
    refused(other, 422, "idempotency_key_reused")
    assert by_name["orderId"] == by_http["orderId"]


async def test_a_batch_and_a_replacement_are_found_by_their_keys(account: Account) -> None:
    order_id = await rest_limit(account.id, 112)
    async with opened() as socket:
        batch: dict[str, Any] = {"orders": [SELL_SOL, LIMIT], "idempotencyKey": "b"}
        one, two = [await ask(socket, "batch", **batch) for _ in range(2)]
        new: dict[str, Any] = {"orderId": order_id, "order": LIMIT, "idempotencyKey": "r"}
        three, four = [await ask(socket, "replace", **new) for _ in range(2)]
        too_long = await ask(socket, "batch", orders=[SELL_SOL], idempotencyKey="x" * 251)

    assert [item["status"] for item in acked(one, 207)] == [201, 201]
    assert [item["status"] for item in acked(two, 207)] == [200, 200]
    assert acked(three, 201)["orderId"] == acked(four, 200)["orderId"]
    assert fields_of(refused(too_long, 400, "invalid_request")) == [
        ("Idempotency-Key", "invalid_text")
    ]


async def test_an_order_that_is_found_again_is_followed_from_its_beginning(
    ends_soon: None,
) -> None:
    named = SELL_SOL | {"clientOrderId": "mine"}
    order_id = (await post(PATH, named)).json["orderId"]
    await confirm(order_id)
    async with opened() as socket:
        await socket.send({"action": "execute", "requestId": "a", "order": named})
        assert acked(await socket.message(), 200)["orderId"] == order_id
        messages, _ = await socket.rest()

    assert [one["seq"] for one in messages] == [1, 2, 3, 4, 5]


async def test_a_frame_without_an_id_is_answered_as_ever() -> None:
    async with opened() as socket:
        await socket.send({"action": "execute", "order": SELL_SOL})
        first = await socket.message()
        await socket.send({"action": "cancel", "orderId": first["orderId"]})
        unknown = await socket.message()
        await socket.send({"action": "execute", "order": SELL_SOL, "idempotencyKey": "k"})
        beside = await socket.message()

    assert (first["type"], first["seq"]) == ("status_update", 1)
    assert unknown["error"] == "unknown_action"
    assert fields_of(beside) == [("idempotencyKey", "unknown_field")]
    assert not {"requestId"} & (first.keys() | unknown.keys() | beside.keys())


# --- the ack, the order of things, the bounds ----------------------------------------------------


class Gate:
    """Holds back what submits orders until it is opened."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._waiting = asyncio.Condition()
        self.held = 0

    def open(self) -> None:
        self._open.set()

    async def pass_through(self) -> None:
        async with self._waiting:
            self.held += 1
            self._waiting.notify_all()
        await self._open.wait()

    async def reached(self, number: int) -> None:
        """Wait until so many are held back."""
        async with asyncio.timeout(PATIENCE), self._waiting:
            await self._waiting.wait_for(lambda: self.held >= number)


async def seen(event: asyncio.Event) -> None:
    async with asyncio.timeout(PATIENCE):
        await event.wait()


def hold(
    monkeypatch: pytest.MonkeyPatch,
    place: Any = submission,
    name: str = "submit_order",
    *,
    is_stored: bool = True,
) -> Gate:
    """Hold back the answers to orders that are stored by then, or have yet to be."""
    gate, submit = Gate(), getattr(place, name)

    async def held(*arguments: Any, **options: Any) -> Any:
        if not is_stored:
            await gate.pass_through()
        found = await submit(*arguments, **options)
        if is_stored:
            await gate.pass_through()
        return found

    monkeypatch.setattr(place, name, held)
    return gate


async def test_no_event_of_an_order_comes_before_its_ack(
    monkeypatch: pytest.MonkeyPatch, ends_soon: None
) -> None:
    """57. The order has ended by the time of its ack, and all hints of it have come."""
    gate = hold(monkeypatch)
    async with opened() as socket, opened() as witness:
        await socket.send({"action": "execute", "requestId": "a", "order": SELL_SOL})
        await gate.reached(1)
        ((order_id,),) = execute(conninfo(), "SELECT id::text FROM orders")
        async with connected(f"/ws/orders/{order_id}") as other:
            await other.message()
            await confirm(order_id)
            assert [one["seq"] for one in (await other.rest())[0]] == [2, 3, 4, 5]
        acked(await ask(socket, "preview", "b", order=SELL_SOL), 200)
        gate.open()
        acked(await socket.message(), 201)
        messages, code = await socket.rest()
        await witness.disconnect()

    assert [one["seq"] for one in messages] == [1, 2, 3, 4, 5]
    assert code == 1000


async def test_an_order_whose_hints_were_lost_waits_for_its_ack_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = hold(monkeypatch)
    told = asyncio.Event()
    behind = consumers.OrderEntry.order_behind

    async def noted(self: Any, nudge: dict[str, Any]) -> None:
        await behind(self, nudge)
        told.set()

    monkeypatch.setattr(consumers.OrderEntry, "order_behind", noted)
    async with opened() as socket:
        await socket.send({"action": "execute", "requestId": "a", "order": SELL_SOL})
        await gate.reached(1)
        await seen(told)  # the resync has seen that the log is longer
        gate.open()
        acked(await socket.message(), 201)
        assert (await socket.message())["seq"] == 1


async def test_a_quick_frame_overtakes_a_slow_one(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = hold(monkeypatch)
    async with opened() as socket:
        await socket.send({"action": "execute", "requestId": "slow", "order": SELL_SOL})
        await gate.reached(1)
        await socket.send({"type": "ping"})
        assert await socket.message() == {"type": "pong"}
        acked(await ask(socket, "preview", "quick", order=SELL_SOL), 200)
        gate.open()
        assert acked(await socket.message(), 201)


async def test_changes_of_stored_orders_are_done_in_the_order_of_their_frames(
    account: Account,
) -> None:
    order_id = await rest_limit(account.id, 112)
    async with opened() as socket:
        for seq in range(1, 9):
            await socket.send(
                {"action": "amend", "requestId": str(seq), "orderId": order_id, "seq": seq}
                | {"changes": {"limitPrice": str(112 + seq)}}
            )
        await socket.send({"action": "cancel", "requestId": "9", "orderId": order_id})
        answers = await socket.messages(9)

    assert [one["requestId"] for one in answers] == [str(number) for number in range(1, 10)]
    assert [acked(one, 200)["seq"] for one in answers] == list(range(2, 11))
    assert answers[-1]["body"]["status"] == "cancelled"


async def test_so_many_frames_are_under_way_and_the_next_is_read_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate, most = hold(monkeypatch), entry.MOST_UNDER_WAY
    async with opened() as socket:
        for number in range(most + 5):
            await socket.send({"action": "execute", "requestId": str(number), "order": SELL_SOL})
        await gate.reached(most)
        await socket.send({"type": "ping"})
        assert gate.held == most
        gate.open()
        found = [await socket.message() for _ in range(2 * (most + 5) + 1)]

    answers = {one["requestId"] for one in found if one["type"] == "ack"}
    assert answers == {str(number) for number in range(most + 5)}
    assert sum(one["type"] == "pong" for one in found) == 1


async def test_orders_may_be_sent_as_quickly_as_they_are_answered() -> None:
    """More of them than frames of another kind are let through."""
    number = protocol.MAX_FRAMES + 20
    async with opened() as socket:
        for place in range(number):
            await socket.send({"action": "execute", "requestId": str(place), "order": {}})
        answers = await socket.messages(number)
        assert {one["error"] for one in answers} == {"invalid_order"}
        for _ in range(number):
            await socket.send({"action": "execute", "requestId": "0", "order": {}})
        messages, code = await socket.rest()

    assert messages[-1]["error"] == "too_many_frames", "what is repeated is counted"
    assert code == 4429


async def test_what_was_sent_is_done_although_the_client_hangs_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = hold(monkeypatch, is_stored=False)
    async with opened() as socket:
        await socket.send({"action": "execute", "requestId": "a", "order": SELL_SOL})
        await gate.reached(1)
        gate.open()
    assert execute(conninfo(), "SELECT count(*) FROM orders") == [(1,)]


async def test_a_socket_that_follows_as_many_as_it_may_refuses_and_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(consumers, "MAX_OPEN_ORDERS", 2)
    async with opened() as socket:
        acked(await ask(socket, "execute", order=SELL_SOL), 201)
        stored = count_stored()
        refused(await ask(socket, "batch", orders=[SELL_SOL, SELL_SOL]), 429, "too_many_orders")
        assert count_stored() == stored
        acked(await ask(socket, "execute", order=SELL_SOL), 201)
        named = SELL_SOL | {"clientOrderId": "mine"}
        assert (await post(PATH, named)).status == 201
        acked(await ask(socket, "execute", order=named), 200)  # which is not followed here
        refused(await ask(socket, "execute", order=SELL_SOL), 429, "too_many_orders")


async def test_a_socket_is_not_closed_while_a_frame_is_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    idled, idle = asyncio.Event(), consumers.OrderEntry.order_idle

    async def noted(self: Any, nudge: dict[str, Any]) -> None:
        await idle(self, nudge)
        idled.set()

    monkeypatch.setattr(consumers.OrderEntry, "order_idle", noted)
    monkeypatch.setattr(consumers, "IDLE_SECONDS", 0.02)
    async with opened() as socket:
        body = acked(await ask(socket, "execute", order=SELL_SOL), 201)
        gate = hold(monkeypatch, entry, "preview_order")
        await socket.send({"action": "preview", "requestId": "late", "order": SELL_SOL})
        await gate.reached(1)
        await confirm(body["orderId"])
        await seen(idled)
        gate.open()
        acked(await answer_to(socket, "late"), 200)


# --- the account's stream ------------------------------------------------------------------------


@asynccontextmanager
async def following(path: str = ACCOUNT, **headers: str) -> AsyncIterator[Socket]:
    """Open an account's stream, and wait until it tells what is new."""
    async with connected(path, **headers) as socket:
        assert (await socket.message())["type"] == "hello"
        yield socket


async def test_each_action_is_taken_on_an_accounts_stream(account: Account) -> None:
    order_id, other = await rest_limit(account.id, 112), await rest_limit(account.id, 112)
    async with following() as socket:
        frames = frames_of(order_id)
        statuses = {"execute": 201, "amend": 200, "preview": 200, "batch": 207, "replace": 201}
        for action, status in statuses.items():
            acked(await ask(socket, action, **frames[action]), status)
        acked(await ask(socket, "cancel", orderId=other), 200)
        acked(await ask(socket, "cancelAll"), 200)
        again = refused(await ask(socket, "cancel", orderId=str(uuid4())), 404, "order_not_found")
        await socket.send({"action": "execute", "order": SELL_SOL})
        without_id = await heard(socket, lambda message: message["type"] == "error")

    assert {*statuses, "cancel", "cancelAll"} == ACTIONS.keys()
    assert again["requestId"]
    assert without_id["error"] == "unexpected_frame"


async def test_no_event_and_no_checkpoint_overtakes_an_ack(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """57. What another socket has heard long ago is told after the ack, in order."""
    gate = hold(monkeypatch)
    async with following() as socket, following() as witness:
        await socket.send({"action": "execute", "requestId": "a", "order": SELL_SOL})
        await gate.reached(1)
        first = await heard(witness, lambda message: "seq" in message)
        await confirm(first["orderId"])
        seen = [first, *(await until_checkpoint(witness))]
        await socket.send({"action": "preview", "requestId": "b", "order": SELL_SOL})
        before, _ = await socket.until(lambda message: message.get("requestId") == "b")
        gate.open()
        acked(await answer_to(socket, "a"), 201)
        told = await until_checkpoint(socket)

    assert [one["seq"] for one in seen[:-1]] == [1, 2, 3, 4, 5]
    assert [one for one in before if "seq" in one] == []
    assert seen[-1]["cursor"] not in [one.get("cursor") for one in before]
    assert told[:-1] == seen[:-1]


@pytest.mark.parametrize(
    ("place", "name", "members", "orders"),
    [
        (submission, "submit_group", {"action": "execute", "order": OCO}, 2),
        (batch_views, "submit_each", {"action": "batch", "orders": [SELL_SOL, LIMIT, OCO]}, 4),
        (
            *(batch_views, "submit_together"),
            *({"action": "batch", "mode": "all", "orders": [SELL_SOL, OCO]}, 3),
        ),
        (replace_views, "replace_order", {"action": "replace", "order": OCO}, 2),
    ],
)
async def test_no_first_event_of_several_orders_overtakes_their_ack(
    place: Any,
    name: str,
    members: dict[str, Any],
    orders: int,
    monkeypatch: pytest.MonkeyPatch,
    account: Account,
) -> None:
    frame = members | {"requestId": "a"}
    if members["action"] == "replace":
        frame["orderId"] = await rest_limit(account.id, 112)
    gate = hold(monkeypatch, place, name)
    async with following() as socket, following() as witness:
        await socket.send(frame)
        await gate.reached(1)
        seen = await first_events(witness, orders)
        await socket.send({"action": "preview", "requestId": "b", "order": SELL_SOL})
        before, _ = await socket.until(lambda message: message.get("requestId") == "b")
        gate.open()
        await answer_to(socket, "a")
        told = await first_events(socket, orders)

    assert [one for one in before if one.get("seq") == 1] == []
    assert told == seen


async def first_events(socket: Socket, number: int) -> set[str]:
    """Return the ids of so many orders whose first events are told."""
    found: set[str] = set()
    while len(found) < number:
        message = await heard(socket, lambda message: message.get("seq") == 1)
        found.add(message["orderId"])
    return found


async def until_checkpoint(socket: Socket) -> list[dict[str, Any]]:
    """Return what is told up to the checkpoint after the last event of an order."""
    told: list[dict[str, Any]] = []
    while not (told and told[-1]["status"] == "confirmed"):
        told.append(await heard(socket, lambda message: "seq" in message))
    return [*told, await heard(socket, lambda message: message["type"] == "checkpoint")]


async def test_events_of_other_orders_do_not_wait_for_an_ack(
    monkeypatch: pytest.MonkeyPatch, account: Account
) -> None:
    gate = hold(monkeypatch)
    async with following() as socket:
        await socket.send({"action": "execute", "requestId": "a", "order": SELL_SOL})
        await gate.reached(1)
        order_id = await rest_limit(account.id, 112)
        await request("POST", f"/api/orders/{order_id}/cancel")
        message = await heard(socket, lambda message: message.get("event") == "cancelled")
        assert message["orderId"] == order_id
        gate.open()
        acked(await answer_to(socket, "a"), 201)


async def test_a_reading_key_follows_an_account_and_enters_nothing(account: Account) -> None:
    order_id = await rest_limit(account.id, 112)
    reader = {"authorization": f"Bearer {account.reading_key()}"}
    ticket = (await request("POST", "/api/ws-tickets", **reader)).json["ticket"]
    stored = count_stored()
    for socket_of in (following(**reader), anonymous(f"{ACCOUNT}?ticket={ticket}")):
        async with socket_of as socket:
            for action, members in frames_of(order_id).items():
                await socket.send({"action": action, "requestId": action, **members})
                message = await answer_to(socket, action)
                if action == "preview":
                    acked(message, 200)
                else:
                    refused(message, 403, "insufficient_scope")
    assert count_stored() == stored


# --- limits and scopes ---------------------------------------------------------------------------


@override_settings(ACCOUNT_RATE_LIMIT=Rate(1, 1000))
async def test_orders_are_limited_as_over_http() -> None:
    async with opened() as socket:
        acked(await ask(socket, "execute", order=SELL_SOL), 201)
        message = refused(await ask(socket, "execute", order=SELL_SOL), 429, "too_many_requests")
        batch = acked(await ask(socket, "batch", orders=[SELL_SOL]), 207)
    over_http = await post(PATH, SELL_SOL)

    assert 990 < message["retryAfter"] <= 1000
    assert batch[0]["status"] == 429
    assert (over_http.status, over_http.json["message"]) == (429, message["message"])


@override_settings(RESTING_RATE_LIMIT=Rate(1, 1000))
async def test_orders_that_rest_and_their_changes_are_limited_apart(account: Account) -> None:
    order_id = await rest_limit(account.id, 112)
    async with opened() as socket:
        change: dict[str, Any] = {"orderId": order_id, "seq": 1, "changes": {"limitPrice": "113"}}
        acked(await ask(socket, "amend", **change), 200)
        refused(await ask(socket, "execute", order=LIMIT), 429, "too_many_requests")
        refused(await ask(socket, "amend", **change), 429, "too_many_requests")
        new: dict[str, Any] = {"orderId": order_id, "order": LIMIT}
        refused(await ask(socket, "replace", **new), 429, "too_many_requests")
        acked(await ask(socket, "execute", order=SELL_SOL), 201)
        acked(await ask(socket, "cancel", orderId=order_id), 200)


@override_settings(PREVIEW_RATE_LIMIT=Rate(1, 1000))
async def test_previews_are_limited_apart() -> None:
    async with opened() as socket:
        acked(await ask(socket, "preview", order=SELL_SOL), 200)
        refused(await ask(socket, "preview", order=SELL_SOL), 429, "too_many_requests")
        acked(await ask(socket, "execute", order=SELL_SOL), 201)


@override_settings(MAX_OPEN_ORDERS=1)
async def test_only_so_many_orders_rest() -> None:
    async with opened() as socket:
        acked(await ask(socket, "execute", order=LIMIT), 201)
        refused(await ask(socket, "execute", order=LIMIT), 409, "too_many_open_orders")


def frames_of(order_id: str) -> dict[str, dict[str, Any]]:
    """Return a frame of each action that would do something."""
    return {
        "execute": {"order": SELL_SOL},
        "cancel": {"orderId": order_id},
        "cancelAll": {},
        "amend": {"orderId": order_id, "seq": 1, "changes": {"limitPrice": "113"}},
        "replace": {"orderId": order_id, "order": LIMIT},
        "preview": {"order": SELL_SOL},
        "batch": {"orders": [SELL_SOL]},
    }


async def test_a_key_that_only_reads_follows_and_previews_and_enters_nothing(
    account: Account,
) -> None:
    order_id = await rest_limit(account.id, 112)
    reader = account.reading_key()
    ticket = (await request("POST", "/api/ws-tickets", authorization=f"Bearer {reader}")).json
    path = f"{PATH}?orderId={order_id}"
    stored = count_stored()
    by_ticket = f"{path}&ticket={ticket['ticket']}"
    for socket_of in (connected(path, authorization=f"Bearer {reader}"), anonymous(by_ticket)):
        async with socket_of as socket:
            assert (await socket.message())["status"] == "connected"
            for action, members in frames_of(order_id).items():
                message = await ask(socket, action, **members)
                if action == "preview":
                    acked(message, 200)
                else:
                    refused(message, 403, "insufficient_scope")
    assert frames_of(order_id).keys() == ACTIONS.keys()
    assert count_stored() == stored


async def test_without_an_account_there_is_no_cancel_all(account: Account) -> None:
    async with anonymous() as socket:
        order_id = acked(await ask(socket, "execute", order=LIMIT), 201)["orderId"]
        refused(await ask(socket, "cancelAll"), 401, "not_authenticated")
        key = await ask(socket, "execute", order=SELL_SOL, idempotencyKey="k")
        refused(key, 400, "account_required")
        change: dict[str, Any] = {"orderId": order_id, "seq": 1, "changes": {"limitPrice": "113"}}
        acked(await ask(socket, "amend", **change), 200)
        acked(await ask(socket, "cancel", orderId=order_id), 200)


@asynccontextmanager
async def anonymous(path: str = PATH) -> AsyncIterator[Socket]:
    """Open a socket without a header of the account."""
    with pytest.MonkeyPatch.context() as patched:
        patched.delitem(CREDENTIALS, "authorization")
        async with connected(path) as socket:
            yield socket


# --- the database falls silent -------------------------------------------------------------------


async def test_where_the_database_is_away_each_frame_says_what_is_known(account: Account) -> None:
    order_id = await rest_limit(account.id, 112)
    async with opened() as socket:
        acked(await ask(socket, "preview", order=SELL_SOL), 200)
        with database_away():
            for action in ("cancel", "cancelAll", "amend", "replace"):
                message = await ask(socket, action, **frames_of(order_id)[action])
                assert message["httpStatus"] == 503, message
                assert message["error"] in ("database_unavailable", "outcome_unknown")


async def test_what_the_database_did_not_say_is_told_with_id_and_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def lost(*_: Any, order_id: str, **__: Any) -> None:
        raise submission.OutcomeUnknown(order_id)

    async with opened() as socket:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(submission, "submit_order", lost)
            message = await ask(socket, "execute", "a", order=SELL_SOL)
        refused(message, 503, "outcome_unknown")
        assert (message["requestId"], message["retryAfter"]) == ("a", 5)
        assert message["wsUrl"].endswith(message["orderId"])
        again = await ask(socket, "execute", "a", order=SELL_SOL)
        assert again == message
        acked(await ask(socket, "execute", "b", order=SELL_SOL), 201)


async def test_a_bug_is_told_under_the_id_and_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    async with opened() as socket:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(entry, "read_object", broken)
            refused(await ask(socket, "execute", order=SELL_SOL), 500, "internal_error")
        acked(await ask(socket, "execute", order=SELL_SOL), 201)

    assert [one.exc_info[0] for one in caplog.records if one.exc_info] == [ZeroDivisionError]
