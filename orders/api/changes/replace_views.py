"""Replaces an order by another one."""

from typing import Any

from asgiref.sync import sync_to_async
from django.db import Error
from rest_framework.request import Request
from rest_framework.response import Response

from orders.access.authentication import check_account
from orders.api import filters
from orders.api.base_views import AsyncAPIView
from orders.api.changes.placing import as_taken
from orders.api.changes.senders import Answered, Sender, admit, find_order, response
from orders.api.problems import ReplacementUnknown, is_database_away
from orders.api.reading.fields import check_key_of_several, idempotency_key_of
from orders.api.reading.parsers import ExactJSONParser
from orders.api.reading.serializers import InvalidOrder, as_written, read_order, translate
from orders.api.reading.term_fields import client_order_id_in, may_rest
from orders.api.schema import openapi
from orders.api.views import headers_of, refuse_clear_text
from orders.engine import submission
from orders.engine.changes.replacing import NotStored, replace_order
from orders.engine.moves import AlreadyAccepted, TradingHalted
from orders.engine.submission import (
    ClientOrderIdTaken,
    Submitted,
    SubmittedGroup,
    conflict_with,
)
from orders.models import Order

Stored = Submitted | SubmittedGroup


class ReplaceView(AsyncAPIView):
    """Replace an order by another one (POST): it is cancelled and the other stored, or neither."""

    parser_classes = (ExactJSONParser,)
    stores_orders = True

    @openapi.REPLACE
    async def post(self, request: Request, order_id: str) -> Response:
        refuse_clear_text(is_secure=request.is_secure())
        filters.check_names(request, set())
        key = idempotency_key_of(headers_of(request))
        sender = Sender.of(request, self.headers)
        return response(await replace(order_id, request.data, key, sender))


async def replace(order_id: str, sent: Any, key: str | None, sender: Sender) -> Answered:
    """Replace an order by what a body asks for.

    :raises OrderNotFound: no order has this id, or it is another account's.
    :raises NotAuthenticated: it is of a group, and the sender has no account.
    :raises Exception: what `take_order` and `replace_order` raise.
    """
    order = await sync_to_async(find_order)(sender.principal, order_id)
    if order.group_id is not None:
        check_account(sender.principal)
    meant = translate(sent)
    try:
        taken = as_taken(await _replace(order, meant.body, key, sender))
    except InvalidOrder as refused:
        raise as_written(refused, sent, meant) from None
    told = taken.as_json(sender, meant.ignored)
    return Answered(taken.status, told, taken.headers, taken.events)


async def _replace(order: Order, sent: Any, key: str | None, sender: Sender) -> Stored:
    """:raises Exception: what `take_order` and `replace_order` raise."""
    owner = sender.principal.owner
    repeated = sent | {"replaces": str(order.id)} if isinstance(sent, dict) else sent
    before = await submission.accepted_before(owner, key, client_order_id_in(sent))
    if before is not None:
        return await _recognise(repeated, before)
    await admit(sender, rests=may_rest(sent))
    request = await read_order(sent)
    if request.legs and key is not None:
        check_key_of_several(key)
    try:
        return await replace_order(
            str(order.id),
            None if order.group_id is None else str(order.group_id),
            request,
            owner,
            stranger=sender.number,
            by=sender.said_by,
            order_ids=await sender.new_ids(len(request.legs) or 1),
            idempotency_key=key,
            sent=repeated,
        )
    except NotStored as refused:
        taken = await submission.accepted_before(owner, key, client_order_id_in(sent))
        if taken is not None:
            return await _recognise(repeated, taken)
        raise (TradingHalted if refused.is_halted else ClientOrderIdTaken) from None
    except Error as error:
        if not is_database_away(error):
            raise
        raise ReplacementUnknown(str(order.id)) from error


async def _recognise(sent: Any, before: AlreadyAccepted) -> Stored:
    """:raises IdempotencyKeyReused, ClientOrderIdTaken: something else was asked for."""
    if submission.is_group(before):
        found: Stored | None = await submission.recognise_group(sent, before)
    else:
        found = submission.recognise(sent, before)
    if found is None:
        raise conflict_with(before)
    return found
