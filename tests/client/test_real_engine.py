"""The client on a real engine: web, worker and scheduler."""

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from decimal import Decimal

import pytest
import pytest_asyncio

from config.environment.data_folder import PROJECT
from order_engine_client import (
    AsyncClient,
    Client,
    Event,
    Events,
    NewOrder,
    Order,
    Refused,
    Snapshot,
)
from order_engine_client.events import Transport
from tests.support.accounts import Account, make_account
from tests.support.engine import PATIENCE, Engine, Web, whole_engine

SELL: NewOrder = {"side": "sell", "amountIn": Decimal("1.5")}
README = (PROJECT / "client/README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
FAR: NewOrder = {"type": "limit", "side": "sell", "amountIn": "1", "limitPrice": "900"}
TRANSPORTS: list[Transport] = ["ws", "sse", "feed"]
WAY = ["pending", "routing", "building", "submitted", "confirmed"]


@pytest.fixture(scope="module")
def running(process_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with whole_engine(process_database, tmp_path_factory.mktemp("client")) as found:
        yield found


@pytest.fixture(scope="module")
def web(running: Engine) -> Web:
    return running.web()


@pytest.fixture
def account(running: Engine) -> Account:
    return make_account(running.conninfo)


@pytest_asyncio.fixture
async def client(web: Web, account: Account) -> AsyncIterator[AsyncClient]:
    async with (
        asyncio.timeout(PATIENCE),
        AsyncClient(f"http://{web.address}", account.key) as found,
    ):
        yield found


async def test_an_order_is_previewed_placed_followed_and_shown(client: AsyncClient) -> None:
    preview = await client.preview(SELL)
    assert preview.executes_now
    assert isinstance(preview.all["quote"]["price"], Decimal)

    order = await client.place(SELL)
    events = [event async for event in client.follow(order.order_id)]
    assert [event.status for event in events] == WAY
    assert await client.order_events(order.order_id) == events
    assert await client.order_events(order.order_id, 3) == events[3:]

    shown = await client.order(order.order_id)
    assert (shown.status, shown.seq, shown.amount_in) == ("confirmed", 5, Decimal("1.5"))
    assert shown.executed_amount_out == events[-1].data["amountOut"]
    assert shown.finished_at == events[-1].timestamp
    assert [one.order_id async for one in client.orders(state="closed")] == [order.order_id]


async def test_the_same_key_is_the_same_order(running: Engine, client: AsyncClient) -> None:
    placed = await asyncio.gather(*(client.place(SELL, key="one") for _ in range(5)))
    assert len({order.order_id for order in placed}) == 1
    with pytest.raises(Refused) as told:
        await client.place({**SELL, "amountIn": "2"}, key="one")
    assert told.value.code == "idempotency_key_reused"


async def test_what_is_wrong_is_told_by_field(client: AsyncClient) -> None:
    with pytest.raises(Refused) as told:
        await client.place({"side": "sell", "amountIn": "0", "slippageBps": 9999})
    assert {(one.field, one.code) for one in told.value.fields} == {
        ("amountIn", "out_of_range"),
        ("slippageBps", "out_of_range"),
    }
    with pytest.raises(Refused) as told:
        await client.order("00000000-0000-7000-8000-000000000000")
    assert (told.value.code, told.value.status) == ("order_not_found", 404)


async def test_orders_that_rest_are_amended_replaced_and_cancelled(client: AsyncClient) -> None:
    order = await client.place({**FAR, "tags": {"desk": "a"}})
    assert (order.status, order.limit_price, order.tags) == ("open", 900, {"desk": "a"})
    amended = await client.amend(order.order_id, order.seq, limitPrice=Decimal("901.5"))
    assert (amended.limit_price, amended.seq) == (Decimal("901.5"), order.seq + 1)
    with pytest.raises(Refused) as told:
        await client.amend(order.order_id, order.seq, limitPrice="902")
    assert told.value.code == "order_changed"

    other = await client.replace(order.order_id, {**FAR, "limitPrice": "903"})
    assert (await client.order(order.order_id)).reason == "replaced"
    assert [(await client.cancel(other.order_id)).status for _ in range(2)] == ["cancelled"] * 2
    with pytest.raises(Refused) as told:
        await client.cancel((await last_confirmed(client)).order_id)
    assert told.value.code == "not_cancellable"


async def last_confirmed(client: AsyncClient) -> Order:
    order = await client.place(SELL)
    async for _ in client.follow(order.order_id):
        pass
    return order


async def test_several_are_placed_and_cancelled_at_once(client: AsyncClient) -> None:
    oco: NewOrder = {
        "type": "oco",
        "side": "sell",
        "amountIn": "1",
        "takeProfit": {"limitPrice": "900"},
        "stopLoss": {"triggerPrice": "10"},
    }
    target, stop = await client.place_pair(oco)  # it waits for the first price
    assert (target.group_role, stop.group_role) == ("takeProfit", "stopLoss")
    placed = await client.batch([FAR, {"side": "sell"}, oco])
    assert [(one.status, len(one.orders)) for one in placed] == [(201, 1), (400, 0), (201, 2)]
    assert placed[1].error is not None
    assert placed[1].error.fields[0].code == "required"
    with pytest.raises(Refused) as told:
        await client.batch([FAR, {"side": "sell"}], all_or_none=True)
    assert told.value.code == "batch_refused"

    ids = [placed[0].orders[0].order_id, "00000000-0000-7000-8000-000000000000"]
    assert [one.status for one in await client.cancel_many(ids)] == [200, 404]
    ended = await client.cancel_all(market="SOL/USDC", types=["limit"])
    assert (ended.cancelled, ended.requested, len(ended.order_ids)) == (4, 0, 4)
    assert [one async for one in client.orders(state="active")] == []


async def test_a_list_is_read_page_by_page(client: AsyncClient) -> None:
    placed = await client.batch([{**FAR, "tags": {"desk": "b"}} for _ in range(7)])
    ids = [one.orders[0].order_id for one in placed]
    found = [one.order_id async for one in client.orders(limit=2, tags={"desk": "b"})]
    assert sorted(found) == sorted(ids)
    await client.cancel_all()


async def test_prices_are_read_by_their_path(client: AsyncClient) -> None:
    found = await client.get("/api/prices", {"market": "SOL/USDC", "step": 60})
    assert found["market"] == "SOL/USDC"


def test_programs_without_asyncio_do_the_same(web: Web, account: Account) -> None:
    with Client(f"http://{web.address}", account.key, give_up_after=PATIENCE) as client:
        order = client.place(SELL)
        assert [event.status for event in client.follow(order.order_id)] == WAY
        assert [one.order_id for one in client.orders()] == [order.order_id]
        assert client.order(order.order_id).status == "confirmed"
        with pytest.raises(Refused):
            client.cancel(order.order_id)


async def test_without_an_account_an_order_is_placed_and_followed(web: Web) -> None:
    async with AsyncClient(f"http://{web.address}") as client:
        order = await client.place(SELL)
        assert [event.status async for event in client.follow(order.order_id)] == WAY


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_all_events_of_all_orders_are_told_and_a_cursor_goes_on(
    client: AsyncClient, transport: Transport
) -> None:
    async with client.events(snapshot=True, transport=transport) as stream:
        begun = await anext(stream)
        assert isinstance(begun, Snapshot)
        assert begun.orders == ()
        ids = [(await client.place(SELL)).order_id for _ in range(3)]
        first = await told_until_ended(stream, ids)
        cursor = stream.cursor
    placed = await client.place({**FAR, "tags": {"desk": "a"}})
    await client.cancel(placed.order_id)
    async with client.events(cursor, transport=transport) as stream:
        again = await told_until_ended(stream, [placed.order_id])
    for order_id in (*ids, placed.order_id):
        told = {one.seq: one for one in first + again if one.order_id == order_id}
        assert list(told.values()) == await client.order_events(order_id)


async def told_until_ended(stream: Events, order_ids: Sequence[str]) -> list[Event]:
    """Return what is told until all these orders have ended."""
    found: list[Event] = []
    while not {one.order_id for one in found if one.is_final}.issuperset(order_ids):
        told = await anext(stream)
        assert isinstance(told, Event)
        found.append(told)
    return found


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_snapshot_has_the_open_orders_that_pass_the_filters(
    client: AsyncClient, transport: Transport
) -> None:
    kept = await client.place({**FAR, "tags": {"desk": "a"}})
    await client.place({**FAR, "tags": {"desk": "b"}})
    async with client.events(
        snapshot=True, tags={"desk": "a"}, types=["limit"], transport=transport
    ) as stream:
        begun = await anext(stream)
        assert isinstance(begun, Snapshot)
        assert [one.order_id for one in begun.orders] == [kept.order_id]
        await client.cancel_all()
        ended = await anext(stream)
    assert isinstance(ended, Event)
    assert (ended.order_id, ended.status) == (kept.order_id, "cancelled")


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_cursor_of_no_engine_leads_to_a_snapshot(
    client: AsyncClient, transport: Transport
) -> None:
    placed = await client.place(FAR)
    async with client.events("c-of-nobody", transport=transport) as stream:
        begun = await anext(stream)
    assert isinstance(begun, Snapshot)
    assert (begun.is_anew, [one.order_id for one in begun.orders]) == (True, [placed.order_id])
    await client.cancel_all()


def test_programs_without_asyncio_hear_the_same(web: Web, account: Account) -> None:
    with Client(f"http://{web.address}", account.key, give_up_after=PATIENCE) as client:
        with client.events(snapshot=True) as stream:
            assert isinstance(next(stream), Snapshot)
            order = client.place(SELL)
            told = [next(stream) for _ in WAY]
        assert [one.status for one in told if isinstance(one, Event)] == WAY
        assert stream.cursor
        assert client.order(order.order_id).status == "confirmed"


async def test_a_stream_without_an_account_is_refused(web: Web) -> None:
    async with AsyncClient(f"http://{web.address}") as client:
        with pytest.raises(Refused) as told:
            await anext(client.events())
    assert told.value.code == "not_authenticated"


@pytest.mark.parametrize(
    ("example", "shown"),
    [*zip(EXAMPLES, ["5 confirmed Order executed at", "go on at"], strict=True)],
    ids=["orders", "events"],
)
def test_the_examples_of_the_readme_run_in_its_folder(
    web: Web, account: Account, example: str, shown: str
) -> None:
    source = example.replace("127.0.0.1:8000", web.address)
    source = source.replace("oee_test_Tb3k91Qx", account.key)
    ended = subprocess.run(
        [sys.executable, "-c", source],
        cwd=PROJECT / "client",
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert shown in ended.stdout
