"""For whom a request acts, and what that person, or that key, may do."""

from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.response import Response

from config.runtime.rate import Rate
from orders.access.accounts import ANONYMOUS, Principal
from orders.access.authentication import principal_of
from orders.access.keys import SCOPES
from orders.access.open_orders import ANONYMOUS_OPEN_ORDERS
from orders.api import filters
from orders.api.base_views import ProblemAPIView
from orders.api.schema import openapi
from orders.models import MAX_SLIPPAGE_BPS

MINUTE = 60


class MeView(ProblemAPIView):
    """Who you are here, and what you may do."""

    name = "You"
    permission_classes = ()
    about = "orders/api/me.html"

    @openapi.ME
    def get(self, request: Request) -> Response:
        filters.check_names(request, set())
        principal = principal_of(request)
        found = facts_of(principal, request.user) | {"limits": limits_of(principal)}
        return Response(found, headers={"Cache-Control": "no-store"})


def me_as_json(request: HttpRequest) -> dict[str, Any]:
    """Return who is logged in; an `account` of null is anonymous. It reads the session alone."""
    user = request.user
    if not user.is_authenticated:
        return facts_of(ANONYMOUS, user)
    return facts_of(Principal(owner=user.pk), user)


def facts_of(principal: Principal, user: Any) -> dict[str, Any]:
    may_act = principal.owner is not None or settings.ALLOW_ANONYMOUS_ORDERS
    return {
        "account": None if principal.owner is None else name_of(principal.owner, user),
        "isStaff": bool(user and user.is_staff),
        "mayTradeAnonymously": bool(settings.ALLOW_ANONYMOUS_ORDERS),
        "scopes": [scope for scope in SCOPES if may_act and principal.may(scope)],
    }


def name_of(owner: int, user: Any) -> str:
    """Return the account's name; of a key, its holder's is read."""
    if hasattr(user, "get_username"):
        return str(user.get_username())
    return str(get_user_model().objects.values_list("username", flat=True).get(pk=owner))


def limits_of(principal: Principal) -> dict[str, Any]:
    """Return what the account, or an address without one, may do; None: there is no limit."""
    is_stranger = principal.owner is None
    value = settings.MAX_ORDER_VALUE
    return {
        "ordersPerMinute": per_minute(settings.ACCOUNT_RATE_LIMIT),
        "restingPerMinute": per_minute(settings.RESTING_RATE_LIMIT),
        "previewsPerMinute": per_minute(settings.PREVIEW_RATE_LIMIT),
        "openOrders": ANONYMOUS_OPEN_ORDERS if is_stranger else settings.MAX_OPEN_ORDERS,
        "maxOrderValue": None if value is None else f"{value:f}",
        "maxSlippageBps": MAX_SLIPPAGE_BPS,
        "maxPriceImpactBps": settings.MAX_PRICE_IMPACT_BPS,
    }


def per_minute(rate: Rate | None) -> int | None:
    return None if rate is None else rate.count * MINUTE // rate.seconds
