"""Exports have every order once, are sent while they are read, and run nothing in a spreadsheet."""

import csv
import io
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connection
from django.http import StreamingHttpResponse
from django.test import AsyncClient
from django.urls import reverse

from orders.api.lists import export
from orders.api.lists.export import cell
from orders.models import Order
from tests.support.accounts import make_account

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
LIST = reverse("admin:orders_order_changelist")
PIECE = 10


def make_orders(count: int, **columns: Any) -> list[str]:
    """Make orders, three of each second."""
    found: dict[str, Any] = {"side": "sell", "base": "SOL", "quote": "USDC", "slippage_bps": 100}
    made = Order.objects.bulk_create(
        Order(
            **{"amount_in": 1_500_000_000, **found, **columns},
            created_at=NOW - timedelta(seconds=number // 3),
        )
        for number in range(count)
    )
    return [str(order.pk) for order in made]


@pytest.fixture
async def operator(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    monkeypatch.setattr(export, "PIECE", PIECE)
    client = AsyncClient()
    await client.aforce_login(await sync_to_async(User.objects.create_superuser)("root"))
    yield client
    await sync_to_async(forget_operator)()


def forget_operator() -> None:
    try:
        User.objects.filter(username="root").delete()
    finally:
        connection.close()


async def download(client: Any, form: str, query: str = "") -> str:
    answer = await client.get(reverse("admin:orders_order_export", args=[form]) + query)
    assert answer.status_code == 200
    return await text_of(answer)


async def text_of(answer: Any) -> str:
    chunks = [chunk async for chunk in cast(StreamingHttpResponse, answer).streaming_content]
    return b"".join(chunks).decode()


def ids_in(text: str) -> list[str]:
    return [row["orderId"] for row in csv.DictReader(io.StringIO(text))]


async def test_every_order_is_exported_once_newest_first(operator: Any) -> None:
    made = await sync_to_async(make_orders)(35)
    for found in (
        ids_in(await download(operator, "csv")),
        [row["orderId"] for row in json.loads(await download(operator, "json"))],
    ):
        assert sorted(found) == sorted(made)
        times = [made.index(order_id) // 3 for order_id in found]
        assert times == sorted(times)


async def test_an_export_is_sent_while_it_is_read(operator: Any, pieces_read: list[int]) -> None:
    await sync_to_async(make_orders)(60)
    answer = await operator.get(reverse("admin:orders_order_export", args=["csv"]))

    assert answer.headers["Content-Disposition"] == 'attachment; filename="orders.csv"'
    assert answer.is_async
    chunks = aiter(answer.streaming_content)
    assert b"orderId" in await anext(chunks)
    assert pieces_read == []
    await anext(chunks)
    assert len(pieces_read) == 1
    rest = [chunk async for chunk in chunks]
    assert len(pieces_read) > len(rest) >= 4
    assert max(pieces_read) <= PIECE + 2  # and who came in the same moment


async def test_an_export_has_what_the_filters_show(operator: Any, pieces_read: list[int]) -> None:
    ended = {"status": "cancelled", "finished_at": NOW}
    await sync_to_async(make_orders)(30)
    cancelled = await sync_to_async(make_orders)(2, **ended)

    assert sorted(ids_in(await download(operator, "csv", "?status=cancelled"))) == sorted(cancelled)
    assert max(pieces_read) <= 2
    assert await download(operator, "json", "?side=buy") == "[]\n"
    searched = await download(operator, "csv", f"?q={cancelled[0]}")
    assert ids_in(searched) == cancelled[:1]


async def test_what_the_list_does_not_reach_is_exported_all_the_same(
    operator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orders.admin_pages.bounded_list.REACH", 5)
    await sync_to_async(make_orders)(30)
    (old,) = await sync_to_async(make_orders)(1, side="buy")
    await sync_to_async(Order.objects.filter(pk=old).update)(created_at=NOW - timedelta(days=9))
    page = (await operator.get(f"{LIST}?side=buy")).content.decode()

    assert old not in page
    assert ids_in(await download(operator, "csv", "?side=buy")) == [old]


async def test_the_ticked_orders_are_exported(operator: Any) -> None:
    first, second, _ = await sync_to_async(make_orders)(3)
    chosen = {"action": "export_as_csv", "_selected_action": [first, second]}
    assert sorted(ids_in(await text_of(await operator.post(LIST, chosen)))) == sorted(
        [first, second]
    )


async def test_all_that_the_list_counts_is_exported_when_all_are_ticked(operator: Any) -> None:
    made = await sync_to_async(make_orders)(12)
    everything = {"action": "export_as_json", "_selected_action": [made[0]], "select_across": "1"}
    found = json.loads(await text_of(await operator.post(LIST, everything)))
    assert sorted(row["orderId"] for row in found) == sorted(made)


async def test_limits_of_the_route_are_exported(operator: Any) -> None:
    asked = {"venues": ["raydium", "meteora"], "maxPriceImpactBps": 0}
    limited, free = (
        *await sync_to_async(make_orders)(1, constraints=asked),
        *await sync_to_async(make_orders)(1),
    )
    table = csv.DictReader(io.StringIO(await download(operator, "csv")))
    rows = {row["orderId"]: row for row in table}

    assert (rows[limited]["venues"], rows[limited]["maxPriceImpactBps"]) == ("raydium,meteora", "0")
    assert (rows[limited]["excludeVenues"], rows[free]["venues"]) == ("", "")
    exact = {row["orderId"]: row for row in json.loads(await download(operator, "json"))}
    assert exact[limited]["venues"] == asked["venues"]


async def test_text_that_a_spreadsheet_would_run_is_exported_as_text(operator: Any) -> None:
    formula = '=HYPERLINK("http://example.com","x")'
    await sync_to_async(make_orders)(1, client_order_id=formula, owner_id=make_account().id)
    (row,) = csv.DictReader(io.StringIO(await download(operator, "csv")))

    assert row["clientOrderId"] == f"'{formula}"
    assert row["amountIn"] == "1.5"
    (exact,) = json.loads(await download(operator, "json"))
    assert exact["clientOrderId"] == formula


async def test_what_an_order_waits_for_and_its_tags_are_exported(operator: Any) -> None:
    tags = {"desk": "=1+1"}
    await sync_to_async(make_orders)(
        *(1,),
        **{"type": "stop", "status": "open", "resting": True, "phase": "waiting", "terms": {}},
        **{"trigger_price": "95.50", "trigger_by": "executable", "time_in_force": "gtc"},
        tags=tags,
    )
    (row,) = csv.DictReader(io.StringIO(await download(operator, "csv")))

    assert (row["triggerPrice"], row["timeInForce"], row["phase"]) == ("95.5", "gtc", "waiting")
    assert json.loads(row["tags"]) == tags
    (exact,) = json.loads(await download(operator, "json"))
    assert exact["tags"] == tags


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_begins_as_a_formula_does(start: str) -> None:
    assert cell(f"{start}1+1") == f"'{start}1+1"
    assert cell(f"a{start}1") == f"a{start}1"
    assert cell(-1) == -1
    assert cell("-1.5") == "-1.5", "a number runs nothing"


async def test_an_unknown_form_is_not_found(operator: Any) -> None:
    answer = await operator.get(reverse("admin:orders_order_export", args=["xlsx"]))
    assert answer.status_code == 404
