"""What each type of order watches, on which line, and what follows when it is reached."""

from decimal import Decimal

import pytest

from orders.terms.terms import Terms
from orders.terms.watch import ARM, BECOME_LIMIT, DOWN, FIRE, SIZE, TRAIL, UP, Watch, first_watch
from routing.venue import Side

AT = Decimal("101.5")
LIMITED = {"limit_price": AT, "trigger_price": Decimal(100)}


@pytest.mark.parametrize(
    ("order_type", "terms", "sale", "purchase"),
    [
        ("limit", {"limit_price": AT}, ("b", UP, SIZE, AT), ("a", DOWN, SIZE, AT)),
        ("stop", {"trigger_price": AT}, ("b", DOWN, FIRE, AT), ("a", UP, FIRE, AT)),
        (
            "stopLimit",
            LIMITED,
            ("b", DOWN, BECOME_LIMIT, Decimal(100)),
            ("a", UP, BECOME_LIMIT, Decimal(100)),
        ),
        ("takeProfit", {"trigger_price": AT}, ("b", UP, FIRE, AT), ("a", DOWN, FIRE, AT)),
        (
            "stop",
            {"trigger_price": AT, "trigger_by": "reference"},
            ("r", DOWN, FIRE, AT),
            ("q", UP, FIRE, AT),
        ),
        (
            "trailingStop",
            {"trail_bps": 50},
            ("b", TRAIL, FIRE, None, 50),
            ("a", TRAIL, FIRE, None, 50),
        ),
        (
            "trailingStop",
            {"trail_bps": 50, "activation_price": AT},
            ("b", UP, ARM, AT, 50),
            ("a", DOWN, ARM, AT, 50),
        ),
    ],
)
def test_each_type_watches_the_line_on_which_it_would_trade(
    order_type: str, terms: dict[str, object], sale: tuple[object], purchase: tuple[object]
) -> None:
    asked = Terms("gtc", **terms)  # type: ignore[arg-type]

    assert first_watch(order_type, Side.SELL, asked) == Watch(*sale)  # type: ignore[arg-type]
    assert first_watch(order_type, Side.BUY, asked) == Watch(*purchase)  # type: ignore[arg-type]


def test_a_market_order_watches_no_price() -> None:
    with pytest.raises(ValueError, match="watch no price"):
        first_watch("market", Side.SELL, Terms("ioc"))
