"""Replaces an order by another one."""

from typing import Any

from asgiref.sync import sync_to_async
from django.db import Error
from rest_framework.request import Request
from rest_framework.response import Response

from orders.access.admission import sender_of
from orders.access.authentication import IsAccount, client_of, principal_of
from orders.api import filters
from orders.api.base_views import AsyncAPIView, is_for_programs
from orders.api.changes.change_views import said_by
from orders.api.problems import ReplacementUnknown, is_database_away
from orders.api.reading.fields import check_key_of_several, idempotency_key_of
from orders.api.reading.parsers import ExactJSONParser
from orders.api.reading.serializers import InvalidOrder, as_written, read_order, translate
from orders.api.reading.term_fields import client_order_id_in, may_rest
from orders.api.schema import openapi
from orders.api.views import (
    Sender,
    admit,
    as_taken,
    find_order,
    headers_of,
    refuse_clear_text,
    site_of,
)
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

Answer = Submitted | SubmittedGroup


class ReplaceView(AsyncAPIView):
    """Replace an order by another one (POST): it is cancelled and the other stored, or neither."""

    parser_classes = (ExactJSONParser,)
    stores_orders = True

    @openapi.REPLACE
    async def post(self, request: Request, order_id: str) -> Response:
        refuse_clear_text(is_secure=request.is_secure())
        filters.check_names(request, set())
        key = idempotency_key_of(headers_of(request))
        order = await sync_to_async(find_order)(request, order_id)
        if order.group_id is not None:
            IsAccount().has_permission(request, self)
        sent = request.data
        meant = translate(sent)
        site = site_of(request)
        sender = Sender(principal_of(request), client_of(request), request, self.headers)
        try:
            answer = await _replace(order, meant.body, key, sender)
        except InvalidOrder as refused:
            raise as_written(refused, sent, meant) from None
        taken = as_taken(answer)
        told = taken.as_json(
            site,
            meant.ignored,
            is_staff=request.user.is_staff,
            for_programs=is_for_programs(request),
        )
        return Response(told, status=taken.status, headers=taken.headers)


async def _replace(order: Order, sent: Any, key: str | None, sender: Sender) -> Answer:
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
            stranger=sender_of(sender.principal, sender.client),
            by=said_by(sender.principal),
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


async def _recognise(sent: Any, before: AlreadyAccepted) -> Answer:
    """:raises IdempotencyKeyReused, ClientOrderIdTaken: something else was asked for."""
    if submission.is_group(before):
        found: Answer | None = await submission.recognise_group(sent, before)
    else:
        found = submission.recognise(sent, before)
    if found is None:
        raise conflict_with(before)
    return found
