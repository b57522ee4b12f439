"""Who asks for a change, how much of it they may, and what they are told.

Requests and frames are read by their doors, become a sender and a JSON value, and are then the same
for the functions of this room.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self
from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from orders.access.accounts import Principal
from orders.access.admission import allowance_of, sender_of
from orders.access.authentication import (
    client_of,
    is_of_own_page,
    principal_of,
    tell_of_limit,
)
from orders.access.browser_keys import BrowserKey, space_of
from orders.api.base_views import is_for_programs
from orders.api.problems import OrderNotFound, TooManyRequests
from orders.api.reading import dialects
from orders.api.related import as_shown
from orders.engine.submission import new_order_id
from orders.events import Event
from orders.models import Order

Announce = Callable[[Sequence[str]], Awaitable[None]]


@dataclass(slots=True)
class Sender:
    """Who sends something, from which address, and with which request or handshake."""

    principal: Principal
    client: str
    source: Request | dict[str, Any]
    headers: dict[str, str]
    """Of the answer, also of a refusal: what the limit says is added here."""
    site: str
    """The scheme and host that the request came to, for links: `https://orders.example.com`."""
    is_staff: bool = False
    for_programs: bool = True
    """Whether the answer has the names that other systems use; a page has not."""
    announce: Announce | None = None
    """Told the ids of new orders before the database is asked."""
    browser: str | None = None
    """The space of keys of a browser that has no account and uses our own page."""

    @classmethod
    def of(cls, request: Request, headers: dict[str, str]) -> Self:
        """Return the sender of a request.

        :raises DisallowedHost: answered with 400, so make it before anything is stored.
        """
        return cls(
            principal_of(request),
            client_of(request),
            request,
            headers,
            site_of(request),
            request.user.is_staff,
            is_for_programs(request),
            browser=_browser_of(request),
        )

    @property
    def said_by(self) -> str:
        """Who acts, as events tell it."""
        return self.principal.key_prefix or "user"

    @property
    def number(self) -> int:
        """The number of the sender, as orders have it."""
        return sender_of(self.principal, self.client)

    def key_of(self, key: str | None) -> str | None:
        """Return an idempotency key as it is kept: of a browser without an account in its space."""
        if key is None or self.browser is None or self.principal.owner is not None:
            return key
        return BrowserKey.of(self.browser, key) or key

    async def new_ids(self, orders: int) -> list[str]:
        """Return the ids of so many new orders, which were announced."""
        order_ids = [new_order_id() for _ in range(orders)]
        if self.announce is not None:
            await self.announce(order_ids)
        return order_ids

    def shown(self, order: Order, beside: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return an order with its links, as `as_shown` does."""
        return as_shown(order, self.site, beside, is_staff=self.is_staff)

    def told(self, order: dict[str, Any], ignored: tuple[str, ...] = ()) -> dict[str, Any]:
        """Return an answer about one order; for programs with the names of other systems."""
        return dialects.envelope(order, ignored) if self.for_programs else order


def _browser_of(request: Request) -> str | None:
    asgi: Any = request._request
    return space_of(request.COOKIES) if is_of_own_page(asgi.scope) else None


class Answered(NamedTuple):
    """What is answered: over HTTP as a response, on a socket as an acknowledgement."""

    status: int
    body: Any
    headers: dict[str, str] = {}
    events: Sequence[Event] = ()
    """The first event of each order that was stored, now or before."""


def response(answered: Answered) -> Response:
    return Response(answered.body, status=answered.status, headers=answered.headers)


async def admit(sender: Sender, *, rests: bool = False) -> None:
    """Count an order, or a change of one; those that rest are counted apart.

    :raises TooManyRequests: the limit of the account is reached.
    """
    allowance = await allowance_of(sender.principal, sender.client, rests=rests)
    if allowance is not None:
        sender.headers |= allowance.headers()
        if allowance.wait:
            tell_of_limit("orders", sender.source, sender.principal)
            raise TooManyRequests(allowance.wait)


def find_order(principal: Principal, order_id: str) -> Order:
    """Return an order of the account, or an anonymous one.

    :raises OrderNotFound: no order has this id, it is another account's, or it is no id at all.
    """
    try:
        return Order.objects.visible_to(principal.owner).get(pk=UUID(order_id))
    except (ValueError, Order.DoesNotExist):
        raise OrderNotFound from None


def site_of(request: Request) -> str:
    """:raises DisallowedHost: answered with 400."""
    asked = request._request  # DRF's own request looks each name up twice
    return f"{asked.scheme}://{asked.get_host()}"
