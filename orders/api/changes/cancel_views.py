"""Cancels orders: one, several by their ids, or all of an account that pass a filter."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson
from asgiref.sync import sync_to_async
from django.core.exceptions import ValidationError as InvalidValue
from django.db import Error
from django.db.models import QuerySet
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from orders.access.authentication import IsAccount, check_account
from orders.api import filters
from orders.api.base_views import AsyncAPIView
from orders.api.changes.bodies import read_flag, read_list, read_object
from orders.api.changes.senders import Answered, Sender, find_order, response
from orders.api.problems import (
    CancellationUnknown,
    OrderNotFound,
    is_database_away,
    problem_of,
    refusal,
)
from orders.api.reading.fields import refuse
from orders.api.reading.parsers import ExactJSONParser
from orders.api.related import related
from orders.api.schema import openapi
from orders.engine import submission
from orders.engine.changes.mass_cancel import Found, MassCancellation, cancel_orders
from orders.engine.hints import hints_of_this_loop
from orders.engine.submission import NotCancellable
from orders.lifecycle import ACTIVE, Status
from orders.models import Order
from orders.words import EndReason, OrderType
from routing.venue import Side

MOST_CANCELLED = 500
MOST_SHOWN = 1000
ALL, ENTRIES = "all", "entries"
PROTECTIVE = (OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TRAILING_STOP)


class CancelManyView(AsyncAPIView):
    """Cancel up to 500 orders by their ids (POST)."""

    parser_classes = (ExactJSONParser,)

    @openapi.CANCEL_MANY
    async def post(self, request: Request) -> Response:
        filters.check_names(request, set())
        return response(await cancel_many(request.data, Sender.of(request, self.headers)))


class CancelAllView(AsyncAPIView):
    """Cancel all orders of the account (POST), or those that pass a filter."""

    parser_classes = (ExactJSONParser,)
    permission_classes = (*AsyncAPIView.permission_classes, IsAccount)

    @openapi.CANCEL_ALL
    async def post(self, request: Request) -> Response:
        filters.check_names(request, set())
        return response(await cancel_all(request.data, Sender.of(request, self.headers)))


def cancelled(order_id: str, sender: Sender, *, when_possible: bool) -> Answered:
    """Cancel an order; the answer shows it. 202: it is cancelled unless its transaction lands.

    :raises OrderNotFound: no order has this id, or it is another account's.
    :raises NotCancellable: it may have filled, or has ended.
    :raises CancellationUnknown: the database did not answer, or did not say.
    """
    order = find_order(sender.principal, order_id)
    try:
        found = submission.cancel_order(order.id, when_possible=when_possible, by=sender.said_by)
        order = find_order(sender.principal, order_id)
    except Error as error:
        if not is_database_away(error):
            raise
        raise CancellationUnknown(str(order.id)) from error
    code = status.HTTP_202_ACCEPTED if found.is_requested else status.HTTP_200_OK
    return Answered(code, sender.told(sender.shown(order)))


async def cancel_many(sent: Any, sender: Sender) -> Answered:
    """Cancel the orders that a body names, and say what became of each.

    :raises ValidationError: the body is wrong.
    """
    given = read_object(sent, {"orderIds", "whenPossible"})
    ids = read_list(given, "orderIds", MOST_CANCELLED)
    when_possible = read_flag(given, "whenPossible")
    found, told = await sync_to_async(_cancel_many)(ids, sender, when_possible=when_possible)
    publish(found)
    return Answered(status.HTTP_207_MULTI_STATUS, told)


def _cancel_many(
    ids: Sequence[Any], sender: Sender, *, when_possible: bool
) -> tuple[MassCancellation, list[dict[str, Any]]]:
    named = [canonical_id(one) for one in ids]
    wanted = {one for one in named if one is not None}
    owner = sender.principal.owner
    visible = Order.objects.visible_to(owner).filter(pk__in=wanted).values_list("id", flat=True)
    found = cancel_orders(
        sorted(map(str, visible)),
        reason=EndReason.USER,
        by=sender.said_by,
        when_possible=when_possible,
    )
    stands = {order.id: order for order in found.orders if order.is_named}
    orders = list(Order.objects.filter(pk__in=stands))
    beside = related(orders)
    rows = {str(order.id): sender.shown(order, beside[order.id]) for order in orders}
    told = [
        {"index": index, "orderId": repeatable(sent)}
        | _cancelled(stands.get(name or ""), rows.get(name or ""))
        for index, (sent, name) in enumerate(zip(ids, named, strict=True))
    ]
    return found, told


def _cancelled(found: Found | None, order: dict[str, Any] | None) -> dict[str, Any]:
    """Return what became of one order that was named; None: there is no such order."""
    if found is None or order is None:
        problem = problem_of(OrderNotFound())
        return {"status": problem["status"], "problem": problem}
    if found.status is Status.CANCELLED or found.is_requested:
        code = status.HTTP_202_ACCEPTED if found.is_requested else status.HTTP_200_OK
        return {"status": code, "order": order}
    refused = refusal(NotCancellable(found.status)) or {}
    return {"status": refused["status"], "problem": refused}


def repeatable(sent: Any) -> Any:
    """Return what was sent for an id; None: JSON cannot say it, as half of a surrogate pair."""
    try:
        orjson.dumps(sent)
    except orjson.JSONEncodeError:
        return None
    return sent


def canonical_id(sent: Any) -> str | None:
    """Return an order's id as it is stored; None: it is no id."""
    try:
        return str(UUID(sent)) if isinstance(sent, str) else None
    except ValueError:
        return None


async def cancel_all(sent: Any, sender: Sender) -> Answered:
    """Cancel all orders of the account that pass the filter of a body.

    :raises NotAuthenticated: the sender has no account.
    :raises ValidationError: with an error for every field that is wrong.
    """
    check_account(sender.principal)
    found = await sync_to_async(_cancel_all)(sent, sender)
    publish(found)
    ids = found.cancelled + found.requested
    told = {"cancelled": len(found.cancelled), "requested": len(found.requested)}
    return Answered(status.HTTP_200_OK, told | {"orderIds": ids[:MOST_SHOWN]})


def _cancel_all(sent: Any, sender: Sender) -> MassCancellation:
    own = Order.objects.filter(owner=sender.principal.owner)
    wanted, when_possible = read_cancel_all(sent, own)
    return cancel_orders(
        [str(order_id) for order_id in wanted.order_by("id").values_list("id", flat=True)],
        reason=EndReason.CANCEL_ALL,
        by=sender.said_by,
        when_possible=when_possible,
    )


def read_cancel_all(sent: Any, orders: QuerySet[Order]) -> tuple[QuerySet[Order], bool]:
    """Return the orders that are to be cancelled, and whether also those that were submitted.

    :raises ValidationError: with an error for every field that is wrong.
    """
    given = read_object(
        sent, {"market", "side", "types", "scope", "whenPossible"}, prefix=filters.TAG
    )
    if empty := sorted(sent.keys() - given.keys()):
        # Elsewhere null means "not given". Here a filter that is not given cancels more.
        raise refuse(empty[0], "null", "Give it a value, or leave it out to cancel all of them.")
    found = filters.of_statuses(orders, ACTIVE)
    if "market" in given:
        market = _filter_value(given, "market", filters.MarketField())
        found = found.filter(base=market[0], quote=market[1])
    if "side" in given:
        words = filters.WordsField(words=tuple(Side))
        found = found.filter(side__in=_filter_value(given, "side", words))
    if "types" in given:
        words = filters.WordsField(words=filters.TYPES, several=True)
        types = {"types": ",".join(map(str, read_list(given, "types", len(filters.TYPES))))}
        found = found.filter(type__in=_filter_value(types, "types", words))
    tags = filters.tags_in({name: value for name, value in given.items() if _is_tag(name)})
    if tags:
        found = found.filter(tags__contains=tags)
    scope = given.get("scope", ALL)
    if scope not in (ALL, ENTRIES):
        raise refuse("scope", "invalid_choice", f"{ALL} or {ENTRIES}.")
    if scope == ENTRIES:
        found = found.exclude(type__in=PROTECTIVE).filter(group_id=None)
        found = found.exclude(parent_id__isnull=False, slice=None)
    return found, read_flag(given, "whenPossible")


def _filter_value(given: dict[str, Any], name: str, field: Any) -> Any:
    """Return a value that a list's filter reads, of a JSON body."""
    if not isinstance(given[name], str):
        raise refuse(name, "invalid_text", "A text.")
    try:
        return field.clean(given[name])
    except InvalidValue as error:
        raise refuse(name, error.code or "invalid", " ".join(error.messages)) from None


def _is_tag(name: str) -> bool:
    return name.startswith(filters.TAG)


def publish(found: MassCancellation) -> None:
    """Tell the streams of all that was cancelled."""
    hints = hints_of_this_loop()
    for event in found.events:
        hints.publish(event)
