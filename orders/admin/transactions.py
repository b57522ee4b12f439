"""The signed transactions of all orders, each with its outcome."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from orders.admin_pages.bounded_list import BoundedReach
from orders.admin_pages.filters import OutcomeFilter
from orders.admin_pages.wording import duration, short_id
from orders.api.lists.search import CUT, search
from orders.models import Order, TransactionBySignature
from routing.admin import ReadOnlyAdmin

MOST_FOUND = 50


class TransactionList(BoundedReach):
    reach_field = "order_id"  # orders' ids are in order of time


@admin.register(TransactionBySignature)
class TransactionAdmin(ReadOnlyAdmin):
    list_display = (*("signature", "state", "created", "took", "order_link", "attempt"),)
    list_filter = (OutcomeFilter,)
    search_fields = ("signature",)  # shows the search box; `get_search_results` does the search
    search_help_text = "A whole signature; an order id, or its last 6 characters and more"
    fields = (
        *("signature", "order_link", "attempt", "created_at", "state", "settled_at", "took"),
        "expires_at_height",
    )
    readonly_fields = ("order_link", "state", "took")

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return super().changelist_view(request, {"title": "Transactions", **(extra_context or {})})

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[TransactionList]:
        return TransactionList

    def get_search_results(
        self,
        request: HttpRequest,
        queryset: QuerySet[TransactionBySignature],
        search_term: str,
    ) -> tuple[QuerySet[TransactionBySignature], bool]:
        term = search_term.strip().removeprefix(CUT)
        if not term:
            return queryset, False
        found = search(Order.objects.all(), term).values_list("pk", flat=True)
        return queryset.filter(order_id__in=list(found[:MOST_FOUND])), False

    @admin.display(description="order")
    def order_link(self, transaction: TransactionBySignature) -> SafeString:
        url = reverse("admin:orders_order_change", args=[transaction.order_id])
        return format_html('<a href="{}">{}</a>', url, short_id(transaction.order_id))

    @admin.display(description="signed (UTC)")
    def created(self, transaction: TransactionBySignature) -> str:
        return f"{transaction.created_at:%Y-%m-%d %H:%M:%S}"

    @admin.display(description="outcome")
    def state(self, transaction: TransactionBySignature) -> SafeString:
        outcome = transaction.outcome
        return format_html(
            '<span class="status status-{}">{}</span>',
            outcome or "submitted",
            outcome or "may still land",
        )

    @admin.display(description="settled after")
    def took(self, transaction: TransactionBySignature) -> str:
        if transaction.settled_at is None:
            return "-"
        return duration(transaction.settled_at - transaction.created_at)
