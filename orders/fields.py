"""The fields of an order as clients send them: exact numbers and short words."""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError

from orders.dialects import is_computed
from orders.submission import CLIENT_ORDER_ID

MAX_TEXT = 64
MAX_WORDS = 20
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)


def refuse(field: str, code: str, message: str) -> ValidationError:
    return ValidationError({field: [ErrorDetail(message, code)]})


class Computed(Decimal):
    """A JSON number with as many digits as a double: the last may be noise of a computation."""


class NumberField(serializers.Field[Decimal, Any, str, Any]):
    """A number, exact: a JSON number or a string of one; never a float, a boolean, NaN."""

    def to_internal_value(self, data: Any) -> Decimal:
        if isinstance(data, int | Decimal) and not isinstance(data, bool):
            number = Decimal(data)
            if is_computed(number):
                number = Computed(number)
        elif isinstance(data, str) and len(data) <= MAX_TEXT and NUMBER.fullmatch(data.strip()):
            number = Decimal(data.strip())
        else:
            raise ValidationError("Not a number.", "invalid_number")
        if abs(number.adjusted()) > 40:
            raise ValidationError("Not a sensible number.", "out_of_range")
        return number

    def to_representation(self, value: Decimal) -> str:
        return format(value, "f")


class WordField(serializers.Field[str, Any, str, Any]):
    """A short name such as a symbol, a mint address or a side."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str) or not 0 < len(data.strip()) <= MAX_TEXT:
            raise ValidationError(f"Not a text of 1 to {MAX_TEXT} characters.", "invalid_text")
        return data.strip()

    def to_representation(self, value: str) -> str:
        return value


class ClientOrderIdField(serializers.Field[str, Any, str, Any]):
    """The client's own name for an order."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str) or not CLIENT_ORDER_ID.fullmatch(data):
            raise ValidationError("1 to 64 of A-Z a-z 0-9 . _ : -", "invalid_text")
        return data

    def to_representation(self, value: str) -> str:
        return value


class WordsField(serializers.Field[list[str], Any, list[str], Any]):
    """Several short names: a list of texts, or one text with commas between them."""

    def to_internal_value(self, data: Any) -> list[str]:
        words = data.split(",") if isinstance(data, str) else data
        if not isinstance(words, list) or not 0 < len(words) <= MAX_WORDS:
            raise ValidationError(f"Not a list of 1 to {MAX_WORDS} names.", "invalid_list")
        return [WordField().to_internal_value(word) for word in words]

    def to_representation(self, value: list[str]) -> list[str]:
        return value


def optional(field: Callable[..., Any], help_text: str, **options: Any) -> Any:
    return field(required=False, allow_null=True, help_text=help_text, **options)
