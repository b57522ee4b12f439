"""`GET /api/orders.csv`: all orders that the list's filters find, as a table."""

import csv
import io

import pytest

from orders.api import pagination
from orders.api.lists import export
from orders.api.lists.export import FOR_CLIENTS
from orders.lifecycle import Status
from tests.support.accounts import Account, make_account
from tests.support.client import CREDENTIALS, SELL_SOL, Answer, get, submit
from tests.support.resting_orders import rest_limit
from tests.support.walker import Walker, confirm

pytestmark = pytest.mark.usefixtures("engine_loop", "account")

PIECE = 3


@pytest.fixture(autouse=True)
def pieces_of_three(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "PIECE", PIECE)


def rows_of(answer: Answer) -> list[dict[str, str]]:
    assert answer.status == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.text)))


async def ids(query: str = "") -> list[str]:
    return [row["orderId"] for row in rows_of(await get(f"/api/orders.csv?{query}"))]


async def test_a_table_has_what_the_list_shows_of_the_same_orders(account: Account) -> None:
    await confirm(await submit())
    await rest_limit(account.id, 112)
    answer = await get("/api/orders.csv", accept="text/csv")
    shown = (await get("/api/orders")).json["results"]

    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="orders.csv"'
    assert answer.headers["cache-control"] == "no-store"
    assert answer.text.splitlines()[0] == ",".join(FOR_CLIENTS)
    rows = rows_of(answer)
    assert len(rows) == len(shown) == 2
    for row, order in zip(rows, shown, strict=True):
        told = {name: order.get(name) for name in FOR_CLIENTS}
        assert row == {name: "" if one is None else str(one) for name, one in told.items()}


async def test_all_pages_are_in_one_table_and_no_piece_is_larger_than_it_may_be(
    pieces_read: list[int],
) -> None:
    made = [await submit() for _ in range(8)]
    assert await ids() == made[::-1]
    assert len(pieces_read) > 2
    assert max(pieces_read) <= PIECE


@pytest.mark.usefixtures("pieces_read")
async def test_the_lists_filters_choose(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pagination, "LOOKED_AT", 2)
    bought = await submit({"tokenIn": "USDC", "tokenOut": "JUP", "amountIn": "10"})
    failed = await submit(SELL_SOL | {"clientOrderId": "mine-1"})
    await Walker(failed).walk(Status.ROUTING, Status.FAILED)
    limit = await rest_limit(account.id, 112, tags={"book": "a"})
    sold = [await submit() for _ in range(6)]
    for query, found in {
        "side=buy": [bought],
        "status=failed,cancelled": [failed],
        "state=resting": [limit],
        "state=active&market=JUP/USDC": [bought],
        "tag.book=a": [limit],
        "clientOrderId=mine-1": [failed],
        f"q={failed[-8:]}": [failed],
        "type=market&side=sell": [*sold[::-1], failed],
        "venue=meteora": [],
    }.items():
        assert await ids(query) == found, query


async def test_another_accounts_orders_are_in_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    order_id = await submit()
    other = make_account().headers
    assert rows_of(await get("/api/orders.csv", **other)) == []
    assert rows_of(await get(f"/api/orders.csv?q={order_id}", **other)) == []
    monkeypatch.delitem(CREDENTIALS, "authorization")
    nobody = await get("/api/orders.csv")
    assert (nobody.status, nobody.json["error"]) == (401, "not_authenticated")


@pytest.mark.parametrize(
    ("query", "field", "code"),
    [
        ("status=done", "status", "invalid_choice"),
        ("limit=5", "limit", "unknown_parameter"),
        ("cursor=x", "cursor", "unknown_parameter"),
        ("tag.=x", "tag.", "invalid_text"),
    ],
)
async def test_a_query_that_means_nothing_is_refused_by_name_and_as_json(
    query: str, field: str, code: str
) -> None:
    answer = await get(f"/api/orders.csv?{query}", accept="text/csv")
    assert (answer.status, answer.json["error"]) == (400, "invalid_request")
    assert answer.headers["content-type"] == "application/problem+json"
    assert [(one["field"], one["code"]) for one in answer.json["errors"]] == [(field, code)]


async def test_what_a_spreadsheet_would_run_is_text(account: Account) -> None:
    await rest_limit(account.id, 112, tags={"note": "=1+1"})
    (row,) = rows_of(await get("/api/orders.csv"))
    assert not row["tags"].startswith(export.FORMULA_STARTS)
