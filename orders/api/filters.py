"""The filters of the list of orders: the query's fields, each read strictly.

A value without a meaning is refused by its field's name. So is a field that does not exist or is
given twice. If a filter were dropped silently, a client would see orders that it did not ask for.
"""

from collections.abc import Callable, Iterable, Mapping, Set
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import django_filters
from django.core.exceptions import ValidationError as InvalidValue
from django.db.models import QuerySet
from django.forms import Field
from django.http import QueryDict
from django_filters.constants import EMPTY_VALUES
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request
from rest_framework.settings import api_settings

from orders.api.lists.search import SearchField, search
from orders.api.reading.fields import MAX_TAGS, TAG_NAME, is_plain_text, read_time
from orders.engine.submission import CLIENT_ORDER_ID
from orders.lifecycle import ACTIVE, FINAL, IS_BEGUN, IS_WAITING, Status
from orders.models import Order
from orders.words import OrderType, Phase
from routing.registry import look_up_if_due, registry
from routing.tokens import Market, UnknownMarket, UnknownToken
from routing.venue import Side
from routing.venues import LABELS

TYPES = tuple(OrderType)
STATES = {"active": ACTIVE, "resting": frozenset({Status.OPEN}), "closed": FINAL}
TAG = "tag."
TAG_PARAMETER = f"{TAG}NAME"
"""How the tags' parameters are called where all parameters are named."""


class WordsField(Field):
    """One of some known words, or several with commas between them.

    Neither letter case nor `_` and `-` count.
    """

    def __init__(self, *, words: tuple[str, ...], several: bool = False, **options: Any) -> None:
        self.words, self.several = {folded(word): str(word) for word in words}, several
        super().__init__(**options)

    def to_python(self, value: Any) -> list[str]:
        if value in EMPTY_VALUES:
            return []
        given = value.split(",") if self.several else [value]
        chosen = [folded(word) if word.isascii() else word for word in given]
        if set(chosen) - set(self.words):
            known = ", ".join(self.words.values())
            raise InvalidValue(f"Not one of {known}.", "invalid_choice")
        return [self.words[word] for word in chosen]


def folded(word: str) -> str:
    """Return a word as it is compared."""
    return word.strip().lower().replace("_", "").replace("-", "")


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


class IdField(Field):
    """The id of an order, or of a group of orders."""

    def to_python(self, value: Any) -> UUID | None:
        if value in EMPTY_VALUES:
            return None
        try:
            return UUID(value.strip())
        except ValueError:
            raise InvalidValue("Not a UUID.", "invalid_id") from None


class IdFilter(django_filters.Filter):
    field_class = IdField

    def filter(self, qs: QuerySet[Order], value: UUID | None) -> QuerySet[Order]:
        return of_column(qs, str(self.field_name), value) if value else qs


class ClientOrderIdFilter(django_filters.Filter):
    field_class = ClientOrderIdField


class SearchFilter(django_filters.Filter):
    field_class = SearchField

    def filter(self, qs: QuerySet[Order], value: str | None) -> QuerySet[Order]:
        return search(qs, value) if value else qs


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


class PhaseFilter(WordsFilter):
    def filter(self, qs: QuerySet[Order], value: list[str]) -> QuerySet[Order]:
        return super().filter(of_statuses(qs, STATES["resting"]), value) if value else qs


class OrderFilter(django_filters.FilterSet):
    """The filters of `GET /api/orders`. An order has to pass all that are given."""

    status = StatusFilter(
        words=tuple(Status), several=True, help_text="One status, or several separated by commas."
    )
    state = StateFilter(
        words=tuple(STATES),
        help_text="active: on its way, or resting. resting: open, it waits for its price or its"
        " time. closed: confirmed, failed, cancelled or expired.",
    )
    market = MarketFilter(help_text="Base and quote, such as SOL/USDC.")
    side = WordsFilter(words=tuple(Side))
    type = WordsFilter(
        words=TYPES, several=True, help_text="One type, or several separated by commas."
    )
    venue = WordsFilter(words=tuple(LABELS), help_text="The venue the order was routed to.")
    clientOrderId = ClientOrderIdFilter(  # noqa: N815  # as clients write it
        field_name="client_order_id",
        help_text="The order that you gave this id, if it has arrived. Needs an account.",
    )
    q = SearchFilter(
        help_text="What names an order: the last 6 or more characters of its id, up to the whole;"
        " a whole transaction hash, of any attempt; or a whole clientOrderId.",
    )
    createdAfter = TimeFilter(  # noqa: N815
        field_name="created_at",
        lookup_expr="gte",
        help_text="Created at this RFC 3339 time or later.",
    )
    createdBefore = TimeFilter(  # noqa: N815
        field_name="created_at", lookup_expr="lt", help_text="Created before this RFC 3339 time."
    )

    expiresBefore = TimeFilter(  # noqa: N815
        field_name="expires_at",
        lookup_expr="lt",
        help_text="Ends before this RFC 3339 time if it is not submitted by then.",
    )
    phase = PhaseFilter(
        words=tuple(Phase),
        several=True,
        help_text="What a resting order does: one phase, or several separated by commas.",
    )
    groupId = IdFilter(  # noqa: N815
        field_name="group_id", help_text="The two orders of this group."
    )
    parentOrderId = IdFilter(  # noqa: N815
        field_name="parent_id",
        help_text="The orders that this one made: a bracket's exits, a TWAP's slices.",
    )

    class Meta:
        model = Order
        fields: tuple[str, ...] = ()


RANGE = {"createdAfter", "createdBefore"}
BY_INDEX = {"clientOrderId", "groupId", "parentOrderId", "phase", "q"}
"""Each of these leads to few orders by an index of its own."""
# The planner plans an array by itself and makes it first. Without the array and without statistics,
# it would look through all orders of an account for these few.
AMONG = "orders.id = ANY(ARRAY({}))"
ON_THEIR_WAY = f"""
  SELECT id FROM orders AS open WHERE {IS_WAITING}
  UNION ALL
  SELECT id FROM orders AS open WHERE {IS_BEGUN}
"""  # noqa: S608  # our own words


class FilteredOrders(NamedTuple):
    """The orders that a query asks for. `among` are the orders to look through for them."""

    orders: QuerySet[Order]
    among: QuerySet[Order] | None
    """None if an index leads to the orders themselves."""


def filter_orders(query: QueryDict, orders: QuerySet[Order]) -> FilteredOrders:
    """Return the orders among `orders` that the query asks for.

    :raises ValidationError: with an error for every field that cannot be read.
    """
    tags = read_tags(query)
    if not (tags or query.keys() & OrderFilter.base_filters.keys()):
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
    found = chosen.qs.filter(tags__contains=tags) if tags else chosen.qs
    is_searched = bool(tags) or any(values[name] for name in set(values) - RANGE)
    if not is_searched or is_active(values) or any(values[name] for name in BY_INDEX):
        return FilteredOrders(found, None)
    of_range = {name: query[name] for name in RANGE & query.keys()}
    return FilteredOrders(found, OrderFilter(of_range, orders).qs if of_range else orders)


def read_tags(query: QueryDict) -> dict[str, str]:
    """Return the tags that orders must have: of each parameter `tag.NAME` its value.

    :raises ValidationError: no order can have such a tag, or so many.
    """
    return tags_in({name: query[name] for name in query if name.startswith(TAG)})


def tags_in(given: Mapping[str, object]) -> dict[str, str]:
    """Return the tags in members such as `tag.NAME`, by their names.

    :raises ValidationError: no order can have such a tag, or so many.
    """
    given = {name[len(TAG) :]: value for name, value in given.items()}
    errors = {}
    for name, value in given.items():
        if not TAG_NAME.fullmatch(name):
            errors[f"{TAG}{name}"[:64]] = ErrorDetail(
                "A tag's name has 1 to 64 of A-Z a-z 0-9 . _ -", "invalid_text"
            )
        elif not is_plain_text(value):
            text = "A tag's value has 1 to 64 characters, and no control characters."
            errors[f"{TAG}{name}"] = ErrorDetail(text, "invalid_text")
    if len(given) > MAX_TAGS:
        errors[TAG_PARAMETER] = ErrorDetail(f"At most {MAX_TAGS} tags.", "out_of_range")
    if errors:
        raise ValidationError({name: [error] for name, error in errors.items()})
    return {name: str(value) for name, value in given.items()}


def is_active(values: dict[str, Any]) -> bool:
    """Whether only active orders are asked for: three small indexes hold nothing else."""
    statuses = set(values["status"])
    return values["state"] in (["active"], ["resting"]) or (bool(statuses) and statuses <= ACTIVE)


def of_statuses(orders: QuerySet[Order], statuses: frozenset[Status]) -> QuerySet[Order]:
    """Return orders with one of these statuses. For active ones, the condition is the indexes'."""
    if statuses == STATES["resting"]:
        return orders.filter(resting=True)
    if statuses <= ACTIVE:
        orders = of_active(orders, has_resting=Status.OPEN in statuses)
    return orders if statuses == ACTIVE else orders.filter(status__in=sorted(statuses))


def of_active(orders: QuerySet[Order], *, has_resting: bool) -> QuerySet[Order]:
    """Return the orders that are on their way, and those of `orders` that rest."""
    if orders.query.is_empty():
        return orders
    parts, parameters = ON_THEIR_WAY, ()
    if has_resting:
        resting, parameters = (
            orders.filter(resting=True).order_by().values("id").query.sql_with_params()
        )
        parts = f"{ON_THEIR_WAY} UNION ALL {resting}"
    return orders.extra(where=[AMONG.format(parts)], params=parameters)  # noqa: S610  # no client's text


def of_column(orders: QuerySet[Order], column: str, value: UUID) -> QuerySet[Order]:
    """Return the orders with this value in a column that has an index."""
    part = f"SELECT id FROM orders AS of_one WHERE {column} = %s"  # noqa: S608  # our own word
    return orders.extra(where=[AMONG.format(part)], params=[value])  # noqa: S610


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
        is_tag = TAG_PARAMETER in known and name.startswith(TAG)
        if not is_tag and name not in known | besides:
            text = f"There is no such parameter. Known: {', '.join(sorted(known)) or 'none'}."
            errors[name[:64]] = [ErrorDetail(text, "unknown_parameter")]
        elif len(values) > 1:
            errors[name] = [ErrorDetail("Give it once.", "given_twice")]
        elif not values[0].strip():
            errors[name] = [ErrorDetail("It is empty.", "required")]
    if errors:
        raise ValidationError(errors)
