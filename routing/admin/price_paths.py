"""Paths of simulated prices: "SOL falls 8 % over the next minute"."""

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from routing.admin.read_only import ReadOnlyAdmin
from routing.models import SimulatedPricePath
from routing.operations import price_paths
from routing.registry import look_up

HELP = (
    "SOL=-8%/60 has SOL fall by 8 % within 60 seconds, from a few seconds from now on. Steps follow"
    " one another: SOL=-8%/60 +0%/120 stays down for two minutes. With @2026-11-29T15:00:00Z at its"
    " end the path begins then. A later path of the same token takes its place."
)


class PricePathForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    path = forms.CharField(max_length=300, initial="SOL=-8%/60", help_text=HELP)

    class Meta:
        model = SimulatedPricePath
        fields = ()

    def clean_path(self) -> Any:
        try:
            return price_paths.read(self.cleaned_data["path"])
        except price_paths.UnusablePath as fault:
            raise forms.ValidationError(str(fault)) from fault


@admin.register(SimulatedPricePath)
class SimulatedPricePathAdmin(ReadOnlyAdmin):
    """What was set, the newest first. None is changed or deleted: prices were made of it."""

    form = PricePathForm
    list_display = ("token", "steps", "begins", "ends", "set_by", "set_at")
    ordering = ("-id",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return admin.ModelAdmin.has_add_permission(self, request)

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return ("path",) if obj is None else self.list_display

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return () if obj is None else self.list_display

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Store the path as the database's clock allows."""
        written, mint = form.cleaned_data["path"]
        stored = price_paths.store(written, mint, request.user.get_username())
        obj.__dict__.update(stored.__dict__)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return super().changeform_view(request, *args, **kwargs)
        except SimulatedPricePath.TooSoon as fault:
            self.message_user(request, str(fault), messages.ERROR)
            return HttpResponseRedirect(reverse("admin:routing_simulatedpricepath_add"))

    @admin.display
    def token(self, row: SimulatedPricePath) -> str:
        return look_up(lambda known: known.token(row.mint)).symbol

    @admin.display(description="begins (UTC)")
    def begins(self, row: SimulatedPricePath) -> str:
        return f"{datetime.fromtimestamp(row.begins_at, UTC):%Y-%m-%d %H:%M:%S}"

    @admin.display(description="ends (UTC)")
    def ends(self, row: SimulatedPricePath) -> str:
        return f"{datetime.fromtimestamp(row.ends_at, UTC):%Y-%m-%d %H:%M:%S}"
