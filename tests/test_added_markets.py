"""What operators add is traded by processes that were already running, and exact to the atom."""

import secrets
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from routing.wallet import base58
from tests.checker import load, violations
from tests.database import restore_registry
from tests.engine import Engine, Web, engine
from tests.operator_session import OperatorSession

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
            answer = webs[1].request("/api/orders/execute", order)
            assert answer.status == 201, answer.body
            sent[answer.body["orderId"]] = order

    assert_confirmed_exactly(running, webs[1], sent)
    assert len(sent) == 4 * len(DECIMALS)
