"""The fields of an order as clients send them: exact numbers, short words, and the key's header."""

import re
import unicodedata
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Context, Decimal, Inexact
from typing import Any, TypeVar, cast

from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError

from orders.api.reading.dialects import is_computed
from orders.api.reading.parsers import MalformedJSON, parse_json
from orders.engine.submission import CLIENT_ORDER_ID

MAX_TEXT = 64
MAX_WORDS = 20
MAX_TAGS = 10
MOST = Decimal(10) ** 20
"""No price is as high."""
SMALLEST = Decimal(1).scaleb(-20)
EXACT, ROUNDING = Context(prec=60, traps=[Inexact]), Context(prec=60)
TAG_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+ -]\d\d:\d\d)", re.ASCII
)
Value = TypeVar("Value")
Given = dict[str, Any]
"""The values of the fields that were given."""
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)


IDEMPOTENCY_KEY = "Idempotency-Key"
KEY = re.compile(r"[!-+\--~]{1,255}")
"""No comma: a proxy may have joined a repeated header into one line."""
MOST_OF_SEVERAL = 250
"""Characters of a key that several orders share."""


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


def check_key_of_several(key: str) -> None:
    """Check the key of a request for several orders: theirs are longer, by a space and a place.

    :raises ValidationError: theirs could not be kept.
    """
    if len(key) > MOST_OF_SEVERAL:
        text = f"For several orders, at most {MOST_OF_SEVERAL} characters."
        raise refuse(IDEMPOTENCY_KEY, "invalid_text", text)


class Refusal(ErrorDetail):
    """Why a field is refused, with more that a program may want to know."""

    members: dict[str, Any]


def refuse(field: str, code: str, message: str, **members: Any) -> ValidationError:
    """Return the refusal of a field. `members` stand beside its code in the answer."""
    if not members:
        return ValidationError({field: [ErrorDetail(message, code)]})
    refusal = Refusal(message, code)
    refusal.members = members
    return all_of({field: [refusal]})


def all_of(errors: dict[str, Any]) -> ValidationError:
    """Return the errors of several fields as one; DRF's own would forget their members."""
    error = ValidationError()
    error.detail = errors
    return error


def try_read(errors: dict[str, Any], read: Callable[..., Value], *arguments: Any) -> Value | None:
    """Return what `read` returns. If it fails, add its errors to the others and return None."""
    try:
        return read(*arguments)
    except ValidationError as error:
        errors.update(cast("dict[str, Any]", error.detail))
        return None


def read_time(text: str) -> datetime:
    """Return an RFC 3339 time in UTC. It needs an offset: elsewhere it would be another time.

    :raises ValueError: it is none.
    """
    text = text.strip()
    if not RFC_3339.fullmatch(text):
        raise ValueError(text)
    # In a URL "+" means a space, so "+01:00" arrives as " 01:00".
    time = datetime.fromisoformat(f"{text[:-6]}{text[-6:].replace(' ', '+')}".upper())
    try:
        return time.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(text) from error


def whole_number(text: str, field: str, message: str = "Not a whole number.") -> int:
    """Return the number in this field of a query. PostgreSQL's integers can hold it.

    :raises ValidationError: it is not written in one to nine digits.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise refuse(field, "invalid_number", message)
    return int(text)


def needed(given: Given, name: str) -> Any:
    """:raises ValidationError: it was not given."""
    if name not in given:
        raise refuse(name, "required", "Orders of this type need it.")
    return given[name]


def whole(number: Decimal, field: str, least: int, most: int) -> int:
    """:raises ValidationError: it is not a whole number in this range."""
    if not least <= number <= most:
        raise refuse(field, "out_of_range", f"From {least} to {most}.")
    if number != int(number):
        raise refuse(field, "too_precise", "A whole number.")
    return int(number)


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


class PriceField(NumberField):
    """A price: whole quote tokens for one whole base token, above zero, at most 20 decimals."""

    def to_internal_value(self, data: Any) -> Decimal:
        price = super().to_internal_value(data)
        if not 0 < price < MOST:
            raise ValidationError("A price is above zero, and below 1e20.", "out_of_range")
        try:
            return EXACT.quantize(price, SMALLEST)
        except Inexact:
            rounded = price.quantize(SMALLEST, context=ROUNDING)
            if isinstance(price, Computed) and rounded:
                return rounded
            raise ValidationError("A price has at most 20 decimals.", "too_precise") from None


class TimeField(serializers.Field[datetime, Any, str, Any]):
    """An RFC 3339 time with its offset."""

    def to_internal_value(self, data: Any) -> datetime:
        try:
            if not isinstance(data, str) or len(data) > MAX_TEXT:
                raise ValueError(data)
            return read_time(data)
        except ValueError:
            text = "Not an RFC 3339 time such as 2026-11-21T09:30:00Z."
            raise ValidationError(text, "invalid_time") from None

    def to_representation(self, value: datetime) -> str:
        return value.isoformat()


class ObjectField(serializers.Field[dict[str, Any], Any, dict[str, Any], Any]):
    """A JSON object, or in a form its text."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if isinstance(data, str):
            try:
                data = parse_json(data)
            except MalformedJSON:
                data = None
        if not isinstance(data, dict):
            raise ValidationError("Not a JSON object.", "not_an_object")
        return {name: value for name, value in data.items() if value is not None}

    def to_representation(self, value: dict[str, Any]) -> dict[str, Any]:
        return value


class TagsField(ObjectField):
    """A client's own words about an order, by name."""

    def to_internal_value(self, data: Any) -> dict[str, str]:
        tags = super().to_internal_value(data)
        if len(tags) > MAX_TAGS:
            raise ValidationError(f"At most {MAX_TAGS} tags.", "too_many")
        for name, value in tags.items():
            if not TAG_NAME.fullmatch(name):
                text = "A tag's name is 1 to 64 of A-Z a-z 0-9 . _ -"
                raise ValidationError(text, "invalid_text")
            if not is_plain_text(value):
                text = f"{name}: a tag is a text of at most {MAX_TEXT} characters that are shown."
                raise ValidationError(text, "invalid_text")
        return tags


def is_plain_text(value: Any) -> bool:
    """Whether it is a short text without control characters and halves of surrogate pairs."""
    return (
        isinstance(value, str)
        and len(value) <= MAX_TEXT
        and not any(unicodedata.category(character) in ("Cc", "Cs") for character in value)
    )


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
