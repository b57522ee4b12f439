"""The fields of an order as clients send them: exact numbers, short words, and the key's header."""

import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError

from orders.api.dialects import is_computed
from orders.engine.submission import CLIENT_ORDER_ID

MAX_TEXT = 64
MAX_WORDS = 20
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)


IDEMPOTENCY_KEY = "Idempotency-Key"
KEY = re.compile(r"[!-+\--~]{1,255}")
"""No comma: a proxy may have joined a repeated header into one line."""


def idempotency_key_of(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Return the idempotency key among the raw headers; None if there is none.

    White space around a key is no part of it. A key that is given more than once has to be the
    same each time.

    :raises ValidationError: it is no key, there are two, or the header is called something else.
    """
    given: set[str] = set()
    for name, value in headers:
        if b"idempot" not in name.lower():
            continue
        called = name.decode("latin-1").lower()
        if called != IDEMPOTENCY_KEY.lower():
            raise refuse(called[:MAX_TEXT], "unknown_header", f"Call it {IDEMPOTENCY_KEY}.")
        given.add(value.decode("latin-1").strip(" \t"))
    if not given:
        return None
    if len(given) > 1 or "," in "".join(given):
        raise refuse(IDEMPOTENCY_KEY, "given_twice", "Give one key; a comma separates two.")
    (key,) = given
    if not KEY.fullmatch(key):
        text = "1 to 255 visible ASCII characters without a comma."
        raise refuse(IDEMPOTENCY_KEY, "invalid_text", text)
    return key


def refuse(field: str, code: str, message: str) -> ValidationError:
    return ValidationError({field: [ErrorDetail(message, code)]})


def whole_number(text: str, field: str, message: str = "Not a whole number.") -> int:
    """Return the number in this field of a query. PostgreSQL's integers can hold it.

    :raises ValidationError: it is not written in one to nine digits.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise refuse(field, "invalid_number", message)
    return int(text)


class Computed(Decimal):
    """A JSON number with as many digits as a double. The last ones may be a computation's noise."""


class NumberField(serializers.Field[Decimal, Any, str, Any]):
    """An exact number: a JSON number or a string of one; never a float, a boolean, NaN."""

    def to_internal_value(self, data: Any) -> Decimal:
        if isinstance(data, int | Decimal) and not isinstance(data, bool):
            number = Decimal(data)
            if is_computed(number):
                number = Computed(number)
        elif (
            isinstance(data, str)
            and data.isascii()
            and len(data) <= MAX_TEXT
            and NUMBER.fullmatch(data.strip())
        ):
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
        # Folding could turn a foreign character that resembles a letter or space into that one.
        if not isinstance(data, str) or not data.isascii() or not 0 < len(data.strip()) <= MAX_TEXT:
            raise ValidationError(
                f"Not a text of 1 to {MAX_TEXT} ASCII characters.", "invalid_text"
            )
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
