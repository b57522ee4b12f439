"""The REST doors: translate in, one call, translate out."""

from datetime import datetime
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.http.response import HttpResponseBase
from rest_framework import status
from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import (
    ErrorDetail,
    NotFound,
    UnsupportedMediaType,
    ValidationError,
)
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.parsers import FormParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from orders import health, submission
from orders.async_view import AsyncAPIView, ProblemAPIView
from orders.lifecycle import CANCELLABLE, Status
from orders.models import Order, OrderEvent
from orders.parsers import ExactJSONParser
from orders.problems import NotCancellable, OrderNotFound
from orders.representation import event_of, order_as_json
from orders.serializers import ORDER_REQUEST, OrderRequestSerializer

JSON_WANTED = "Send the order as JSON, with the header content-type: application/json."


class NewestFirst(CursorPagination):
    page_size = 25
    page_size_query_param = "limit"
    max_page_size = 200
    ordering = ("-created_at", "-id")

    def get_page_size(self, request: Request) -> int | None:
        """Return fewer orders on the browsable page, so that its form is in sight."""
        asked = self.page_size_query_param in request.query_params
        if not asked and not is_json_wanted(request):
            return 2
        return super().get_page_size(request)

    def decode_cursor(self, request: Request) -> Cursor | None:
        """:raises NotFound: it is not one of ours; DRF would ask the database for such a time."""
        cursor = super().decode_cursor(request)
        if cursor is not None and cursor.position is not None and not is_time(str(cursor.position)):
            raise NotFound(self.invalid_cursor_message)
        return cursor


class OrdersView(AsyncAPIView):
    """Send an order (POST), or list the newest (GET).

    An order names what it trades by tokenIn and tokenOut, or by baseToken, quoteToken and
    side; how much by amountIn or amountOut; and what it tolerates by slippageBps or
    slippage. The answer carries the order's id and the path of its stream, wsUrl.
    """

    parser_classes = (ExactJSONParser, FormParser, MultiPartParser)

    def get_view_name(self) -> str:
        return "Orders"

    def get_serializer(self, *args: Any, **kwargs: Any) -> OrderRequestSerializer:
        """Give the browsable page its form."""
        return OrderRequestSerializer(*args, **kwargs)

    async def get(self, request: Request) -> Response:
        return await sync_to_async(self._list)(request)

    async def post(self, request: Request) -> Response:
        if is_form(request):
            if not hasattr(request._request, "session"):
                raise UnsupportedMediaType(request.content_type or "none", JSON_WANTED)
            sent: Any = await sync_to_async(read_form)(request)
        else:
            sent = request.data
        site = site_of(request)  # before anything is stored: refuses a Host that is not ours
        order, _ = await submission.submit_order(ORDER_REQUEST.read(sent))
        return Response(
            order | {"links": links(site, order["orderId"], Status.PENDING)},
            status=status.HTTP_201_CREATED,
            headers={"Location": f"/api/orders/{order['orderId']}"},
        )

    def _list(self, request: Request) -> Response:
        pages = NewestFirst()
        found = pages.paginate_queryset(Order.objects.all(), request, self) or []
        return pages.get_paginated_response([shown(request, order) for order in found])


class OrderView(ProblemAPIView):
    """One order as it stands, with links to its log, its stream and its cancellation."""

    def get_view_name(self) -> str:
        return "Order"

    def get(self, request: Request, order_id: str) -> Response:
        return Response(shown(request, find_order(order_id)))


class EventsView(ProblemAPIView):
    """The order's log: what its stream sends, from ?after=SEQ on."""

    def get_view_name(self) -> str:
        return "Events"

    def get(self, request: Request, order_id: str) -> Response:
        order = find_order(order_id)
        events = OrderEvent.objects.filter(order=order, seq__gt=read_after(request)).order_by("seq")
        return Response(
            {
                "orderId": str(order.id),
                "status": order.status,
                "events": [event_of(row).as_message() for row in events],
                "links": links(site_of(request), str(order.id), Status(order.status)),
            }
        )


class CancelView(ProblemAPIView):
    """Cancel the order (POST) unless it was submitted: it is cancelled or executed, never both."""

    def get_view_name(self) -> str:
        return "Cancel"

    def post(self, request: Request, order_id: str) -> Response:
        if is_form(request):
            refuse_forgery(request)
        order = find_order(order_id)
        try:
            submission.cancel_order(order.id)
        except submission.NotCancellable as refused:
            raise NotCancellable(refused.status) from None
        return Response(shown(request, find_order(order_id)))


class HealthView(ProblemAPIView):
    """Whether the database, Redis and a worker answer. 503 only when the database does not."""

    def get_view_name(self) -> str:
        return "Health"

    def get(self, request: Request) -> HttpResponseBase:
        report = health.check()
        failed = report["database"] != "ok"
        code = status.HTTP_503_SERVICE_UNAVAILABLE if failed else status.HTTP_200_OK
        return Response(report, status=code)


def find_order(order_id: str) -> Order:
    """:raises OrderNotFound: no order has this id, or it is no id at all."""
    try:
        return Order.objects.get(pk=UUID(order_id))
    except (ValueError, Order.DoesNotExist):
        raise OrderNotFound from None


def read_after(request: Request) -> int:
    text = request.query_params.get("after", "0")
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        detail = ErrorDetail("A seq: a whole number, 0 or more.", "invalid_number")
        raise ValidationError({"after": [detail]})
    return int(text)


def is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def shown(request: Request, order: Order) -> dict[str, Any]:
    found = links(site_of(request), str(order.id), Status(order.status))
    return order_as_json(order) | {"links": found}


def site_of(request: Request) -> str:
    """:raises DisallowedHost: answered with 400."""
    return f"{request.scheme}://{request.get_host()}"


def links(site: str, order_id: str, order_status: Status) -> dict[str, str]:
    """Return where an order's reader may go on, as whole URLs."""
    order = f"{site}/api/orders/{order_id}"
    stream = f"{site.replace('http', 'ws', 1)}/ws/orders/{order_id}"
    found = {"order": order, "events": f"{order}/events", "stream": stream}
    if order_status in CANCELLABLE:
        found["cancel"] = f"{order}/cancel"
    return found | {"orders": f"{site}/api/orders"}


def is_json_wanted(request: Request) -> bool:
    renderer: Any = getattr(request, "accepted_renderer", None)
    return renderer is None or renderer.format == "json"


def is_form(request: Request) -> bool:
    """Whether it is said to be anything but JSON. Without a type, no body is read at all."""
    content_type = (request.content_type or "").lower()
    return content_type != "" and not content_type.startswith("application/json")


def read_form(request: Request) -> dict[str, Any]:
    """Return the fields that a person filled in on the browsable page."""
    sent: Any = request.data  # an unknown content type is refused here
    refuse_forgery(request)
    fields = {name: value for name, value in sent.items() if value != ""}
    fields.pop("csrfmiddlewaretoken", None)
    return fields


def refuse_forgery(request: Request) -> None:
    """Ask for the CSRF token. Other sites can make a browser send a form, but never JSON.

    :raises PermissionDenied: the form is not from our own page.
    """
    SessionAuthentication().enforce_csrf(request)
