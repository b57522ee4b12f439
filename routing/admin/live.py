"""Real pools that are traded in, and venues that were stopped. They are hidden in a simulation."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from routing.admin.read_only import ReadOnlyAdmin
from routing.models import LivePool, VenueStop
from routing.operations.venue_stops import resume
from routing.registry import read_registry


class LivePoolForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    """A pool is looked up on chain when it is added: program, tokens, decimals, and whether it is
    switched on."""

    class Meta:
        model = LivePool
        fields = ("market", "address", "is_traded")

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]  # missing in the stubs
        if not self.errors:
            self._look_up(self.cleaned_data)

    def _look_up(self, given: dict[str, Any]) -> None:
        # Only now: the simulated engine imports nothing of Solana.
        from routing.operations.live_pools import CannotAdd, NoNode, look_at

        try:
            found = look_at(settings.SOLANA_RPC_URLS, given["market"], given["address"])
        except CannotAdd as fault:
            self.add_error("address", f"It cannot be added: {fault}.")
        except NoNode as fault:
            self.add_error("address", f"It could not be looked up: {fault}.")
        else:
            self.instance.venue = found.pool.venue


class LiveAdmin(ReadOnlyAdmin):
    """There is nothing of it in a simulation."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return is_live() and super().has_module_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return is_live() and super().has_view_permission(request, obj)


def is_live() -> bool:
    return bool(settings.VENUES == "solana")


@admin.register(LivePool)
class LivePoolAdmin(LiveAdmin):
    form = LivePoolForm
    list_display = ("address", "venue", "market", "is_traded", "added_by", "added_at")
    list_filter = ("venue", "is_traded")
    search_fields = ("=address",)
    list_select_related = ("market",)
    actions = ("switch_off", "switch_on")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return is_live() and admin.ModelAdmin.has_add_permission(self, request)

    def has_switch_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("routing.change_livepool")

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return self.form.Meta.fields if obj is None else self.list_display

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.added_by = request.user.get_username()
        super().save_model(request, obj, form, change)
        transaction.on_commit(read_registry, robust=True)

    @admin.action(description="Trade in them no more", permissions=["switch"])
    def switch_off(self, request: HttpRequest, queryset: QuerySet[LivePool]) -> None:
        self._switch(request, queryset, is_traded=False)

    @admin.action(description="Trade in them", permissions=["switch"])
    def switch_on(self, request: HttpRequest, queryset: QuerySet[LivePool]) -> None:
        self._switch(request, queryset, is_traded=True)

    def _switch(self, request: HttpRequest, pools: QuerySet[LivePool], *, is_traded: bool) -> None:
        changed = list(pools.exclude(is_traded=is_traded))
        LivePool.objects.filter(pk__in=[pool.pk for pool in changed]).update(is_traded=is_traded)
        word = "on" if is_traded else "off"
        for pool in changed:
            self.log_change(request, pool, f"Switched {word}.")
        transaction.on_commit(read_registry, robust=True)
        text = f"Pools switched {word}: {len(changed)}. Every process knows within seconds."
        self.message_user(request, text, messages.SUCCESS)


@admin.register(VenueStop)
class VenueStopAdmin(LiveAdmin):
    """Each time that a venue was stopped, and why. A person lets it go on."""

    list_display = ("stopped", "venue", "why", "resumed", "resumed_by")
    list_display_links = None
    ordering = ("-id",)
    actions = ("resume",)

    def has_resume_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("routing.change_venuestop")

    @admin.action(description="Let these venues go on", permissions=["resume"])
    def resume(self, request: HttpRequest, queryset: QuerySet[VenueStop]) -> None:
        for row in queryset.filter(resumed_at=None):
            if resume(row.venue, request.user.get_username()):
                self.log_change(request, row, "Resumed.")
                text = f"{row.venue} goes on. Every process knows within seconds."
                self.message_user(request, text, messages.SUCCESS)

    @admin.display(description="stopped at (UTC)")
    def stopped(self, row: VenueStop) -> str:
        return f"{row.stopped_at:%Y-%m-%d %H:%M:%S}"

    @admin.display(description="resumed at (UTC)")
    def resumed(self, row: VenueStop) -> str:
        return f"{row.resumed_at:%Y-%m-%d %H:%M:%S}" if row.resumed_at else "-"
