"""What docs/order-types.md shows can be sent as it stands, and its tables are complete."""

import json
import re
from typing import Any

import pytest

from config.environment.data_folder import PROJECT
from orders.api.reading.serializers import ORDER_REQUEST
from orders.api.reading.term_fields import READERS
from orders.words import Phase, TimeInForce

PAGE = (PROJECT / "docs/order-types.md").read_text()
SHOWN = [
    *re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL),
    *re.findall(r" -d '(\{.*?\})'", PAGE, re.DOTALL),
]


def orders_of(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the orders in a request's body: itself, those of a batch, or none."""
    inside = body.get("orders", [body])
    return [order for order in inside if "type" in order]


EXAMPLES = [order for text in SHOWN for order in orders_of(json.loads(text))]


@pytest.mark.parametrize("order", EXAMPLES, ids=lambda order: order["type"])
def test_an_order_of_the_page_is_read_as_it_stands(order: dict[str, Any]) -> None:
    request = ORDER_REQUEST.read(order)
    assert request.type == order["type"]


def test_the_page_shows_an_order_of_each_type_that_waits() -> None:
    assert {order["type"] for order in EXAMPLES} >= set(READERS) - {"market", "takeProfit"}


@pytest.mark.parametrize("word", [*READERS, *TimeInForce, *Phase])
def test_each_type_time_and_phase_has_its_line(word: str) -> None:
    assert re.search(rf"^\| \[?`{word}`", PAGE, re.MULTILINE)
