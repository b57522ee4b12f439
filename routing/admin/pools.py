"""The pools of the simulated venues. A venue's first quote makes one, or an operator before it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import orjson
from django import forms
from django.contrib import admin, messages
from django.db import IntegrityError, connection
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from routing import tokens
from routing.admin.read_only import ReadOnlyAdmin
from routing.models import Market, SimulatedPool
from routing.operations.launches import CannotLaunch, migrate_pool, pool_of, reserves
from routing.pools.constant_product import ConstantProductPool
from routing.pools.pool import Direction
from routing.pricing import significant
from routing.registry import look_up
from routing.simulation import pool as simulation
from routing.simulation.pool import PoolKey
from routing.simulation.seeding import BIN_STEPS, pool_like
from routing.simulation.trial import quote_depth_in_atoms, reference_of, try_pool
from routing.venues import SIMULATED_VENUES

VENUES = {venue.name: venue for venue in SIMULATED_VENUES}
MILLIONTHS_OF_A_BPS = 100
BILLIONTHS_OF_A_BPS = 100_000


FIELDS = ("venue", "market", "depth", "fee_bps", "bin_step", "opens_in")


class PoolForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    """The properties of a new pool. Its price is the market's reference price."""

    venue = forms.ChoiceField(choices=[(name, venue.label) for name, venue in VENUES.items()])
    market = forms.ModelChoiceField(
        Market.objects.all(), help_text="A venue has one pool of a market."
    )
    depth = forms.DecimalField(
        help_text="In whole quote tokens, of each side: 250000 in SOL/USDC is 250,000 USDC, and"
        " SOL for as much at the reference price. Bins hold up to a tenth less of the quote token.",
        max_digits=40,
    )
    fee_bps = forms.DecimalField(
        label="Fee (bps)",
        required=False,
        min_value=Decimal("0.01"),
        max_value=1_000,
        decimal_places=2,
        help_text="Of the input: 30 is 0.3 %. The venue's usual one if left out.",
    )
    bin_step = forms.TypedChoiceField(
        choices=[(step, f"{step} bps") for step in BIN_STEPS],
        coerce=int,
        required=False,
        initial=20,
        help_text="Of pools of bins (Meteora): how far the prices of two neighbours are apart.",
    )
    opens_in = forms.IntegerField(
        label="Opens in (seconds)",
        required=False,
        min_value=0,
        max_value=30 * 86_400,
        help_text="Given, even 0: the pool is launched. The market then has the pools alone that"
        " are launched, and orders wait for this one until it opens.",
    )

    class Meta:
        model = SimulatedPool
        fields = ()

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if not self.errors:
            self._fill_in(cleaned)
        return cleaned

    def _fill_in(self, given: dict[str, Any]) -> None:
        venue = VENUES[given["venue"]]
        market = look_up(lambda known: _market(known, given["market"]))
        key = PoolKey.of(venue.name, market)
        if SimulatedPool.objects.filter(**key._asdict()).exists():
            self.add_error("market", f"{venue.label} has a pool of {market.name}.")
            return
        try:
            new_pool = pool_like(
                venue.kind, given["fee_bps"] or Decimal(venue.fee_bps), given["bin_step"] or 20
            )
        except ValueError as fault:
            self.add_error("fee_bps", str(fault))
            return
        try:
            depth = quote_depth_in_atoms(market, market.quote.to_atoms(given["depth"]))
            pool = try_pool(market, new_pool, depth)
        except ValueError as fault:  # NotTradable is such an error
            self.add_error("depth", str(fault))
            return
        self.instance.venue, self.instance.base, self.instance.quote = key
        made = simulation.SimulatedPool(key, reference_of(market), pool, 0)
        self.instance.kind = made.kind
        self.instance.state = orjson.loads(orjson.dumps(made.state()))


def _market(known: tokens.Registry, row: Market) -> tokens.Market:
    return known.market(known.token(row.base_id), known.token(row.quote_id))


@admin.register(SimulatedPool)
class SimulatedPoolAdmin(ReadOnlyAdmin):
    """Pools as the last landing left them. Until the next landing they follow prices."""

    form = PoolForm
    list_display = (
        *("label", "market", "base_reserve", "quote_reserve", "price", "fee", "opens_at", "as_of"),
    )
    ordering = ("venue", "base", "quote")
    shown = (*list_display, "bins", "version", "made_at", "follows")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return admin.ModelAdmin.has_add_permission(self, request)

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return FIELDS if obj is None else self.shown

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return () if obj is None else self.shown

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Store the new pool. It follows its market from this second on."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT extract(epoch FROM clock_timestamp())::bigint, clock_timestamp()"
            )
            obj.tick, now = cursor.fetchone()
        obj.version = 0
        if (opens_in := form.cleaned_data["opens_in"]) is not None:
            obj.made_at, obj.opens_at = now, now + timedelta(seconds=opens_in)
        obj.save(force_insert=True)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return super().changeform_view(request, *args, **kwargs)
        except IntegrityError:  # the venue's first quote has made one meanwhile
            self.message_user(request, "The venue has just made this pool itself.", messages.ERROR)
            return HttpResponseRedirect(reverse("admin:routing_simulatedpool_changelist"))

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        if (row := kwargs.get("obj")) is not None:
            context["subtitle"] = f"{self.label(row)} {self.market(row)}"
        return super().render_change_form(request, context, *args, **kwargs)

    # Actions

    def get_actions(self, request: HttpRequest) -> Any:
        """Offer each venue as one to which pools can move."""
        actions = super().get_actions(request)
        if self.has_add_permission(request):
            for name, venue in VENUES.items():
                migrate = partial(self._migrate, target=name)
                actions[f"migrate_to_{name}"] = (
                    *(lambda _, *asked, migrate=migrate: migrate(*asked), f"migrate_to_{name}"),
                    f"Move all liquidity to {venue.label}",
                )
        return actions

    def _migrate(
        self, request: HttpRequest, queryset: QuerySet[SimulatedPool], target: str
    ) -> None:
        for row in queryset:
            base, quote = tokens_of(row)
            try:
                moved = migrate_pool(base.symbol, quote.symbol, row.venue, target)
            except CannotLaunch as fault:
                self.message_user(request, str(fault), messages.ERROR)
                continue
            self.log_addition(request, moved, f"Moved here from {row.venue}.")
            text = f"The pool of {base.symbol}/{quote.symbol} moved from {row.venue} to {target}."
            self.message_user(request, text, messages.SUCCESS)

    # Columns

    @admin.display(description="venue")
    def label(self, row: SimulatedPool) -> str:
        return VENUES[row.venue].label if row.venue in VENUES else row.venue

    @admin.display
    def market(self, row: SimulatedPool) -> str:
        return "/".join(token.symbol for token in tokens_of(row))

    @admin.display
    def base_reserve(self, row: SimulatedPool) -> str:
        token, _ = tokens_of(row)
        return f"{token.to_text(reserves(pool_of(row))[0])} {token.symbol}"

    @admin.display
    def quote_reserve(self, row: SimulatedPool) -> str:
        _, token = tokens_of(row)
        return f"{token.to_text(reserves(pool_of(row))[1])} {token.symbol}"

    @admin.display
    def price(self, row: SimulatedPool) -> str:
        base, quote = tokens_of(row)
        spot = pool_of(row).spot(Direction.X_TO_Y)
        price = quote.to_decimal(spot.atoms_out) / base.to_decimal(spot.atoms_in)
        return f"{significant(price, 8).normalize():f} {quote.symbol}"

    @admin.display
    def fee(self, row: SimulatedPool) -> str:
        pool = pool_of(row)
        if isinstance(pool, ConstantProductPool):
            return f"{Decimal(pool.rates.trade) / MILLIONTHS_OF_A_BPS:f} bps"
        base = Decimal(pool.parameters.base_fee_rate) / BILLIONTHS_OF_A_BPS
        return f"{base:f} bps, more when the price moves"

    @admin.display
    def bins(self, row: SimulatedPool) -> str:
        pool = pool_of(row)
        if isinstance(pool, ConstantProductPool):
            return "-"
        return f"{len(pool.bins)}, {pool.parameters.bin_step} bps apart; {pool.active_id} is active"

    @admin.display(description="as of (UTC)")
    def as_of(self, row: SimulatedPool) -> str:
        return f"{datetime.fromtimestamp(row.tick, UTC):%Y-%m-%d %H:%M:%S}"


def tokens_of(row: SimulatedPool) -> tuple[tokens.Token, tokens.Token]:
    return look_up(lambda known: (known.token(row.base), known.token(row.quote)))
