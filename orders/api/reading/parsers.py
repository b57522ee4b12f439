"""JSON in which no number is read as a float and no field may be given twice."""

import json
from decimal import Decimal, InvalidOperation
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser
from rest_framework.renderers import JSONRenderer


class MalformedJSON(ValueError):
    """The text is not JSON that we read. The message says why."""


def parse_json(text: str | bytes) -> Any:
    """Return the value, its fractions as Decimal.

    :raises MalformedJSON: not UTF-8 or not JSON, NaN or infinity, nested too deep, or a field
        stands twice in one object.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode()  # the library would read UTF-16, too
        if text.startswith("\ufeff"):
            raise MalformedJSON("it begins with a BOM")
        return DECODER.decode(text)
    except RecursionError:
        raise MalformedJSON("nested too deep") from None
    except InvalidOperation:
        raise MalformedJSON("a number is beyond all measure") from None
    except ValueError as error:
        raise MalformedJSON(str(error)) from None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a field is given twice")
    "".join(members).encode()  # half of a surrogate pair is no text: an answer could not repeat it
    return members


DECODER = json.JSONDecoder(parse_float=Decimal, parse_constant=_refuse, object_pairs_hook=_object)


class ExactJSONParser(BaseParser):
    media_type = "application/json"
    renderer_class = JSONRenderer  # renders what the browsable page's raw form shows

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Any = None
    ) -> Any:
        return parse_body(stream.read())


def parse_body(body: bytes) -> Any:
    """:raises ParseError: answered with 400."""
    try:
        return parse_json(body)
    except MalformedJSON as error:
        raise ParseError(f"The body is not valid JSON: {error}.") from None
