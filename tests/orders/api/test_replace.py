"""`POST /api/orders/{id}/replace`: one order in the place of another."""

import asyncio

import pytest

from config.database.conninfo import conninfo
from orders.engine.submission import new_order_id
from orders.lifecycle import Status
from routing.venue import Side
from tests.orders.api.test_amend import RELEASE_AS_THE_WATCHER
from tests.support.accounts import Account, execute, make_account
from tests.support.client import CREDENTIALS, SELL_SOL, Answer, connected, get, post, submit
from tests.support.resting_orders import rest, rest_limit, resting_order
from tests.support.walker import Walker, confirm

pytestmark = pytest.mark.usefixtures("engine_loop", "redis_client", "account")

STOP = {
    **{"type": "trailingStop", "baseToken": "SOL", "quoteToken": "USDC", "side": "sell"},
    **{"amountIn": "1", "trailBps": 500},
}


async def replace(order_id: str, order: object = STOP, **headers: str) -> Answer:
    return await post(f"/api/orders/{order_id}/replace", order, **headers)


async def order(order_id: str) -> dict[str, object]:
    found: dict[str, object] = (await get(f"/api/orders/{order_id}")).json
    return found


async def test_another_order_takes_the_place_of_one_and_each_names_the_other(
    account: Account,
) -> None:
    old = await rest_limit(account.id, 90, side=Side.BUY)
    answer = await replace(old)

    assert answer.status == 201, answer.text
    new = answer.json["orderId"]
    assert answer.headers["location"] == f"/api/orders/{new}"
    assert (answer.json["status"], answer.json["replaces"]) == ("open", old)
    before, after = await order(old), await order(new)
    assert (before["status"], before["reason"], before["replacedBy"]) == (
        "cancelled",
        "replaced",
        new,
    )
    assert (after["status"], after["type"], after["replaces"]) == ("open", "trailingStop", old)
    assert execute(conninfo(), "SELECT order_id::text FROM watches") == [(new,)]


async def test_a_market_order_takes_the_place_of_one_that_rests(account: Account) -> None:
    old = await rest_limit(account.id, 112)
    answer = await replace(old, SELL_SOL)
    assert (answer.status, answer.json["status"]) == (201, "pending"), answer.text
    assert (await order(answer.json["orderId"]))["replaces"] == old
    await confirm(answer.json["orderId"])


async def test_what_cannot_be_cancelled_is_not_replaced(account: Account) -> None:
    sent, ended, gone = [await submit() for _ in range(3)]
    await Walker(sent).walk(Status.ROUTING, Status.BUILDING, Status.SUBMITTED)
    await confirm(ended)
    await replace(gone)
    stored = execute(conninfo(), "SELECT count(*) FROM orders")
    for order_id, status in ((sent, "submitted"), (ended, "confirmed"), (gone, "cancelled")):
        answer = await replace(order_id)
        assert (answer.status, answer.json["error"]) == (409, "not_cancellable")
        assert answer.json["orderStatus"] == status
    assert execute(conninfo(), "SELECT count(*) FROM orders") == stored


async def test_a_replacement_that_is_no_order_leaves_the_old_one_in_force(
    account: Account,
) -> None:
    old = await rest_limit(account.id, 112)
    await submit(SELL_SOL | {"clientOrderId": "taken"})
    for wrong, status in (
        (STOP | {"trailBps": 0}, 400),
        (STOP | {"price": "1"}, 400),
        ([], 400),
        (STOP | {"clientOrderId": "taken"}, 409),
    ):
        assert (await replace(old, wrong)).status == status
        assert (await order(old))["status"] == "open"
    assert execute(conninfo(), "SELECT count(*) FROM orders") == [(2,)]


async def test_a_name_taken_meanwhile_leaves_the_old_one_in_force(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = await rest_limit(account.id, 112)
    await submit(SELL_SOL | {"clientOrderId": "taken"})
    from orders.engine import submission

    known = submission.accepted_before
    asked = iter((None,))

    async def unknown_at_first(*arguments: object) -> object:
        try:
            return next(asked)
        except StopIteration:
            return await known(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(submission, "accepted_before", unknown_at_first)
    answer = await replace(old, STOP | {"clientOrderId": "taken"})
    assert (answer.status, answer.json["error"]) == (409, "client_order_id_taken")
    assert (await order(old))["status"] == "open"


async def test_a_repeated_replacement_is_one(account: Account) -> None:
    old = await rest_limit(account.id, 112)
    first = await replace(old, idempotency_key="again")
    again = await replace(old, idempotency_key="again")
    assert (first.status, again.status) == (201, 200), again.text
    assert again.headers["idempotent-replayed"] == "true"
    assert first.json["orderId"] == again.json["orderId"]
    other = await replace(old, STOP | {"trailBps": 400}, idempotency_key="again")
    assert (other.status, other.json["error"]) == (422, "idempotency_key_reused")
    alone = await post("/execute", STOP, idempotency_key="again")
    assert alone.status == 422, "an order of its own is not that replacement"


async def test_replacing_one_of_a_group_ends_both_and_is_for_accounts(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    group, strangers = new_order_id(), new_order_id()
    target, stop = await rest(
        resting_order(account.id, limit_price="112", group_id=group),
        resting_order(account.id, "stop", trigger_price="95", group_id=group),
    )
    (anonymous,) = await rest(resting_order(None, limit_price="112", group_id=strangers))
    oco = {
        **{"type": "oco", "baseToken": "SOL", "quoteToken": "USDC", "side": "sell"},
        **{"amountIn": "1", "takeProfit": {"limitPrice": "999"}, "stopLoss": {"trailBps": 500}},
    }
    answer = await replace(target, oco)
    assert answer.status == 201, answer.text
    assert [one["replaces"] for one in answer.json["orders"]] == [target, target]
    assert (await order(target))["reason"] == "replaced"
    assert (await order(stop))["reason"] == "group_cancelled"
    monkeypatch.delitem(CREDENTIALS, "authorization")
    refused = await replace(anonymous)
    assert (refused.status, refused.json["error"]) == (401, "not_authenticated")
    alone = await rest_limit(None, 112)
    assert (await replace(alone)).status == 201, "who holds its id replaces it"


async def test_anothers_order_is_not_replaced(account: Account) -> None:
    mine = await rest_limit(account.id, 112)
    assert (await replace(mine, **make_account().headers)).status == 404
    assert (await order(mine))["status"] == "open"


async def test_replace_never_both_never_neither(account: Account) -> None:
    """39: against a release, and against itself."""
    import psycopg

    orders = [await rest_limit(account.id, 112) for _ in range(20)]

    async def release(order_id: str) -> None:
        async with await psycopg.AsyncConnection.connect(conninfo()) as connection:
            await connection.execute(RELEASE_AS_THE_WATCHER, {"id": order_id})
        await Walker(order_id).walk(Status.ROUTING, Status.BUILDING, Status.SUBMITTED)

    async def race(order_id: str) -> list[Answer]:
        released = asyncio.create_task(release(order_id))
        answers = list(await asyncio.gather(replace(order_id), replace(order_id)))
        await asyncio.gather(released, return_exceptions=True)
        return answers

    for order_id, answers in zip(
        orders, await asyncio.gather(*(race(one) for one in orders)), strict=True
    ):
        old = await order(order_id)
        new = execute(
            conninfo(), "SELECT id::text, status FROM orders WHERE replaces = %s", order_id
        )
        made = [answer for answer in answers if answer.status == 201]
        assert len(made) == len(new) <= 1
        if made:
            assert (old["status"], old["replacedBy"]) == ("cancelled", new[0][0])
        else:
            assert old["status"] in ("submitted", "pending", "routing", "building")
            assert "replacedBy" not in old


async def test_a_replacement_is_told_on_both_streams(account: Account) -> None:
    old = await rest_limit(account.id, 112)
    async with connected(f"/ws/orders/{old}") as socket:
        await socket.message()
        new = (await replace(old)).json["orderId"]
        told, code = await socket.rest()
    assert ([one["event"] for one in told], code) == (["cancelled"], 1000)
    assert told[0]["data"]["reason"] == "replaced"
    async with connected(f"/ws/orders/{new}") as socket:
        assert (await socket.message())["status"] == "open"


async def test_a_key_that_is_too_long_for_two_orders_replaces_nothing(account: Account) -> None:
    old = await rest_limit(account.id, 112)
    pair = {
        **{"type": "oco", "baseToken": "SOL", "quoteToken": "USDC", "side": "sell"},
        **{"amountIn": "1", "takeProfit": {"limitPrice": "150"}, "stopLoss": {"trailBps": 500}},
    }
    answer = await replace(old, pair, **{"idempotency-key": "k" * 255})
    assert (answer.status, answer.json["error"]) == (400, "invalid_request"), answer.text
    assert (await order(old))["status"] == "open"
