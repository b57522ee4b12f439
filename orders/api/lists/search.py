"""Orders by what a person copies from a page: the end of an id, a transaction, an own id.

Each way is an index's, so a search reads the few rows that it finds, however many orders there are.
"""

import re
from contextlib import suppress
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError as InvalidValue
from django.db.models import QuerySet
from django.forms import Field
from django_filters.constants import EMPTY_VALUES

from orders.models import ID_END, Order

CUT = "…"  # pages show the end of an id behind it
NAME = re.compile(r"[A-Za-z0-9._:-]{1,128}")

# An index that is asked for an array is read first, whatever the statistics say.
FOUND = f"""orders.id = ANY(ARRAY(
  SELECT id FROM orders AS of_end
    WHERE right(id::text, {ID_END}) = %s AND right(id::text, %s) = %s
  UNION ALL SELECT id FROM orders AS of_client WHERE client_order_id = %s
  UNION ALL SELECT order_id FROM order_transactions WHERE signature = %s))"""  # noqa: S608  # a number of ours


class SearchField(Field):
    """What names an order: the whole of it, or the last 6 and more characters of an id."""

    def to_python(self, value: Any) -> str | None:
        if value in EMPTY_VALUES:
            return None
        text = value.removeprefix(CUT)
        if not NAME.fullmatch(text):
            message = "An order's id or its end, a transaction hash, or a clientOrderId."
            raise InvalidValue(message, "invalid_text")
        return str(text)


def search(orders: QuerySet[Order], text: str) -> QuerySet[Order]:
    """Return those of `orders` that a text names.

    It is 6 and more characters from the end of an id, up to the whole of it, in either letter case;
    or a whole transaction hash, of any attempt; or a whole clientOrderId.
    """
    end = _end_of_id(text.lower())
    parameters = [end[-ID_END:], len(end), end, text, text]
    return orders.extra(where=[FOUND], params=parameters)  # noqa: S610  # texts are parameters


def _end_of_id(text: str) -> str:
    """Return the characters that an id has to end with. Of fewer than 6, none does."""
    with suppress(ValueError):
        return str(UUID(text))  # without its hyphens, too
    return text
