"""The demo's limit is near the price and where it goes, its stop far; its last line is in money."""

from decimal import Decimal
from typing import Any

import pytest

from order_engine_client.answers import Event, Order, build, values
from orders.management.demo_client import SentOrder
from orders.management.demo_money import money_line
from orders.management.demo_resting import AWAY, limit_near, met_limit, stop_far


def prices(*lines: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"bid": Decimal(bid), "ask": Decimal(ask)} for bid, ask in lines]


def sent(side: str, status: str, base: str = "SOL", **fill: str) -> SentOrder:
    order = build(Order, {"side": side, "baseToken": base, "quoteToken": "USDC"})
    return SentOrder(order, 0.0, [build(Event, values({"status": status, "data": fill}))])


def test_a_limit_waits_for_the_bid_while_that_rises() -> None:
    limit = limit_near(prices(("100", "99"), ("100.2", "98.9")))
    assert (limit["type"], limit["side"], limit["amountIn"]) == ("limit", "sell", "1")
    assert Decimal(limit["limitPrice"]) == Decimal("100.2") * (1 + AWAY)


def test_a_limit_waits_for_the_ask_while_that_falls_faster() -> None:
    limit = limit_near(prices(("100", "99"), ("100.2", "98.6")))
    assert (limit["side"], limit["amountOut"]) == ("buy", "1")
    assert Decimal(limit["limitPrice"]) == Decimal("98.6") * (1 - AWAY)


def test_a_stop_is_far_below_the_bid() -> None:
    stop = stop_far(prices(("100", "99")))
    assert (stop["type"], stop["side"], stop["triggerPrice"]) == ("stop", "sell", "94.000000")


@pytest.mark.parametrize(("side", "price"), [("sell", "99.800000"), ("buy", "99.198000")])
def test_a_limit_that_is_to_meet_the_price_gives_way_to_it(side: str, price: str) -> None:
    assert met_limit(sent(side, "open"), prices(("100", "99"))) == price


def test_the_last_line_sums_what_was_traded_and_what_the_network_took() -> None:
    orders = [
        sent("buy", "confirmed", amountIn="100.5", amountOut="1", networkFee="0.000005"),
        sent("buy", "confirmed", amountIn="99.5", amountOut="1", networkFee="0.000005"),
        sent("sell", "confirmed", "JUP", amountIn="20", amountOut="8", networkFee="0.000005"),
        sent("sell", "cancelled"),
        sent("sell", "failed", networkFee="0.000005"),
    ]
    assert money_line(orders) == (
        "Bought 2 SOL for 200 USDC; sold 20 JUP for 8 USDC. Network fees: 0.00002 SOL."
    )
    assert money_line([]) == "Nothing was traded. Network fees: 0 SOL."
