import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders.events import Event, timestamp
from orders.lifecycle import Status
from orders.models import Order
from orders.representation import decimal, order_as_json
from routing.tokens import TOKENS, Token

ORDER_ID = "0197a1f0-0000-7000-8000-000000000001"
NOON = datetime(2026, 1, 2, 12, 0, 0, 123_000, tzinfo=UTC)


def confirmed(**changed: Any) -> Order:
    return Order(
        **{
            **{"id": UUID(ORDER_ID), "status": "confirmed", "seq": 5, "attempts": 1},
            **{"side": "sell", "base": "SOL", "quote": "USDC", "amount_in": 1_500_000_000},
            **{"slippage_bps": 100, "venue": "meteora", "min_out": 148_425_305},
            **{"signature": "5ig", "filled_in": 1_500_000_000, "filled_out": 149_924_550},
            **{"created_at": NOON, "started_at": NOON, "finished_at": NOON},
            **changed,
        }
    )


@given(st.sampled_from(TOKENS), st.integers(0, 2**63 - 1))
def test_an_amount_is_written_exactly_without_exponent_or_idle_zeros(
    token: Token, atoms: int
) -> None:
    text = decimal(token, atoms)
    assert text is not None
    assert re.fullmatch(r"(0|[1-9]\d*)(\.\d*[1-9])?", text)
    assert Decimal(text) * 10**token.decimals == atoms


def test_what_is_not_known_yet_is_null() -> None:
    shown = order_as_json(confirmed(status="pending", filled_in=None, filled_out=None, venue=None))
    assert shown["route"] is shown["routedDex"] is shown["executedPrice"] is None
    assert decimal(TOKENS[0], None) is None


def test_a_sale_shows_its_fill_in_the_tokens_it_was_paid_in() -> None:
    shown = order_as_json(confirmed())
    assert (shown["tokenIn"], shown["tokenOut"]) == ("SOL", "USDC")
    assert (shown["executedAmountIn"], shown["executedAmountOut"]) == ("1.5", "149.92455")
    assert (shown["minAmountOut"], shown["maxAmountIn"]) == ("148.425305", None)
    assert shown["executedPrice"] == "99.949700"


def test_a_purchase_shows_its_price_in_the_quote_token_too() -> None:
    bought = {"side": "buy", "amount_in": None, "amount_out": 1_500_000_000, "min_out": None}
    filled = {"max_in": 151_500_000, "filled_in": 150_000_000, "filled_out": 1_500_000_000}
    shown = order_as_json(confirmed(**bought, **filled))

    assert (shown["tokenIn"], shown["tokenOut"]) == ("USDC", "SOL")
    assert (shown["amountIn"], shown["amountOut"]) == (None, "1.5")
    assert (shown["executedAmountIn"], shown["executedAmountOut"]) == ("150", "1.5")
    assert shown["maxAmountIn"] == "151.5"
    assert shown["executedPrice"] == "100.000000"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "Sell 1.5 SOL for USDC, slippage at most 1 %."),
        ({"slippage_bps": 1}, "Sell 1.5 SOL for USDC, slippage at most 0.01 %."),
        ({"slippage_bps": 5_000}, "Sell 1.5 SOL for USDC, slippage at most 50 %."),
        ({"slippage_bps": 0}, "Sell 1.5 SOL for USDC, slippage at most 0 %."),
        (
            {"amount_in": None, "amount_out": 7_250_000},
            "Sell SOL for 7.25 USDC, slippage at most 1 %.",
        ),
        ({"side": "buy", "amount_in": 10**8}, "Buy SOL with 100 USDC, slippage at most 1 %."),
        (
            {"side": "buy", "amount_in": None, "amount_out": 10**10},
            "Buy 10 SOL with USDC, slippage at most 1 %.",
        ),
    ],
)
def test_the_summary_says_which_token_the_amount_is_of(asked: dict[str, Any], said: str) -> None:
    order = confirmed(**({"slippage_bps": 100} | asked))
    assert order_as_json(order)["summary"] == said


def test_a_time_is_told_to_the_microsecond() -> None:
    assert timestamp(NOON) == "2026-01-02T12:00:00.123000Z"
    assert timestamp(NOON.replace(microsecond=0)) == "2026-01-02T12:00:00.000000Z"


@given(st.datetimes(timezones=st.sampled_from([UTC, ZoneInfo("UTC")])))
def test_a_time_has_six_decimals_and_a_z_whenever_it_is(at: datetime) -> None:
    assert timestamp(at) == f"{at.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def test_a_message_of_an_event_without_data_has_every_field_all_the_same() -> None:
    event = Event(ORDER_ID, 2, Status.ROUTING, 1, "Comparing prices", NOON, {})
    message = event.as_message()

    assert [name for name, value in message.items() if value is None] == [
        *("route", "routedDex", "txHash", "executedPrice", "error"),
    ]
    assert json.loads(event.as_text()) == message
    assert message["data"] == {}


def test_a_venue_without_a_label_keeps_its_name() -> None:
    event = Event(ORDER_ID, 3, Status.BUILDING, 1, "", NOON, {"selectedDex": "nowhere"})
    assert (event.as_message()["route"], event.as_message()["routedDex"]) == ("nowhere", "nowhere")
