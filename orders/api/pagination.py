"""Pages of the list of orders, newest first. They stay as they were while orders come in.

A cursor is a place between two orders, a time and an id. It counts no orders before it, so a later
order moves nothing. Each page reads a bounded number of rows, whatever the filters are.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.core.exceptions import EmptyResultSet
from django.db import connection, transaction
from django.db.models import Q, QuerySet
from rest_framework.request import Request
from rest_framework.utils.urls import replace_query_param

from orders.api.filters import FilteredOrders
from orders.api.reading.fields import refuse, whole_number
from orders.models import Order

DEFAULT_LIMIT = 25
MAX_LIMIT = 200
DEFAULT_EVENTS, MAX_EVENTS = 200, 1000
MAX_WAIT = 25
"""Seconds, for a page's first event; proxies end a silent request after 30 and more."""
LOOKED_AT = 10_000  # orders that one filtered page looks through
FIELDS = {"cursor", "limit"}


@contextmanager
def in_index_order() -> Iterator[None]:
    """Have the newest rows read from their index, and only as many as are needed.

    Without statistics the planner would rather sort all rows of a range, or of an account. A query
    that needs two indexes together, such as one for open orders, must run outside of this.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('enable_bitmapscan', 'off', true)")
        yield


class Place(NamedTuple):
    """The place just beyond one order, on the way to older or to newer ones."""

    is_older: bool
    at: datetime
    id: UUID

    @classmethod
    def beyond(cls, order: Order, *, is_older: bool) -> "Place":
        return cls(is_older, order.created_at, order.id)

    @classmethod
    def parse(cls, text: str) -> "Place":
        """:raises ValueError, KeyError, OverflowError: the text is no cursor of ours."""
        way, at, order_id = urlsafe_b64decode(text.encode()).decode().split("|")
        time = datetime.fromisoformat(at)
        if time.tzinfo is None:
            raise ValueError(at)
        return cls({"older": True, "newer": False}[way], time.astimezone(UTC), UUID(order_id))

    def as_cursor(self) -> str:
        words = ("older" if self.is_older else "newer", self.at.isoformat(), str(self.id))
        return urlsafe_b64encode("|".join(words).encode()).decode()


class Page(NamedTuple):
    orders: Sequence[Order]
    older: Place | None
    newer: Place | None


def page_of(filtered: FilteredOrders, place: Place | None, limit: int) -> Page:
    """Return the page at a place: at most `limit` orders.

    With a filter that has no index, a page looks through at most `LOOKED_AT` orders. Then it ends
    with fewer orders or none, and the next page goes on from there.
    """
    with in_index_order():
        return _page_of(filtered, place, limit)


def _page_of(filtered: FilteredOrders, place: Place | None, limit: int) -> Page:
    is_older = place.is_older if place else True
    orders = _first(filtered, place, is_older, limit + 1)
    if len(orders) > limit:
        orders = orders[:limit]
        ahead: Place | None = Place.beyond(orders[-1], is_older=is_older)
    elif filtered.among is None:
        ahead = None
    else:
        ahead = _edge(_beyond(filtered.among, place), is_older)
    back = _back(place, orders)
    if is_older:
        return Page(orders, older=ahead, newer=back)
    return Page(orders[::-1], older=back, newer=ahead)


def _first(filtered: FilteredOrders, place: Place | None, is_older: bool, most: int) -> list[Order]:
    """Return the first orders beyond a place that pass the filter.

    PostgreSQL stops looking as soon as it has found as many.
    """
    if filtered.among is None:
        return list(_ordered(_beyond(filtered.orders, place), is_older)[:most])
    among = _ordered(_beyond(filtered.among, place), is_older)[:LOOKED_AT]
    chosen = _ordered(filtered.orders, is_older)[:most]
    try:
        inner, of_inner = among.query.sql_with_params()
        outer, of_outer = chosen.query.sql_with_params()
    except EmptyResultSet:
        return []
    statement = outer.replace('FROM "orders"', f'FROM ({inner}) AS "orders"', 1)
    return list(Order.objects.raw(statement, (*of_inner, *of_outer)))


def _edge(among: QuerySet[Order], is_older: bool) -> Place | None:
    """Return the place where a page stops looking; None if no order lies beyond it."""
    rows = _ordered(among, is_older).only("created_at", "id")
    last_and_next = rows[LOOKED_AT - 1 : LOOKED_AT + 1]
    if len(last_and_next) < 2:
        return None
    return Place.beyond(last_and_next[0], is_older=is_older)


def _back(place: Place | None, orders: list[Order]) -> Place | None:
    """Return the way back over this page; None for the first page."""
    if place is None:
        return None
    if orders:
        return Place.beyond(orders[0], is_older=not place.is_older)
    return place._replace(is_older=not place.is_older)


def _ordered(orders: QuerySet[Order], is_older: bool) -> QuerySet[Order]:
    return orders.order_by(*(("-created_at", "-id") if is_older else ("created_at", "id")))


# The first part of each condition follows from the second. It is there for the index.
def _beyond(orders: QuerySet[Order], place: Place | None) -> QuerySet[Order]:
    if place is None:
        return orders
    at, order_id = place.at, place.id
    if place.is_older:
        return orders.filter(Q(created_at__lte=at), Q(created_at__lt=at) | Q(id__lt=order_id))
    return orders.filter(Q(created_at__gte=at), Q(created_at__gt=at) | Q(id__gt=order_id))


def read_limit(request: Request) -> int:
    """:raises ValidationError: it is no number of orders that a page may have."""
    limit = whole_number(request.query_params.get("limit", str(DEFAULT_LIMIT)), "limit")
    if not 1 <= limit <= MAX_LIMIT:
        raise refuse("limit", "out_of_range", f"From 1 to {MAX_LIMIT}.")
    return limit


def check_offset(request: Request) -> None:
    """Take an offset of zero, which other systems' clients send with the first page.

    :raises ValidationError: with any other, new orders would make pages repeat or skip orders.
    """
    if whole_number(request.query_params.get("offset", "0"), "offset"):
        raise refuse("offset", "out_of_range", "Only 0: go on by the cursor in next.")


def read_place(request: Request) -> Place | None:
    """:raises ValidationError: the cursor is not ours."""
    text = request.query_params.get("cursor")
    try:
        return None if text is None else Place.parse(text)
    except (ValueError, KeyError, OverflowError):
        text = "Not a cursor of ours: take it from next or previous."
        raise refuse("cursor", "invalid_cursor", text) from None


def link_to(url: str, place: Place | None) -> str | None:
    """Return the URL of another page. Only the cursor changes."""
    return None if place is None else str(replace_query_param(url, "cursor", place.as_cursor()))


def as_json(page: Page, url: str, results: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "next": link_to(url, page.older),
        "previous": link_to(url, page.newer),
        "results": results,
    }
