"""What operators add is traded by processes that were already running, and exact to the atom."""

import secrets
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from routing.base58 import base58
from tests.support.checker import load, violations
from tests.support.database import restore_registry
from tests.support.engine import Engine, Web, engine, wait_for
from tests.support.operator_session import OperatorSession

FILLS = """
SELECT orders.id::text, orders.status, orders.failure_reason,
  orders.amount_in, orders.amount_out, orders.min_out, orders.max_in,
  orders.filled_in, orders.filled_out, landed.amount_in, landed.amount_out
FROM orders LEFT JOIN simulated_network_transactions AS landed USING (signature)
"""
DECIMALS = (0, 5, 6, 9)


@pytest.fixture(scope="module")
def running(process_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    logs = tmp_path_factory.mktemp("markets")
    try:
        with engine(process_database, logs) as found:
            found.worker()
            found.scheduler()
            yield found
    finally:
        restore_registry(process_database)


@pytest.fixture(scope="module")
def webs(running: Engine) -> tuple[Web, Web]:
    """Two processes: what is added through one is ordered at the other."""
    found = running.web(), running.web()
    for web in found:
        web.post()  # the first one waits for the processes to start
    running.wait_until_all_ended()
    return found


@pytest.fixture(scope="module")
def operator(running: Engine, webs: tuple[Web, Web]) -> OperatorSession:
    return OperatorSession(running, webs[0])


def add_token(operator: OperatorSession, symbol: str, decimals: int) -> str:
    """Add a token and return its mint."""
    mint = base58(secrets.token_bytes(32))
    form = {"symbol": symbol, "mint": mint, "decimals": decimals}
    operator.submit("/admin/routing/token/add/", **form)
    return mint


def add_market(operator: OperatorSession, name: str, price: str) -> None:
    base, quote = name.split("/")
    operator.submit(
        "/admin/routing/market/add/",
        **{"base": base, "quote": quote, "reference_price": price, "takes_orders": "on"},
    )


def assert_confirmed_exactly(engine: Engine, web: Web, sent: dict[str, dict[str, Any]]) -> None:
    """Hold stored orders, the network's record and what the API shows to what was sent."""
    engine.wait_until_all_ended()
    rows = {row[0]: row[1:] for row in engine.query(FILLS) if row[0] in sent}
    assert set(rows) == set(sent)
    for order_id, row in rows.items():
        status, reason, amount_in, amount_out, min_out, max_in, *fill = row
        assert status == "confirmed", (sent[order_id], reason)
        filled_in, filled_out, landed_in, landed_out = fill
        assert (filled_in, filled_out) == (landed_in, landed_out)
        assert filled_in == amount_in if amount_in else filled_in <= max_in
        assert filled_out == amount_out if amount_out else filled_out >= min_out
        shown = web.request(f"/api/orders/{order_id}").body
        decimals = dict(engine.query("SELECT symbol, decimals FROM tokens"))
        for side, atoms in (("In", filled_in), ("Out", filled_out)):
            text = shown[f"executedAmount{side}"]
            assert Decimal(text).scaleb(decimals[shown[f"token{side}"]]) == atoms
        for name in ("amountIn", "amountOut"):
            if name in sent[order_id]:
                assert Decimal(shown[name]) == Decimal(sent[order_id][name])
    assert violations(load(engine.conninfo, list(sent))) == []


def place(web: Web, order: dict[str, Any]) -> str:
    answer = web.request("/api/orders/execute", order)
    assert answer.status == 201, answer.body
    order_id: str = answer.body["orderId"]
    return order_id


def test_tokens_of_all_decimals_are_traded_as_soon_as_they_are_added(
    running: Engine, webs: tuple[Web, Web], operator: OperatorSession
) -> None:
    sent = {}
    for decimals in DECIMALS:
        symbol, smallest = f"D{decimals}", Decimal(1).scaleb(-decimals)
        mint = add_token(operator, symbol, decimals)
        add_market(operator, f"{symbol}/USDC", "25")
        for order in (
            {"tokenIn": symbol, "tokenOut": "USDC", "amountIn": f"{7 + smallest:f}"},
            {"tokenIn": "USDC", "tokenOut": mint, "amountIn": "1000.000001"},
            {"baseToken": mint, "quoteToken": "USDC", "side": "buy"}
            | {"amountOut": f"{9 - smallest:f}"},
            {"tokenIn": symbol, "tokenOut": "USDC", "amountOut": "123.456789"},
        ):
            sent[place(webs[1], order)] = order

    assert_confirmed_exactly(running, webs[1], sent)
    assert len(sent) == 4 * len(DECIMALS)


def test_what_was_added_is_traded_in_two_hops(
    running: Engine, webs: tuple[Web, Web], operator: OperatorSession
) -> None:
    for symbol, decimals in (("FIRST", 0), ("LAST", 9)):
        add_token(operator, symbol, decimals)
        add_market(operator, f"{symbol}/USDC", "4")
    sent = {}
    for order in (
        {"tokenIn": "FIRST", "tokenOut": "LAST", "amountIn": "50"},
        {"tokenIn": "LAST", "tokenOut": "FIRST", "amountOut": "3"},
        {"baseToken": "LAST", "quoteToken": "SOL", "side": "sell", "amountIn": "1.000000001"},
    ):
        sent[place(webs[1], order)] = order
    assert_confirmed_exactly(running, webs[1], sent)
    for order_id in sent:
        route = webs[1].request(f"/api/orders/{order_id}/route").body["route"]
        assert {quote["through"] for quote in route["quotes"]} == {"USDC"}


def test_a_pool_of_an_operator_is_the_one_that_is_traded_in(
    running: Engine, webs: tuple[Web, Web], operator: OperatorSession
) -> None:
    add_token(operator, "DEEP", 6)
    add_market(operator, "DEEP/SOL", "0.5")
    key = running.value("SELECT max(id) FROM markets")
    pool = {"market": key, "depth": "1000", "bin_step": "50"}
    operator.submit("/admin/routing/simulatedpool/add/", **pool, venue="raydium", fee_bps="100")
    operator.submit("/admin/routing/simulatedpool/add/", **pool, venue="meteora", fee_bps="40")
    sent = {}
    for venue in ("raydium", "meteora"):
        order = {"tokenIn": "DEEP", "tokenOut": "SOL", "amountIn": "10", "venues": [venue]}
        sent[place(webs[1], order)] = order
    assert_confirmed_exactly(running, webs[1], sent)
    fees = [
        webs[1].request(f"/api/orders/{order_id}/route").body["route"]["quote"]["feeBps"]
        for order_id in sent
    ]

    assert fees[0] == 100
    assert 40 <= fees[1] <= 60  # more while the price moves


def test_what_is_added_and_closed_is_seen_by_processes_that_are_not_asked(
    running: Engine, webs: tuple[Web, Web], operator: OperatorSession
) -> None:
    def market() -> Any:
        markets = webs[1].request("/api/markets").body["markets"]
        return next((one for one in markets if one["market"] == "SEEN/USDC"), None)

    add_token(operator, "SEEN", 5)
    add_market(operator, "SEEN/USDC", "1")
    wait_for(market, what="the market is listed")
    before = place(webs[1], {"tokenIn": "SEEN", "tokenOut": "USDC", "amountIn": "2"})
    key = running.value("SELECT id FROM markets WHERE base_id = 'SEEN'")
    operator.submit(f"/admin/routing/market/{key}/change/")  # the box is not ticked
    wait_for(lambda: not market()["takesOrders"], what="the market is closed")
    refused = webs[1].request(
        "/api/orders/execute", {"tokenIn": "SEEN", "tokenOut": "USDC", "amountIn": "2"}
    )
    assert refused.status == 400
    assert [error["code"] for error in refused.body["errors"]] == ["market_closed"]
    assert_confirmed_exactly(running, webs[1], {before: {}})
