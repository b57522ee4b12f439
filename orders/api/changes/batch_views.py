"""Sends several orders in one request: each by itself, or all or none."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from orders.access.accounts import Principal
from orders.access.admission import Overloaded, ShareIsFull
from orders.access.open_orders import TooManyOpenOrders
from orders.api import filters
from orders.api.base_views import AsyncAPIView
from orders.api.changes.bodies import read_list, read_object
from orders.api.changes.placing import repeat, with_links
from orders.api.changes.senders import Answered, Sender, admit, response
from orders.api.problems import (
    AllRefused,
    answer_to,
    said_of_order,
)
from orders.api.reading import dialects
from orders.api.reading.dialects import Canonical
from orders.api.reading.fields import IDEMPOTENCY_KEY, idempotency_key_of, refuse
from orders.api.reading.parsers import ExactJSONParser
from orders.api.reading.serializers import InvalidOrder, as_written, read_order, translate
from orders.api.reading.term_fields import client_order_id_in, may_rest
from orders.api.schema import openapi
from orders.api.views import headers_of, refuse_clear_text
from orders.engine import submission
from orders.engine.changes.batches import BATCH, Answer, Item, submit_each, submit_together
from orders.engine.moves import AlreadyAccepted
from orders.engine.submission import (
    AccountRequired,
    ClientOrderIdTaken,
    IdempotencyKeyReused,
    Submitted,
    SubmittedGroup,
    conflict_with,
    fingerprint_of,
)
from orders.events import Event

logger = logging.getLogger(__name__)

MOST_ORDERS = 100
MOST_KEY = 250
"""Characters of a batch's key: each order has it with its place."""
INDEPENDENT, ALL = "independent", "all"
TOGETHER = (AccountRequired, Overloaded, ShareIsFull, TooManyOpenOrders)
"""Why orders are refused that are stored together: told of the first of them."""


class Entry(NamedTuple):
    """One item of a batch as it came, and what is known of it by now."""

    place: int
    sent: Any
    meant: Canonical | None = None
    key: str | None = None
    batch: str | None = None
    """The fingerprint of the whole batch, if it has a key."""
    answer: Answer | Exception | None = None
    item: Item | None = None


class BatchView(AsyncAPIView):
    """Send up to 100 orders (POST), each by itself, or all or none (`"mode": "all"`)."""

    parser_classes = (ExactJSONParser,)
    stores_orders = True

    @openapi.BATCH
    async def post(self, request: Request) -> Response:
        refuse_clear_text(is_secure=request.is_secure())
        filters.check_names(request, set())
        key = idempotency_key_of(headers_of(request))
        return response(await take_batch(request.data, key, Sender.of(request, self.headers)))


async def take_batch(sent: Any, key: str | None, sender: Sender) -> Answered:
    """Take the orders of a body, and say what became of each.

    :raises ValidationError: it is no batch, or no key for one.
    :raises IdempotencyKeyReused: other orders were sent under this key.
    :raises AllRefused: all or none were to be taken, and one of them cannot be.
    """
    if key is not None and len(key) > MOST_KEY:
        text = f"Of a batch at most {MOST_KEY} characters."
        raise refuse(IDEMPOTENCY_KEY, "invalid_text", text)
    orders, mode = read_batch(sent)
    batch = None
    if key is not None:
        batch = fingerprint_of({"mode": mode, "orders": orders}).get("fingerprint", "")
        await refuse_key_of_other_orders(key, len(orders), batch, sender.principal)
    entries = [
        Entry(place, one, key=None if key is None else f"{key} {place}", batch=batch)
        for place, one in enumerate(orders)
    ]
    entries = await _read(entries, sender)
    entries = await (_store_all if mode == ALL else _store_each)(entries, sender)
    shown = [_shown(entry, sender) for entry in entries]
    events = [event for entry in entries for event in _events_of(entry.answer)]
    return Answered(status.HTTP_207_MULTI_STATUS, shown, events=events)


def read_batch(sent: Any) -> tuple[list[Any], str]:
    """Return the orders of a batch, and its mode.

    :raises ValidationError: it is no batch.
    """
    given = read_object(sent, {"orders", "mode"})
    mode = given.get("mode", INDEPENDENT)
    if mode not in (INDEPENDENT, ALL):
        raise refuse("mode", "invalid_choice", f"{INDEPENDENT} or {ALL}.")
    return read_list(given, "orders", MOST_ORDERS), mode


async def refuse_key_of_other_orders(
    key: str, count: int, batch: str, principal: Principal
) -> None:
    """Compare a batch with what is stored under its key, before any of it is stored.

    :raises IdempotencyKeyReused: one order was sent under this key, or another batch.
    """
    keys = [key, *(f"{key} {place}" for place in range(count))]
    found = await asyncio.gather(
        *(submission.accepted_before(principal.owner, one, None) for one in keys)
    )
    if any(one is not None and one.event.data.get(BATCH) != batch for one in found):
        raise IdempotencyKeyReused


async def _read(entries: Sequence[Entry], sender: Sender) -> list[Entry]:
    """Find each order that is repeated, count the others, read them, and give them ids."""
    read = await asyncio.gather(*(_read_one(entry, sender) for entry in entries))
    order_ids = iter(await sender.new_ids(sum(_orders_in(entry.item) for entry in read)))
    return [_named(entry, order_ids) for entry in read]


def _orders_in(item: Item | None) -> int:
    return 0 if item is None else len(item.request.legs) or 1


def _named(entry: Entry, order_ids: Iterator[str]) -> Entry:
    if entry.item is None:
        return entry
    own = tuple(islice(order_ids, _orders_in(entry.item)))
    return entry._replace(item=entry.item._replace(order_ids=own))


async def _read_one(entry: Entry, sender: Sender) -> Entry:
    try:
        meant = translate(entry.sent)
        entry = entry._replace(meant=meant)
        name = client_order_id_in(meant.body)
        owner = sender.principal.owner
        before = await submission.accepted_before(owner, entry.key, name)
        if before is not None:
            return entry._replace(answer=await repeat(meant.body, entry.key, owner, before))
        await admit(sender, rests=may_rest(meant.body))
        request = await read_order(meant.body)
    except InvalidOrder as refused:
        written = as_written(refused, entry.sent, entry.meant) if entry.meant else refused
        return entry._replace(answer=written)
    except Exception as refused:  # noqa: BLE001  # the item's answer; a bug rises there
        return entry._replace(answer=refused)
    return entry._replace(item=Item(request, entry.key, meant.body, entry.batch))


async def _store_each(entries: Sequence[Entry], sender: Sender) -> list[Entry]:
    new = [entry.item for entry in entries if entry.item is not None]
    answers = iter(await submit_each(new, sender.principal.owner, stranger=sender.number))
    return [
        entry if entry.item is None else entry._replace(answer=next(answers)) for entry in entries
    ]


async def _store_all(entries: Sequence[Entry], sender: Sender) -> list[Entry]:
    """Store all of them, or none. The same batch may come twice at once: the second finds them.

    :raises AllRefused: one of them cannot be stored, so none is.
    """
    try:
        return await _store_together(entries, sender)
    except AlreadyAccepted:
        again = [entry._replace(answer=None, item=None) for entry in entries]
    try:
        return await _store_together(await _read(again, sender), sender)
    except AlreadyAccepted as before:
        raise AllRefused([_problem_of(entries[0]._replace(answer=conflict_with(before)))]) from None


async def _store_together(entries: Sequence[Entry], sender: Sender) -> list[Entry]:
    """:raises AlreadyAccepted: one of their keys has become known."""
    checked = _without_twins(entries)
    if refused := [entry for entry in checked if isinstance(entry.answer, Exception)]:
        raise AllRefused([_problem_of(entry) for entry in refused])
    items = [entry.item for entry in checked if entry.item is not None]
    if not items:
        return checked
    try:
        stored = await submit_together(items, sender.principal.owner, stranger=sender.number)
    except TOGETHER as error:
        new = next(entry for entry in checked if entry.item is not None)
        raise AllRefused([_problem_of(new._replace(answer=error))]) from error
    answers = iter(stored)
    return [
        entry if entry.item is None else entry._replace(answer=next(answers)) for entry in checked
    ]


def _without_twins(entries: Sequence[Entry]) -> list[Entry]:
    """Refuse orders whose client order ids stand twice in the batch."""
    seen: set[str] = set()
    checked = []
    for entry in entries:
        names = _names_in(entry.item)
        is_twin = len(set(names)) < len(names) or bool(seen.intersection(names))
        seen.update(names)
        checked.append(entry._replace(answer=ClientOrderIdTaken()) if is_twin else entry)
    return checked


def _names_in(item: Item | None) -> list[str]:
    requests = () if item is None else (item.request.legs or (item.request,))
    return [name for one in requests if (name := one.client_order_id) is not None]


def _events_of(answer: Answer | Exception | None) -> list[Event]:
    if isinstance(answer, Submitted):
        return [answer.event]
    return answer.events if isinstance(answer, SubmittedGroup) else []


def _shown(entry: Entry, sender: Sender) -> dict[str, Any]:
    answer = entry.answer
    if answer is None or isinstance(answer, Exception):
        return _problem_of(entry)
    code = status.HTTP_200_OK if answer.is_replay else status.HTTP_201_CREATED
    told: dict[str, Any] = {"index": entry.place, "status": code}
    if isinstance(answer, Submitted):
        return told | {"order": _with_names(answer.order, sender)}
    orders = [_with_names(order, sender) for order in answer.orders]
    return told | {"groupId": answer.group_id, "orders": orders}


def _with_names(order: dict[str, Any], sender: Sender) -> dict[str, Any]:
    return dialects.with_names(with_links(order, sender))


def _problem_of(entry: Entry) -> dict[str, Any]:
    """Return how an item is refused.

    :raises Exception: a bug.
    """
    error = entry.answer
    if not isinstance(error, Exception):
        raise TypeError(f"no answer to order {entry.place} of a batch")
    found = answer_to(error, lambda: said_of_order(entry.sent, entry.key))
    if found is None:
        raise error
    problem, _ = found
    return {"index": entry.place, "status": problem["status"], "problem": problem}
