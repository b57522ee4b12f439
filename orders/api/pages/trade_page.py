"""The trading page: a person places orders and watches them. It knows only what the API says."""

from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles import finders
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe

from orders.access.browser_keys import give_space
from orders.api.markets import markets_as_json
from orders.api.pages import decimals
from orders.api.pages.me import me_as_json
from orders.api.reading.serializers import DEFAULT_SLIPPAGE_BPS
from orders.lifecycle import CANCELLABLE, FINAL
from orders.models import MAX_SLIPPAGE_BPS
from orders.terms.type_rules import PROTECTIVE_SLIPPAGE_BPS, RULES
from routing.registry import registry
from routing.venues import LABELS

MOST_JOINED = 100
"""Pairs in two hops that the page offers. With many tokens there are too many to choose from."""


@gzip_page
@never_cache
@gzip_page  # Django masks its token anew each time, and pads
@require_safe
def trade_page(request: HttpRequest) -> HttpResponse:
    """Return the page, with what it would otherwise have to ask for first."""
    facts = facts_of_engine()
    names = [market["market"] for market in facts["markets"] if not market["through"]]
    me = me_as_json(request)
    page = render(
        request,
        "orders/trade.html",
        {
            "facts": facts | {"me": me},
            "me": me,
            "markets": names,
            "joined": [one["market"] for one in facts["markets"] if one["through"]],
            "tokens": [token["symbol"] for token in facts["tokens"]],
            "venues": LABELS,
            "modules": modules(),
        },
    )
    if me["account"] is None:
        give_space(request, page)
    return page


@cache
def modules() -> list[str]:
    """Return the names of the page's modules, which a browser may ask for before it has read any.

    theme.js is none of them: it runs before the first paint.
    """
    folder = Path(finders.find("orders/trade/page.js") or "").parent
    names = sorted(path.name for path in folder.glob("*.js"))
    return [f"orders/trade/{name}" for name in names if name != "theme.js"]


def facts_of_engine() -> dict[str, Any]:
    """Return what the page knows of the engine before it asks: names, limits and defaults."""
    registered = registry()
    known = markets_as_json(registered)
    open_markets = [market for market in known["markets"] if market["takesOrders"]]
    joined = [market for market in open_markets if market["through"]]
    dropped = joined if len(joined) > MOST_JOINED else []
    return {
        "venues": LABELS,
        "final": sorted(FINAL),
        "cancellable": sorted(CANCELLABLE),
        "types": [name for name in RULES if name != "sniper"],
        "defaultMarket": settings.DEFAULT_MARKET,
        "markets": [
            market | {"priceDecimals": decimals.of_price(Decimal(market["referencePrice"]))}
            for market in open_markets
            if market not in dropped
        ],
        "tokens": [
            token
            | {"shownDecimals": decimals.of_amount(registered, registered.token(token["symbol"]))}
            for token in known["tokens"]
        ],
        "slippageBps": {"market": DEFAULT_SLIPPAGE_BPS, "stop": PROTECTIVE_SLIPPAGE_BPS},
        "maxSlippageBps": MAX_SLIPPAGE_BPS,
        "maxPriceImpactBps": settings.MAX_PRICE_IMPACT_BPS,
    }
