"""`place_order` passes each of its options on in the words of the API."""

import pytest
from django.core.management import CommandError
from django.core.management.base import CommandParser

from orders.management.order_options import GROUPS, add_options, fields_of

OPTIONS = [option for group in GROUPS.values() for option in group]


def typed(*arguments: str) -> dict[str, object]:
    """Return the fields of what was typed."""
    parser = CommandParser()
    add_options(parser)
    return fields_of(vars(parser.parse_args(arguments)))


def test_what_is_not_typed_is_not_sent() -> None:
    assert typed() == {}


def test_a_stop_is_typed_with_its_price_and_its_end() -> None:
    assert typed("--type", "stop", "--trigger-price=95", "--expires-in", "3600") == {
        "type": "stop",
        "triggerPrice": "95",
        "expiresInSeconds": "3600",
    }


def test_the_exits_of_a_bracket_are_objects() -> None:
    assert typed("--take-profit", "112", "--stop-loss", "95", "--stop-loss-limit", "94") == {
        "takeProfit": {"limitPrice": "112"},
        "stopLoss": {"triggerPrice": "95", "limitPrice": "94"},
    }


def test_an_oco_is_typed_with_its_two_exits() -> None:
    assert typed(
        *("--type", "oco", "--take-profit-trigger=112", "--take-profit-slippage-bps=50"),
        *("--stop-loss-trail-bps=200", "--stop-loss-activation=105"),
        "--stop-loss-slippage-bps=300",
    ) == {
        "type": "oco",
        "takeProfit": {"triggerPrice": "112", "slippageBps": "50"},
        "stopLoss": {"trailBps": "200", "activationPrice": "105", "slippageBps": "300"},
    }


def test_tags_have_a_name_and_a_value() -> None:
    assert typed("--tag", "desk=2", "--tag", "why=a=b") == {"tags": {"desk": "2", "why": "a=b"}}
    with pytest.raises(CommandError, match="--tag desk is not NAME=VALUE") as refused:
        typed("--tag", "desk")
    assert refused.value.returncode == 2
