"""Whether the engine trades: who changed it, when and why, and the button that changes it."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_POST

from orders.engine.trading_state import change_trading_state, trading_state
from orders.models import TradingState
from orders.monitoring.operations import present_operations
from routing.admin import ReadOnlyAdmin

MOST_LETTERS = 500


@admin.register(TradingState)
class TradingStateAdmin(ReadOnlyAdmin):
    list_display = ("changed_at", "state", "changed_by", "why")
    list_display_links = None
    ordering = ("-id",)

    def get_urls(self) -> list[URLPattern]:
        change = self.admin_site.admin_view(require_POST(self.change_state_view))
        return [path("change/", change, name="orders_tradingstate_set"), *super().get_urls()]

    def may_change_state(self, request: HttpRequest) -> bool:
        return request.user.has_perm("orders.add_tradingstate")

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {
            "title": "Trading",
            "present": trading_state(),
            "may_change_state": self.may_change_state(request),
            "most_letters": MOST_LETTERS,
            **(extra_context or {}),
        }
        return super().changelist_view(request, context)

    def change_state_view(self, request: HttpRequest) -> HttpResponse:
        """Halt trading or let it go on, and go back to the page."""
        if not self.may_change_state(request):
            raise PermissionDenied
        state, why = request.POST.get("state", ""), request.POST.get("why", "")
        if state not in TradingState.State.values or len(why) > MOST_LETTERS:
            self.message_user(request, "Nothing was changed: read the form again.", messages.ERROR)
        else:
            row = change_trading_state(
                TradingState.State(state), request.user.get_username(), why.strip()
            )
            self.log_addition(request, row, f"Trading is {state}.")
            self.message_user(request, f"Trading is {state}.", messages.SUCCESS)
            present_operations.forget()
        pages = (reverse("admin:index"), reverse("admin:orders_tradingstate_changelist"))
        back = request.POST.get("next")
        return HttpResponseRedirect(back if back in pages else pages[-1])

    @admin.display(description="since (UTC)")
    def changed_at(self, row: TradingState) -> str:
        return f"{row.at:%Y-%m-%d %H:%M:%S}"
