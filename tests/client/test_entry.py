"""An order whose answer was lost is found again, never doubled; what is known is what is told."""

from decimal import Decimal
from typing import Any

import pytest

from order_engine_client import AsyncClient, NewOrder, NotNow, OutcomeUnknown, Refused
from order_engine_client.http import LATE_SECONDS
from tests.client.conftest import Clock
from tests.client.scripted import Answer, HangUp, answering

SELL: NewOrder = {"side": "sell", "amountIn": Decimal("1.50")}
ID = "0194a7de-0000-7000-8000-000000000001"
TAKEN = Answer(201, {"orderId": ID, "status": "pending", "amountIn": "1.5", "seq": 1})
FOUND = Answer(200, TAKEN.body)


def problem(status: int, code: str, **members: Any) -> Answer:
    return Answer(status, {"error": code, "detail": f"It is {code}.", "status": status, **members})


UNKNOWN = problem(503, "outcome_unknown", orderId=ID, retryAfter=5)
AWAY = problem(503, "database_unavailable")
BAD = problem(400, "invalid_order", errors=[{"field": "side", "code": "bad", "message": "No."}])
ABSENT = problem(404, "order_not_found")
LOST = HangUp()


def an_account(url: str, **options: Any) -> AsyncClient:
    return AsyncClient(url, "oee_test_key", **options)


@pytest.mark.parametrize(
    "before",
    [
        [LOST],
        [UNKNOWN],
        [LOST, AWAY, problem(429, "too_many_requests"), UNKNOWN, problem(500, "internal_error")],
        [Answer(502, b"<html>of a proxy</html>")],
        [LOST, BAD],  # the first was stored after the second had been judged
    ],
    ids=str,
)
async def test_an_order_whose_answer_was_lost_is_sent_again_under_its_key(
    clock: Clock, before: list[Answer | HangUp]
) -> None:
    async with answering(*before, FOUND) as script, an_account(script.url) as client:
        order = await client.place(SELL)
    assert (order.order_id, order.amount_in) == (ID, Decimal("1.5"))
    assert len(script.asked) == len(before) + 1
    assert len(set(script.keys)) == 1
    assert script.keys[0]
    assert {one.headers["authorization"] for one in script.asked} == {"Bearer oee_test_key"}
    assert all(one.body == {"side": "sell", "amountIn": "1.50"} for one in script.asked)


async def test_each_order_has_a_key_of_its_own_or_that_which_is_given(clock: Clock) -> None:
    async with answering(TAKEN) as script, an_account(script.url) as client:
        await client.place(SELL)
        await client.place(SELL)
        await client.place(SELL, key="mine")
        await client.replace(ID, SELL, key="other")
    assert len(set(script.keys)) == 4
    assert script.keys[2:] == ["mine", "other"]


async def test_the_client_comes_again_after_the_seconds_that_the_engine_says(clock: Clock) -> None:
    header = Answer(503, {"error": "overloaded"}, {"Retry-After": "7"})
    async with answering(UNKNOWN, header, TAKEN) as script, an_account(script.url) as client:
        await client.place(SELL)
    assert clock.pauses == [5, 7]


async def test_an_order_that_is_refused_is_not_sent_again(clock: Clock) -> None:
    async with answering(BAD) as script, an_account(script.url) as client:
        with pytest.raises(Refused, match="It is invalid_order") as told:
            await client.place(SELL)
    assert len(script.asked) == 1
    assert (told.value.code, told.value.status) == ("invalid_order", 400)
    assert [(one.field, one.code, one.message) for one in told.value.fields] == [
        ("side", "bad", "No.")
    ]


async def test_a_refusal_after_a_lost_answer_counts_once_nothing_can_be_stored_any_more(
    clock: Clock,
) -> None:
    start = clock.now
    async with answering(LOST, BAD) as script, an_account(script.url) as client:
        with pytest.raises(Refused, match="It is invalid_order"):
            await client.place(SELL)
    assert clock.now - start >= LATE_SECONDS


async def test_a_credential_that_ends_after_a_lost_answer_leaves_the_outcome_unknown(
    clock: Clock,
) -> None:
    answers = (LOST, problem(401, "not_authenticated"))
    async with answering(*answers) as script, an_account(script.url) as client:
        with pytest.raises(OutcomeUnknown) as told:
            await client.place(SELL)
    assert told.value.__cause__ is not None
    assert len(script.asked) == 2


@pytest.mark.parametrize(
    ("answers", "kind", "code"),
    [
        ([AWAY], NotNow, "database_unavailable"),
        ([problem(503, "trading_halted", retryAfter=30)], NotNow, "trading_halted"),
        ([UNKNOWN, AWAY], OutcomeUnknown, "outcome_unknown"),
        ([LOST], OutcomeUnknown, "no_answer"),
    ],
)
async def test_when_the_time_is_over_what_is_known_is_told(
    clock: Clock, answers: list[Answer | HangUp], kind: type[Exception], code: str
) -> None:
    start = clock.now
    async with answering(*answers) as script, an_account(script.url, give_up_after=20) as client:
        with pytest.raises(kind) as told:
            await client.place(SELL)
    assert told.value.code == code  # type: ignore[attr-defined]
    assert clock.now - start <= 20


async def test_an_anonymous_order_whose_answer_was_lost_is_never_sent_again(clock: Clock) -> None:
    async with answering(LOST) as script, AsyncClient(script.url) as client:
        with pytest.raises(OutcomeUnknown) as told:
            await client.place(SELL)
    assert script.lines == ["POST /api/orders/execute"]
    assert script.keys == [None]
    assert told.value.order_id is None


async def test_an_anonymous_order_that_was_not_stored_is_sent_again(clock: Clock) -> None:
    before = (AWAY, problem(429, "too_many_requests"), problem(503, "overloaded"))
    async with answering(*before, TAKEN) as script, AsyncClient(script.url) as client:
        assert (await client.place(SELL)).order_id == ID
    assert script.lines == ["POST /api/orders/execute"] * 4


async def test_an_anonymous_order_with_an_unknown_outcome_is_asked_for(clock: Clock) -> None:
    looks = (AWAY, LOST, ABSENT, ABSENT, FOUND)
    async with answering(UNKNOWN, *looks) as script, AsyncClient(script.url) as client:
        assert (await client.place(SELL)).order_id == ID
    assert script.lines == ["POST /api/orders/execute", *[f"GET /api/orders/{ID}"] * 5]


async def test_an_anonymous_order_that_is_absent_for_long_was_not_stored(clock: Clock) -> None:
    start = clock.now
    async with answering(UNKNOWN, ABSENT) as script, AsyncClient(script.url) as client:
        with pytest.raises(NotNow, match="was not stored") as told:
            await client.place(SELL)
    assert told.value.code == "not_stored"
    assert clock.now - start >= LATE_SECONDS
    assert script.lines.count("POST /api/orders/execute") == 1


async def test_the_time_in_which_it_is_absent_is_that_in_which_the_database_answers(
    clock: Clock,
) -> None:
    looks = (ABSENT, ABSENT, AWAY, ABSENT, ABSENT, FOUND)  # 5 s from one to the next
    async with answering(UNKNOWN, *looks) as script, AsyncClient(script.url) as client:
        assert (await client.place(SELL)).order_id == ID


async def test_an_anonymous_order_that_cannot_be_asked_for_stays_unknown(clock: Clock) -> None:
    for look in (AWAY, LOST, problem(401, "not_authenticated")):
        async with answering(UNKNOWN, look) as script, AsyncClient(script.url) as client:
            with pytest.raises(OutcomeUnknown) as told:
                await client.place(SELL)
        assert told.value.order_id == ID


async def test_a_place_where_nothing_listens_is_no_unknown_outcome(clock: Clock) -> None:
    async with an_account("http://127.0.0.1:1", give_up_after=3) as client:
        with pytest.raises(NotNow, match=r"No engine answers at http://127\.0\.0\.1:1") as told:
            await client.place(SELL)
    assert told.value.code == "unreachable"
    assert clock.pauses


@pytest.mark.parametrize("answer", [Answer(200, b"hello"), Answer(404, b"<html>")], ids=str)
async def test_what_is_no_engine_is_told(clock: Clock, answer: Answer) -> None:
    async with answering(answer) as script, an_account(script.url) as client:
        with pytest.raises(Refused, match="no order execution engine") as told:
            await client.place(SELL)
    assert told.value.code == "not_an_engine"


def test_a_url_that_is_none_is_told() -> None:
    with pytest.raises(ValueError, match="localhost:8000 is no URL"):
        AsyncClient("localhost:8000")


async def test_the_order_that_was_to_be_replaced_is_not_taken_for_the_new_one(clock: Clock) -> None:
    async with answering(UNKNOWN, FOUND) as script, AsyncClient(script.url) as client:
        with pytest.raises(OutcomeUnknown):
            await client.replace(ID, SELL)
    assert script.lines == [f"POST /api/orders/{ID}/replace"]


async def test_a_batch_is_sent_again_while_it_is_unknown_what_became_of_one(clock: Clock) -> None:
    known = {"index": 0, "status": 201, "order": TAKEN.body}
    unknown = Answer(207, [known, {"index": 1, "status": 503, "problem": UNKNOWN.body}])
    refused = Answer(207, [known, {"index": 1, "status": 400, "problem": BAD.body}])
    async with answering(unknown, LOST, refused) as script, an_account(script.url) as client:
        found = await client.batch([SELL, SELL])
    assert [one.status for one in found] == [201, 400]
    assert len(set(script.keys)) == 1
    assert len(script.keys) == 3

    for account in (None, "oee_test_key"):
        async with (
            answering(unknown) as script,
            AsyncClient(script.url, account, give_up_after=8) as client,
        ):
            found = await client.batch([SELL, SELL])
        assert isinstance(found[1].error, OutcomeUnknown)
        assert len(script.asked) == (1 if account is None else 2)


async def test_an_oco_is_two_orders_also_after_a_lost_answer(clock: Clock) -> None:
    stop = {**TAKEN.body, "orderId": "2", "groupRole": "stopLoss", "siblingOrderId": ID}
    target = {**TAKEN.body, "groupRole": "takeProfit"}
    both = Answer(201, {"orders": [target, stop]})
    async with answering(both) as script, an_account(script.url) as client:
        pair = await client.place_pair({"type": "oco"})
        with pytest.raises(ValueError, match="two orders"):
            await client.place({"type": "O_C-O"})
    assert [one.order_id for one in pair] == [ID, "2"]
    answers = (UNKNOWN, Answer(200, stop), Answer(200, target))
    async with answering(*answers) as script, AsyncClient(script.url) as client:
        pair = await client.place_pair({"type": "oco"})
    assert [one.order_id for one in pair] == [ID, "2"]


CHANGED = problem(409, "order_changed", seq=4)


def log(event: str, **after: str) -> Answer:
    data = {"before": {}, "after": after}
    return Answer(200, {"events": [{"orderId": ID, "seq": 4, "event": event, "data": data}]})


async def test_an_amendment_whose_answer_was_lost_is_found_in_the_log(clock: Clock) -> None:
    answers = (LOST, CHANGED, log("amended", limitPrice="102.5"), FOUND)
    async with answering(*answers) as script, an_account(script.url) as client:
        order = await client.amend(ID, 3, limitPrice=Decimal("102.50"))
    assert order.order_id == ID
    assert script.asked[0].body == script.asked[1].body == {"limitPrice": "102.50", "seq": 3}
    assert script.lines[2:] == [f"GET /api/orders/{ID}/events?after=3", f"GET /api/orders/{ID}"]


@pytest.mark.parametrize(
    "answers",
    [
        (CHANGED, log("amended", limitPrice="102.5")),  # no answer was lost: it is another's
        (LOST, CHANGED, log("triggered")),
        (LOST, CHANGED, log("amended", limitPrice="99")),
    ],
    ids=str,
)
async def test_an_amendment_that_another_move_overtook_is_refused(
    clock: Clock, answers: tuple[Answer | HangUp, ...]
) -> None:
    async with answering(*answers) as script, an_account(script.url) as client:
        with pytest.raises(Refused) as told:
            await client.amend(ID, 3, limitPrice="102.5")
    assert told.value.code == "order_changed"


async def test_what_does_no_harm_twice_is_asked_until_it_is_answered(clock: Clock) -> None:
    async with answering(LOST, AWAY, FOUND) as script, an_account(script.url) as client:
        assert (await client.cancel(ID, when_possible=True)).order_id == ID
    assert script.lines == [f"POST /api/orders/{ID}/cancel"] * 3
    assert script.asked[2].body == {"whenPossible": True}
