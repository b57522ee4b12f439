"""The years, months and days that have orders, to choose from.

Django's own date hierarchy reads every order to find them. This one looks each day up in the index:
at most 31 days, and the first and the last order.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.db import connection
from django.utils.timezone import make_aware

from orders.models import Order

# LIMIT 1 for each span keeps the planner from joining all orders with the spans.
SPANS_WITH_ORDERS = """
SELECT span.number FROM unnest(%s::timestamptz[], %s::timestamptz[])
  WITH ORDINALITY AS span(begin, until, number),
LATERAL (
  SELECT FROM orders WHERE created_at >= span.begin AND created_at < span.until
  ORDER BY created_at LIMIT 1
) AS one
ORDER BY span.number
"""


@dataclass(frozen=True, slots=True)
class Choice:
    title: str
    link: str = ""


@dataclass(frozen=True, slots=True)
class Calendar:
    back: Choice | None
    choices: tuple[Choice, ...]


def calendar(changelist: Any) -> Calendar | None:
    """Return the page's choices: the days of a month, the months of a year, or the years."""
    edges = _edges()
    if edges is None:
        return None
    year, month, day = (_chosen_part(changelist, part) for part in ("year", "month", "day"))
    if day and month and year:
        back = Choice(date(year, month, 1).strftime("%B %Y"), _link(changelist, year, month))
        return Calendar(back, (Choice(date(year, month, day).strftime("%B %-d")),))
    first, last = edges
    if not year and first.year == last.year:
        year = first.year
        if first.month == last.month:
            month = first.month
    if year and month:
        return _days(changelist, year, month)
    if year:
        return _months(changelist, year)
    years = tuple(
        Choice(str(number), _link(changelist, number))
        for number in range(first.year, last.year + 1)
    )
    return Calendar(None, years)


def _days(changelist: Any, year: int, month: int) -> Calendar:
    days = [date(year, month, 1)]
    while (following := days[-1] + timedelta(days=1)).month == month:
        days.append(following)
    choices = (
        Choice(day.strftime("%B %-d"), _link(changelist, day.year, day.month, day.day))
        for day in _with_orders([*days, following])
    )
    return Calendar(Choice(str(year), _link(changelist, year)), tuple(choices))


def _months(changelist: Any, year: int) -> Calendar:
    months = [*(date(year, month, 1) for month in range(1, 13)), date(year + 1, 1, 1)]
    choices = (
        Choice(month.strftime("%B %Y"), _link(changelist, month.year, month.month))
        for month in _with_orders(months)
    )
    return Calendar(Choice("All dates", _link(changelist)), tuple(choices))


def _edges() -> tuple[datetime, datetime] | None:
    times = Order.objects.values_list("created_at", flat=True)
    first, last = times.order_by("created_at").first(), times.order_by("-created_at").first()
    return (first, last) if first and last else None


def _with_orders(begins: list[date]) -> list[date]:
    """Return the spans that have orders. A span goes from one date to the next."""
    times = [make_aware(datetime(day.year, day.month, day.day)) for day in begins]
    with connection.cursor() as cursor:
        cursor.execute(SPANS_WITH_ORDERS, [times[:-1], times[1:]])
        return [begins[number - 1] for (number,) in cursor.fetchall()]


def _chosen_part(changelist: Any, part: str) -> int | None:
    value = changelist.params.get(f"created_at__{part}")
    return int(value) if value else None  # the list has refused a text that is no number


def _link(changelist: Any, *parts: int) -> str:
    names = ("created_at__year", "created_at__month", "created_at__day")
    query: str = changelist.get_query_string(
        dict(zip(names, parts, strict=False)), ["created_at__"]
    )
    return query
