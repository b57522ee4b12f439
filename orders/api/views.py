"""The REST API's views: each translates the request, makes one call, and translates the answer."""

from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from django.utils.http import parse_etags
from rest_framework import status
from rest_framework.exceptions import ErrorDetail, UnsupportedMediaType, ValidationError
from rest_framework.parsers import FormParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from orders.access.authentication import (
    IsAccount,
    SessionAuthentication,
    principal_of,
    tell_of_limit,
)
from orders.access.read_limits import cost_of_list
from orders.access.tickets import TooManyTickets, issue_ticket
from orders.api import filters, pagination
from orders.api.base_views import AsyncAPIView, ProblemAPIView, is_for_programs
from orders.api.changes.cancel_requests import read_when_possible
from orders.api.changes.cancel_views import cancelled
from orders.api.changes.change_views import amended, seq_tag
from orders.api.changes.placing import take_order
from orders.api.changes.senders import Sender, find_order, response, site_of
from orders.api.markets import etag_of, markets_as_json
from orders.api.problems import HttpsRequired
from orders.api.reading import dialects
from orders.api.reading.fields import idempotency_key_of, whole_number
from orders.api.reading.parsers import ExactJSONParser
from orders.api.reading.serializers import OrderRequestSerializer, translate
from orders.api.related import as_shown, links, related
from orders.api.schema import openapi
from orders.engine import submission
from orders.events import timestamp
from orders.models import Order, OrderEvent
from orders.monitoring import health
from orders.representation import event_of, route_log
from routing.registry import registry

JSON_WANTED = "Send the order as JSON, with the header content-type: application/json."
FRESH_SECONDS = 3  # as often as each process reads them
OF_ACCOUNTS = {"clientOrderId", "q"}
LIST_PARAMETERS = (
    set(filters.OrderFilter.base_filters) | pagination.FIELDS | {filters.TAG_PARAMETER}
)


@openapi.ORDERS
class OrdersView(AsyncAPIView):
    """Send an order (POST), or list the newest (GET).

    An order names what it trades by tokenIn and tokenOut, or by baseToken, quoteToken and
    side; how much by amountIn or amountOut; and what it tolerates by slippageBps or
    slippage. The answer carries the order's id and the path of its stream, wsUrl.
    """

    parser_classes = (ExactJSONParser, FormParser, MultiPartParser)
    about = "orders/api/orders.html"
    stores_orders = True
    sent: dict[str, Any] | None = None

    def get_serializer(self, *args: Any, **kwargs: Any) -> OrderRequestSerializer:
        """Fill the browsable page's form with what was sent, or with an example."""
        form = OrderRequestSerializer(*args, **kwargs)
        form.filled_in = self.sent or form.filled_in
        return form

    async def get(self, request: Request) -> Response:
        return await sync_to_async(self.read)(request)

    async def post(self, request: Request) -> Response:
        refuse_clear_text(is_secure=request.is_secure())
        filters.check_names(request, set())
        key = idempotency_key_of(headers_of(request))
        sent = await self._read(request)
        meant = translate(sent)
        self.sent = meant.body if isinstance(meant.body, dict) else None
        sender = Sender.of(request, self.headers)
        taken = await take_order(sent, meant, key, sender)
        told = taken.as_json(sender, meant.ignored)
        return Response(told, status=taken.status, headers=taken.headers)

    async def _read(self, request: Request) -> Any:
        if not is_form(request):
            return request.data
        if hasattr(request._request, "session"):
            return await sync_to_async(read_form)(request)
        raise UnsupportedMediaType(request.content_type or "none", JSON_WANTED)

    def cost_of(self, request: Request) -> int:
        return cost_of_list(request.query_params.dict())

    def read(self, request: Request) -> Response:
        filters.check_names(request, LIST_PARAMETERS | {"offset"})
        pagination.check_offset(request)
        if not OF_ACCOUNTS.isdisjoint(request.query_params) and principal_of(request).owner is None:
            raise submission.AccountRequired  # an empty list would look as if no order arrived
        if any(name.startswith(filters.TAG) for name in request.query_params):
            IsAccount().has_permission(request, self)
        limit, place = pagination.read_limit(request), pagination.read_place(request)
        wanted = filters.filter_orders(request.query_params, own_orders(request))
        page = pagination.page_of(wanted, place, limit)
        site = site_of(request)
        beside = related(page.orders)
        results = [shown(request, order, beside[order.id], site) for order in page.orders]
        found = pagination.as_json(page, request.build_absolute_uri(), results)
        return Response(dialects.as_list(found) if is_for_programs(request) else found)


class OrderView(ProblemAPIView):
    """One order as it stands, with links to its log, its stream and its cancellation."""

    about = "orders/api/order.html"
    parser_classes = (ExactJSONParser,)

    @openapi.ORDER
    def get(self, request: Request, order_id: str) -> Response:
        filters.check_names(request, set())
        order = order_of(request, order_id)
        return Response(told(request, shown(request, order)), headers=seq_tag(order))

    @openapi.AMEND
    def patch(self, request: Request, order_id: str) -> Response:
        filters.check_names(request, set())
        refuse_clear_text(is_secure=request.is_secure())
        sender = Sender.of(request, self.headers)
        return response(amended(order_id, request.data, sender, request.META.get("HTTP_IF_MATCH")))

    @openapi.DELETE
    def delete(self, request: Request, order_id: str) -> Response:
        """Cancel the order, as POST to its `cancel` does."""
        filters.check_names(request, set())
        return response(cancelled(order_id, Sender.of(request, self.headers), when_possible=False))


class EventsView(ProblemAPIView):
    """The order's log: what its stream sends, from ?after=SEQ on."""

    about = "orders/api/events.html"

    @openapi.EVENTS
    def get(self, request: Request, order_id: str) -> Response:
        filters.check_names(request, {"after"})
        order = order_of(request, order_id)
        text = "A seq: a whole number, 0 or more."
        after = whole_number(request.query_params.get("after", "0"), "after", text)
        events = OrderEvent.objects.filter(order=order, seq__gt=after).order_by("seq")
        return Response(
            {
                "orderId": str(order.id),
                "status": order.status,
                "events": [event_of(row).as_message() for row in events],
                "links": links_of(request, order),
            }
        )


class RouteView(ProblemAPIView):
    """How each attempt was routed: all quotes, the choice, by how much and why."""

    about = "orders/api/route.html"

    @openapi.ROUTE
    def get(self, request: Request, order_id: str) -> Response:
        filters.check_names(request, set())
        order = order_of(request, order_id)
        return Response(route_log(order) | {"links": links_of(request, order)})


class CancelView(ProblemAPIView):
    """Cancel the order (POST) unless it was submitted: it is cancelled or executed, never both.

    With whenPossible, an order that was submitted is cancelled once its transaction is dead.
    """

    parser_classes = (ExactJSONParser, FormParser)
    about = "orders/api/cancel.html"

    @openapi.CANCEL
    def post(self, request: Request, order_id: str) -> Response:
        filters.check_names(request, set())
        sent: Any = request.data
        if is_form(request):
            refuse_forgery(request)
            sent = None  # a page's button asks nothing more
        sender = Sender.of(request, self.headers)
        return response(cancelled(order_id, sender, when_possible=read_when_possible(sent)))


class MarketsView(ProblemAPIView):
    """The tokens that orders may name, and the markets of them: with pools, or in two hops."""

    authentication_classes = permission_classes = ()  # it is the same for everybody
    about = "orders/api/markets.html"

    @openapi.MARKETS
    def get(self, request: Request) -> HttpResponseBase:
        filters.check_names(request, set())
        known = registry()
        headers = {
            "ETag": etag_of(known),
            "Cache-Control": f"public, max-age={FRESH_SECONDS}",
        }
        # A proxy that compresses answers marks their tags as weak.
        held = parse_etags(request.META.get("HTTP_IF_NONE_MATCH", "").replace("W/", ""))
        if headers["ETag"] in held:
            return Response(status=status.HTTP_304_NOT_MODIFIED, headers=headers)
        return Response(markets_as_json(known), headers=headers)


class TicketsView(ProblemAPIView):
    """Give a ticket (POST) that opens one WebSocket, once, within 30 seconds: `?ticket=`.

    For pages, which can give a WebSocket no header. Programs send their key with the handshake.
    """

    name = "Tickets for WebSockets"
    permission_classes = (IsAccount,)

    @openapi.TICKETS
    def post(self, request: Request) -> Response:
        filters.check_names(request, set())
        principal = principal_of(request)
        try:
            ticket, expires_at = issue_ticket(principal)
        except TooManyTickets:
            tell_of_limit("tickets", request, principal)
            raise
        return Response(
            {"ticket": ticket, "expiresAt": timestamp(expires_at)},
            status=status.HTTP_201_CREATED,
            headers={"Cache-Control": "no-store"},
        )


class HealthView(AsyncAPIView):
    """Whether the database takes orders, Redis bells, and a worker moves; what fails, since when.

    503 only when orders cannot be taken.
    """

    authentication_classes = ()
    permission_classes = ()
    read_cost = 0
    about = "orders/api/health.html"

    @openapi.HEALTH
    async def get(self, request: Request) -> HttpResponseBase:
        report = await health.probes_of_this_loop().check()
        failed = report["database"] != "ok"
        code = status.HTTP_503_SERVICE_UNAVAILABLE if failed else status.HTTP_200_OK
        return Response(report, status=code)


def refuse_clear_text(*, is_secure: bool) -> None:
    """:raises HttpsRequired: an order came in clear text, and may not."""
    if settings.SECURE_SSL_REDIRECT and not is_secure:
        raise HttpsRequired


def own_orders(request: Request) -> QuerySet[Order]:
    """Return the account's orders; none for an anonymous sender."""
    owner = principal_of(request).owner
    return Order.objects.none() if owner is None else Order.objects.filter(owner=owner)


def order_of(request: Request, order_id: str) -> Order:
    """:raises OrderNotFound: as `find_order`."""
    return find_order(principal_of(request), order_id)


def headers_of(request: Request) -> list[tuple[bytes, bytes]]:
    """Return the headers as they came. Django drops some of them and joins others."""
    asgi: Any = request._request
    headers: list[tuple[bytes, bytes]] = asgi.scope["headers"]
    return headers


def shown(
    request: Request, order: Order, beside: dict[str, Any] | None = None, site: str | None = None
) -> dict[str, Any]:
    """Return an order with its links. For many orders the caller asks for the site once.

    `beside`: what other rows tell of it (`orders.api.related`); if left out, it is read.
    """
    is_staff = request.user.is_staff
    return as_shown(order, site or site_of(request), beside, is_staff=is_staff)


def told(request: Request, answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer about one order. A program also gets the names that other systems use."""
    return dialects.envelope(answer) if is_for_programs(request) else answer


def links_of(request: Request, order: Order) -> dict[str, str]:
    """:raises DisallowedHost: answered with 400."""
    is_staff = request.user.is_staff
    return links(site_of(request), str(order.id), order.status, is_staff=is_staff)


def is_form(request: Request) -> bool:
    """Whether the type is given and is not JSON. Without a type, no body is read at all."""
    content_type = (request.content_type or "").lower()
    return content_type != "" and not content_type.startswith("application/json")


def read_form(request: Request) -> dict[str, Any]:
    """Return the fields that a person filled in on the browsable page."""
    sent: Any = request.data  # an unknown content type is refused here
    refuse_forgery(request)
    twice = [name for name, values in sent.lists() if len(values) > 1]
    if twice:
        raise ValidationError(
            {name: [ErrorDetail("Give it once.", "given_twice")] for name in twice}
        )
    fields = {name: value for name, value in sent.items() if value != ""}
    fields.pop("csrfmiddlewaretoken", None)
    return fields


def refuse_forgery(request: Request) -> None:
    """Ask for the CSRF token. Other sites can make a browser send a form, but never JSON.

    :raises PermissionDenied: the form is not from our own page.
    """
    SessionAuthentication().enforce_csrf(request)
