"""The live page: a person places orders and watches them. It knows only what the API says."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from orders.api.markets import markets_as_json
from orders.api.reading.serializers import DEFAULT_SLIPPAGE_BPS
from orders.lifecycle import CANCELLABLE, FINAL
from orders.models import MAX_SLIPPAGE_BPS
from orders.terms.type_rules import PROTECTIVE_SLIPPAGE_BPS
from routing.registry import registry
from routing.venues import LABELS

MOST_JOINED = 100
"""Pairs in two hops that the page offers. With many tokens there are too many to choose from."""


@require_safe
def live_page(request: HttpRequest) -> HttpResponse:
    """Return the page. It reads neither session nor user: it is the same for everybody."""
    markets = [market for market in markets_as_json(registry())["markets"] if market["takesOrders"]]
    joined = [market["market"] for market in markets if market["through"]]
    return render(
        request,
        "orders/live.html",
        {
            "markets": [market["market"] for market in markets if not market["through"]],
            "joined_markets": joined if len(joined) <= MOST_JOINED else [],
            "default_market": settings.DEFAULT_MARKET,
            "default_slippage_bps": DEFAULT_SLIPPAGE_BPS,
            "max_slippage_bps": MAX_SLIPPAGE_BPS,
            "max_price_impact_bps": settings.MAX_PRICE_IMPACT_BPS,
            "engine": {
                "venues": LABELS,
                "final": sorted(FINAL),
                "cancellable": sorted(CANCELLABLE),
                "slippageBps": {
                    "market": DEFAULT_SLIPPAGE_BPS,
                    "stop": PROTECTIVE_SLIPPAGE_BPS,
                },
            },
        },
    )
