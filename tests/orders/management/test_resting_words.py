"""What a resting order waits for is told in plain words, with how far away it is."""

from decimal import Decimal
from typing import Any

import pytest

from orders.management.resting_words import Prices, distance_bps, waiting_words, watch_of

PRICES = Prices(Decimal("100"), Decimal("99.5"), Decimal("100.25"))


def order(order_type: str, side: str = "sell", **fields: Any) -> dict[str, Any]:
    return {"type": order_type, "side": side, "phase": "waiting"} | fields


@pytest.mark.parametrize(
    ("resting", "words"),
    [
        (
            order("limit", limitPrice="101.5"),
            "It waits until the bid is at or above 101.5. Now it is 100, 150.0 bps away.",
        ),
        (
            order("limit", "buy", limitPrice="98.505"),
            "It waits until the ask is at or below 98.505. Now it is 99.5, 100.0 bps away.",
        ),
        (
            order("stop", triggerPrice="95"),
            "It waits until the bid is at or below 95. Now it is 100, 500.0 bps away.",
        ),
        (
            order("stop", "buy", triggerPrice="105", triggerBy="reference"),
            "It waits until the reference price is at or above 105. Now it is 100.25, 473.8 bps"
            " away.",
        ),
        (
            order("takeProfit", triggerPrice="100"),
            "It waits until the bid is at or above 100. Now it is 100, which is there.",
        ),
        (
            order("stopLimit", phase="limit", triggerPrice="101", limitPrice="100.5"),
            "It was triggered, and is filled when the bid is at or above 100.5. Now it is 100,"
            " 50.0 bps away.",
        ),
        (
            order("trailingStop", phase="unarmed", trailBps=300, activationPrice="103"),
            "It is armed when the bid is at or above 103. Now it is 100, 300.0 bps away.",
        ),
        (
            order("trailingStop", trailBps=300, activationPrice="103", currentTriggerPrice="97"),
            "It waits until the bid is at or below 97. Now it is 100, 300.0 bps away.",
        ),
        (
            order("trailingStop", trailBps=300),
            "It trails the price by 300 bps, from its next tick on.",
        ),
        (
            order("stop", phase="latched", triggerPrice="95", restUntil="2026-11-21T10:00:00Z"),
            "It was triggered, could not be filled, and goes again at 2026-11-21T10:00:00Z.",
        ),
        (
            order("stop", phase="held", triggerPrice="95"),
            "It is held: the other exit of its group is on its way.",
        ),
        (
            order("twap", phase="slicing", slices=20, slicesFilled=3, nextSliceAt="10:00"),
            "3 of 20 slices are filled, the next one is due at 10:00.",
        ),
        (order("sniper"), "It waits for a pool of its pair that fits."),
    ],
)
def test_what_an_order_waits_for_is_said_in_a_sentence(resting: dict[str, Any], words: str) -> None:
    assert waiting_words(resting, PRICES) == words


def test_an_order_says_when_it_ends() -> None:
    resting = order("limit", limitPrice="101.5", expiresAt="2026-11-21T10:00:00Z")
    assert waiting_words(resting, PRICES).endswith("away. It ends at 2026-11-21T10:00:00Z.")


def test_a_pair_without_a_price_is_said_so() -> None:
    words = waiting_words(order("limit", limitPrice="101.5"), Prices())
    assert words == "It waits until the bid is at or above 101.5. There is no bid now."


def test_a_price_that_was_passed_is_less_than_nothing_away() -> None:
    watch = watch_of(order("stop", triggerPrice="101"))
    assert watch is not None
    assert distance_bps(watch, Decimal(100)) == -100
