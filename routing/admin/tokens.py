"""Tokens and markets. Operators add them and close markets to new orders; nothing else changes."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import ForeignKey, Model, Q, QuerySet
from django.http import HttpRequest

from routing import tokens
from routing.models import Market, Token
from routing.registry import read_registry, registry
from routing.simulation.seeding import depth_in_atoms
from routing.simulation.trial import NotTradable, reference_of, try_pool
from routing.tokens import UnknownMarket
from routing.venue import BPS
from routing.venues import SIMULATED_VENUES

CHANGEABLE = ("takes_orders", "min_base", "min_quote")
"""What can be changed of a market."""


class MarketForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    class Meta:
        model = Market
        fields = ("base", "quote", "reference_price", *CHANGEABLE)

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]  # missing in the stubs
        if not self.errors and "reference_price" in self.cleaned_data:
            self._check_price()

    def _check_price(self) -> None:
        read_registry()
        known = registry()
        base, quote = (known.token(self.cleaned_data[side].symbol) for side in ("base", "quote"))
        market = tokens.Market(base, quote, self.cleaned_data["reference_price"])
        for fault in (_contradiction(known, market), _trial(known, market)):
            if fault:
                self.add_error("reference_price", fault)


def _contradiction(known: tokens.Registry, market: tokens.Market) -> str | None:
    """Return how the price contradicts the prices of other markets, if it does by much."""
    try:
        joined = known.market_of_order(market.base, market.quote)
    except UnknownMarket:
        return None
    price, implied = market.reference_price, joined.reference_price
    if abs(price - implied) * BPS <= implied * settings.MAX_QUOTE_DEVIATION_BPS:
        return None
    through = joined.paths[0].through.symbol
    return f"Through {through} the price is {implied.normalize():f}. The two have to agree roughly."


def _trial(known: tokens.Registry, market: tokens.Market) -> str | None:
    """Return why a venue could not quote from the pool that it would make; None if it could."""
    depth = depth_in_atoms(
        market, [*known.markets, market], reference_of(market), settings.SIMULATION.depth
    )
    for venue in SIMULATED_VENUES:
        try:
            try_pool(market, venue.new_pool, depth)
        except NotTradable as fault:
            return f"{venue.label} could not make a pool. {fault}"
    return None


class KeptAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    """Rows that stay once they are added. This process reads them again at once, others soon."""

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_close_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("routing.change_market")

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        transaction.on_commit(read_registry, robust=True)

    def _let_in(self, request: HttpRequest, markets: QuerySet[Market], *, is_open: bool) -> None:
        changed = list(markets.exclude(takes_orders=is_open))
        Market.objects.filter(pk__in=[market.pk for market in changed]).update(takes_orders=is_open)
        word = "opened" if is_open else "closed"
        for market in changed:
            MarketAdmin(Market, self.admin_site).log_change(request, market, word.title() + ".")
        transaction.on_commit(read_registry, robust=True)
        names = ", ".join(map(str, changed)) or "none"
        text = f"Markets {word} to new orders: {names}. Every process knows within seconds."
        self.message_user(request, text, messages.SUCCESS)


@admin.register(Token)
class TokenAdmin(KeptAdmin):
    list_display = ("symbol", "mint", "decimals")
    search_fields = ("symbol", "mint")
    fields = ("symbol", "mint", "decimals")
    actions = ("close", "open")

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    @admin.action(description="Close all their markets to new orders", permissions=["close"])
    def close(self, request: HttpRequest, queryset: QuerySet[Token]) -> None:
        self._let_in(request, _markets_of(queryset), is_open=False)

    @admin.action(description="Open all their markets to new orders", permissions=["close"])
    def open(self, request: HttpRequest, queryset: QuerySet[Token]) -> None:
        self._let_in(request, _markets_of(queryset), is_open=True)


def _markets_of(chosen: QuerySet[Token]) -> QuerySet[Market]:
    symbols = list(
        Token.objects.filter(mint__in=chosen.values("mint")).values_list("symbol", flat=True)
    )
    return Market.objects.filter(Q(base__in=symbols) | Q(quote__in=symbols))


@admin.register(Market)
class MarketAdmin(KeptAdmin):
    form = MarketForm
    list_display = ("name", "price", "takes_orders")
    list_filter = ("takes_orders",)
    search_fields = ("=base__symbol", "=quote__symbol")
    actions = ("close", "open")

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        if obj is None:
            return ("base", "quote", "reference_price", *CHANGEABLE)
        return ("base", "quote", "price", *CHANGEABLE)

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return ("base", "quote", "price") if obj else ()

    def formfield_for_foreignkey(
        self, db_field: ForeignKey[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> Any:
        kwargs["queryset"] = Token.objects.exclude(symbol=tokens.WSOL.symbol)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    @admin.display(description="market", ordering="id")
    def name(self, market: Market) -> str:
        return str(market)

    @admin.display(description="reference price")
    def price(self, market: Market) -> str:
        return f"{market.reference_price.normalize():f} {market.quote_id}"

    @admin.action(description="Close to new orders", permissions=["close"])
    def close(self, request: HttpRequest, queryset: QuerySet[Market]) -> None:
        self._let_in(request, queryset, is_open=False)

    @admin.action(description="Open to new orders", permissions=["close"])
    def open(self, request: HttpRequest, queryset: QuerySet[Market]) -> None:
        self._let_in(request, queryset, is_open=True)
