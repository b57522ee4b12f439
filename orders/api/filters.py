"""The filters of the list of orders: the query's fields, each read strictly.

A value without a meaning is refused by its field's name. So is a field that does not exist or is
given twice. If a filter were dropped silently, a client would see orders that it did not ask for.
"""

from collections.abc import Callable, Iterable, Set
from datetime import datetime
from typing import Any, NamedTuple

import django_filters
from django.core.exceptions import ValidationError as InvalidValue
from django.db.models import QuerySet
from django.forms import Field
from django.http import QueryDict
from django_filters.constants import EMPTY_VALUES
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request
from rest_framework.settings import api_settings

from orders.api.fields import read_time
from orders.engine.submission import CLIENT_ORDER_ID
from orders.lifecycle import ACTIVE, FINAL, IS_BEGUN, IS_WAITING, Status
from orders.models import Order
from routing.registry import look_up_if_due, registry
from routing.tokens import Market, UnknownMarket, UnknownToken
from routing.venue import Side
from routing.venues import LABELS

TYPES = ("market",)
STATES = {"active": ACTIVE, "closed": FINAL}


class WordsField(Field):
    """One of some known words, or several with commas between them. Letter case does not count."""

    def __init__(self, *, words: tuple[str, ...], several: bool = False, **options: Any) -> None:
        self.words, self.several = words, several
        super().__init__(**options)

    def to_python(self, value: Any) -> list[str]:
        if value in EMPTY_VALUES:
            return []
        chosen = [
            word.strip().lower() if word.isascii() else word
            for word in (value.split(",") if self.several else [value])
        ]
        for word in chosen:
            if word not in self.words:
                raise InvalidValue(f"Not one of {', '.join(self.words)}.", "invalid_choice")
        return chosen


class TimeField(Field):
    """An RFC 3339 time. It needs an offset: elsewhere, a time without one is another time."""

    def to_python(self, value: Any) -> datetime | None:
        if value in EMPTY_VALUES:
            return None
        try:
            return read_time(value)
        except ValueError:
            message = "Not an RFC 3339 time such as 2026-11-21T09:30:00Z."
            raise InvalidValue(message, "invalid_time") from None


class MarketField(Field):
    """A market by its name, such as SOL/USDC."""

    def to_python(self, value: Any) -> tuple[str, str] | None:
        if value in EMPTY_VALUES:
            return None
        market = market_named(value)
        return market.base.symbol, market.quote.symbol


def market_named(name: str, look_up: Callable[..., Market] = look_up_if_due) -> Market:
    """:raises InvalidValue: there is no market of this name."""
    base, _, quote = name.strip().partition("/")
    try:
        return look_up(lambda known: known.market(known.token(base), known.token(quote)))
    except (UnknownToken, UnknownMarket):
        known = ", ".join(market.name for market in registry().markets)
        raise InvalidValue(f"Not a market. Markets: {known}.", "unknown_market") from None


class ClientOrderIdField(Field):
    """The client's own id of one order, exactly."""

    def to_python(self, value: Any) -> str | None:
        if value in EMPTY_VALUES:
            return None
        if not CLIENT_ORDER_ID.fullmatch(value):
            raise InvalidValue("1 to 64 of A-Z a-z 0-9 . _ : -", "invalid_text")
        return str(value)


class ClientOrderIdFilter(django_filters.Filter):
    field_class = ClientOrderIdField


class WordsFilter(django_filters.Filter):
    field_class = WordsField

    def filter(self, qs: QuerySet[Order], value: list[str]) -> QuerySet[Order]:
        return qs.filter(**{f"{self.field_name}__in": value}) if value else qs


class TimeFilter(django_filters.Filter):
    field_class = TimeField


class MarketFilter(django_filters.Filter):
    field_class = MarketField

    def filter(self, qs: QuerySet[Order], value: tuple[str, str] | None) -> QuerySet[Order]:
        return qs.filter(base=value[0], quote=value[1]) if value else qs


class StateFilter(django_filters.Filter):
    field_class = WordsField

    def filter(self, qs: QuerySet[Order], value: list[str]) -> QuerySet[Order]:
        return of_statuses(qs, STATES[value[0]]) if value else qs


class StatusFilter(django_filters.Filter):
    field_class = WordsField

    def filter(self, qs: QuerySet[Order], value: list[str]) -> QuerySet[Order]:
        return of_statuses(qs, frozenset(Status(word) for word in value)) if value else qs


class OrderFilter(django_filters.FilterSet):
    """The filters of `GET /api/orders`. An order has to pass all that are given."""

    status = StatusFilter(
        words=tuple(Status), several=True, help_text="One status, or several separated by commas."
    )
    state = StateFilter(
        words=tuple(STATES),
        help_text="active: on its way. closed: confirmed, failed, cancelled or expired.",
    )
    market = MarketFilter(help_text="Base and quote, such as SOL/USDC.")
    side = WordsFilter(words=tuple(Side))
    type = WordsFilter(words=TYPES)
    venue = WordsFilter(words=tuple(LABELS), help_text="The venue the order was routed to.")
    clientOrderId = ClientOrderIdFilter(  # noqa: N815  # as clients write it
        field_name="client_order_id",
        help_text="The order that you gave this id, if it has arrived. Needs an account.",
    )
    createdAfter = TimeFilter(  # noqa: N815
        field_name="created_at",
        lookup_expr="gte",
        help_text="Created at this RFC 3339 time or later.",
    )
    createdBefore = TimeFilter(  # noqa: N815
        field_name="created_at", lookup_expr="lt", help_text="Created before this RFC 3339 time."
    )

    class Meta:
        model = Order
        fields: tuple[str, ...] = ()


RANGE = {"createdAfter", "createdBefore"}
# The planner plans an array by itself and makes it first. Without the array and without statistics,
# it would look through all orders of an account for the open ones.
IS_OPEN = f"""orders.id = ANY(ARRAY(
  SELECT id FROM orders AS open WHERE {IS_WAITING}
  UNION ALL
  SELECT id FROM orders AS open WHERE {IS_BEGUN}
))"""  # noqa: S608  # our own words


class FilteredOrders(NamedTuple):
    """The orders that a query asks for. `among` are the orders to look through for them."""

    orders: QuerySet[Order]
    among: QuerySet[Order] | None
    """None if an index leads to the orders themselves."""


def filter_orders(query: QueryDict, orders: QuerySet[Order]) -> FilteredOrders:
    """Return the orders among `orders` that the query asks for.

    :raises ValidationError: with an error for every field that cannot be read.
    """
    if not query.keys() & OrderFilter.base_filters.keys():
        return FilteredOrders(orders, None)  # a form takes a millisecond to say that
    chosen = OrderFilter(query, queryset=orders)
    if not chosen.is_valid():
        raise ValidationError(
            {
                name: [
                    ErrorDetail(text, error.code or "invalid")
                    for error in errors
                    for text in error.messages
                ]
                for name, errors in chosen.form.errors.as_data().items()
            }
        )
    values = chosen.form.cleaned_data
    is_one = values["clientOrderId"] is not None
    if is_one or is_active(values) or not any(values[name] for name in set(values) - RANGE):
        return FilteredOrders(chosen.qs, None)
    of_range = {name: query[name] for name in RANGE & query.keys()}
    return FilteredOrders(chosen.qs, OrderFilter(of_range, orders).qs if of_range else orders)


def is_active(values: dict[str, Any]) -> bool:
    """Whether only active orders are asked for: two small indexes hold nothing else."""
    statuses = set(values["status"])
    return values["state"] == ["active"] or (bool(statuses) and statuses <= ACTIVE)


def of_statuses(orders: QuerySet[Order], statuses: frozenset[Status]) -> QuerySet[Order]:
    """Return orders with one of these statuses. For active ones, the condition is the indexes'."""
    if statuses <= ACTIVE:
        orders = orders.extra(where=[IS_OPEN])  # noqa: S610  # no client's text
    return orders if statuses == ACTIVE else orders.filter(status__in=sorted(statuses))


def check_names(request: Request, known: set[str]) -> None:
    """Refuse a query with a field that is unknown, empty or repeated.

    :raises ValidationError: with an error for each of them.
    """
    if request.META.get("QUERY_STRING"):
        check_query(request.query_params.lists(), known, {str(api_settings.URL_FORMAT_OVERRIDE)})


def check_query(
    given: Iterable[tuple[str, list[str]]], known: set[str], besides: Set[str] = frozenset()
) -> None:
    """Refuse a parameter of `given` that is neither known nor named in `besides`.

    :raises ValidationError: with an error for each parameter that is unknown, empty or repeated.
    """
    errors: dict[str, list[ErrorDetail]] = {}
    for name, values in given:
        if name not in known | besides:
            text = f"There is no such parameter. Known: {', '.join(sorted(known)) or 'none'}."
            errors[name[:64]] = [ErrorDetail(text, "unknown_parameter")]
        elif len(values) > 1:
            errors[name] = [ErrorDetail("Give it once.", "given_twice")]
        elif not values[0].strip():
            errors[name] = [ErrorDetail("It is empty.", "required")]
    if errors:
        raise ValidationError(errors)
