"""The live page: a person places orders and watches them. It knows no more than the API tells."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from orders.events import LABELS
from orders.lifecycle import CANCELLABLE, FINAL
from orders.models import MAX_SLIPPAGE_BPS
from orders.serializers import DEFAULT_SLIPPAGE_BPS
from routing.registry import registry


@require_safe
def live_page(request: HttpRequest) -> HttpResponse:
    """Return the page. It reads neither session nor user, so that it is the same for everybody."""
    return render(
        request,
        "orders/live.html",
        {
            "markets": [market for market in registry().markets if market.is_open],
            "default_market": {"name": settings.DEFAULT_MARKET},
            "default_slippage_bps": DEFAULT_SLIPPAGE_BPS,
            "max_slippage_bps": MAX_SLIPPAGE_BPS,
            "engine": {
                "venues": LABELS,
                "final": sorted(FINAL),
                "cancellable": sorted(CANCELLABLE),
            },
        },
    )
