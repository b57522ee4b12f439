"""Amounts and prices are Decimal and times are datetime, by the schema; and the other way."""

from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import yaml

from config.environment.data_folder import PROJECT
from order_engine_client import Changes, Event, Exit, NewOrder, Order
from order_engine_client.answers import DECIMALS, FINAL, TIMES, build, camel, parse
from order_engine_client.bodies import encode
from orders.lifecycle import FINAL as FINAL_STATUSES

SCHEMA = yaml.safe_load((PROJECT / "docs/openapi.yaml").read_text())
SHAPES = SCHEMA["components"]["schemas"]
UNREAD = {"lastUsedAt", "revokedAt", "database", "redis", "worker"}
"""Times that the client leaves as texts: of keys, and of parts of the engine's health."""


NUMBERS = ("Decimal", "SignedDecimal", "NetworkFee")


def members(node: Any) -> Iterator[tuple[str, Any]]:
    """Yield all members of all shapes."""
    if isinstance(node, dict):
        yield from (node.get("properties") or {}).items()
        node = list(node.values())
    if isinstance(node, list):
        for one in node:
            yield from members(one)


def is_decimal(shape: Any) -> bool:
    is_one = shape.get("$ref", "").rpartition("/")[2] in NUMBERS
    return is_one or any(map(is_decimal, shape.get("anyOf", shape.get("allOf", []))))


def is_time(shape: Any) -> bool:
    return shape.get("format") == "date-time" or any(map(is_time, shape.get("anyOf", [])))


def named(is_one: Any) -> set[str]:
    return {name for name, shape in members(SHAPES) if isinstance(shape, dict) and is_one(shape)}


def test_what_is_read_as_a_number_or_a_time_is_what_the_schema_says() -> None:
    assert named(is_decimal) == DECIMALS
    assert named(is_time) - UNREAD == TIMES


@pytest.mark.parametrize(("kind", "shape"), [(Order, "AcceptedOrder"), (Event, "OrderEvent")])
def test_the_fields_are_members_that_the_schema_has(kind: Any, shape: str) -> None:
    known = SHAPES[shape]["properties"]
    assert {camel(one.name) for one in fields(kind)} - {"all"} - set(known) == set()


@pytest.mark.parametrize(
    ("kind", "shape"),
    [(NewOrder, "OrderRequest"), (Exit, "ExitRequest"), (Changes, "Amendment")],
)
def test_what_can_be_sent_is_what_the_schema_takes(kind: Any, shape: str) -> None:
    known = set(SHAPES[shape]["properties"]) - {"seq", "orderType", "slippage"}
    assert set(kind.__annotations__) - {"slippage"} == known


def test_the_final_statuses_are_the_engines() -> None:
    assert {str(status) for status in FINAL_STATUSES} == FINAL


def test_values_are_exact_and_a_clients_own_words_stay_as_they_are() -> None:
    found = parse(
        '{"orderId": "1", "amountIn": "1.10", "executedPrice": null, "minimum": 0.1,'
        ' "createdAt": "2026-11-21T09:00:00.000000Z", "tags": {"price": "7", "at": "noon"},'
        ' "data": [{"price": "1e-9"}, {"price": "none"}], "all": 1}'
    )
    order = build(Order, found)
    assert (str(order.amount_in), order.executed_price) == ("1.10", None)
    assert order.created_at == datetime(2026, 11, 21, 9, tzinfo=UTC)
    assert order.tags == {"price": "7", "at": "noon"}
    assert order.all["data"] == [{"price": Decimal("1E-9")}, {"price": "none"}]
    assert order.all["minimum"] == Decimal("0.1")


def test_numbers_are_sent_with_all_their_digits() -> None:
    body = {"amountIn": Decimal("1E+3"), "startAt": datetime(2026, 1, 2, tzinfo=UTC), "n": 1}
    assert encode(body) == b'{"amountIn": "1000", "startAt": "2026-01-02T00:00:00+00:00", "n": 1}'
    with pytest.raises(TypeError, match="cannot be sent"):
        encode({"amountIn": {1}})
