"""Orders for operators: they see everything, edit nothing, and can retry or cancel an order."""

from contextlib import nullcontext, suppress
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.http import require_POST

from orders.admin_pages import export
from orders.admin_pages.bounded_list import BoundedReach
from orders.admin_pages.case_file import case_file
from orders.admin_pages.date_hierarchy import calendar
from orders.admin_pages.filters import (
    UNDER_WAY,
    AttemptsFilter,
    AttentionFilter,
    CreatedFilter,
    FailureFilter,
    LeaseFilter,
    MarketFilter,
    PhaseFilter,
    SideFilter,
    StatusFilter,
    TypeFilter,
    VenueFilter,
)
from orders.admin_pages.wording import duration, label_of, limits_text, terms_text
from orders.api.pagination import in_index_order
from orders.engine import bell, submission
from orders.lifecycle import ACTIVE, FINAL, Status
from orders.models import Heartbeat, Order, OrderTransaction
from orders.representation import executed_price, headline
from orders.words import EndReason
from routing.admin import ReadOnlyAdmin

FLAG = mark_safe(' <strong class="flagged">look at this</strong>')
CARRIED = ACTIVE - {Status.OPEN}
MOST_AT_ONCE = 500  # orders that one click may cancel or wake a worker for
FORMATS = {"csv": export.csv_export, "json": export.json_export}


class OrderList(BoundedReach):
    """The list, with the calendar of its days."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.calendar = calendar(self)


@admin.register(Order)
class OrderAdmin(ReadOnlyAdmin):
    list_display = (
        *("short_id", "state", "trade", "created", "routed_to", "price", "took", "attempts"),
    )
    list_filter = (
        *(StatusFilter, AttentionFilter, CreatedFilter, VenueFilter, MarketFilter, SideFilter),
        *(TypeFilter, PhaseFilter, AttemptsFilter, FailureFilter, LeaseFilter),
    )
    date_hierarchy = "created_at"
    search_fields = ("id",)  # shows the search box; `get_search_results` does the search
    search_help_text = "A whole order id, transaction signature or client order id"
    actions = ("retry_now", "cancel", "export_as_csv", "export_as_json")
    fields = ()

    class Media:
        css = {"all": ["orders/admin.css"]}

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[OrderList]:
        return OrderList

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        # Orders under way are found by two indexes together. Actions run in no transaction.
        is_under_way = request.GET.get("status") in (UNDER_WAY, *CARRIED) or "lease" in request.GET
        with nullcontext() if is_under_way or request.method == "POST" else in_index_order():
            return super().changelist_view(request, {"title": "Orders", **(extra_context or {})})

    def get_urls(self) -> list[URLPattern]:
        def door(view: Any) -> Any:
            return self.admin_site.admin_view(view)

        return [
            path("export/<str:form>/", door(self.export_view), name="orders_order_export"),
            path(
                "<path:object_id>/retry/",
                door(require_POST(self.retry_view)),
                name="orders_order_retry",
            ),
            path(
                "<path:object_id>/cancel/",
                door(require_POST(self.cancel_view)),
                name="orders_order_cancel",
            ),
            *super().get_urls(),
        ]

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Whether this person may use the actions. They change orders, though no form does."""
        return request.user.has_perm("orders.change_order")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Order], search_term: str
    ) -> tuple[QuerySet[Order], bool]:
        """Find whole names, each by its own index. Django's search would read every row."""
        term = search_term.strip()
        if not term:
            return queryset, False
        ids = set(OrderTransaction.objects.filter(signature=term).values_list("order", flat=True))
        ids |= set(Order.objects.filter(client_order_id=term).values_list("pk", flat=True))
        with suppress(ValueError):
            ids.add(UUID(term))
        return queryset.filter(pk__in=ids), False

    # Actions

    @admin.action(description="Retry now", permissions=["operate"])
    def retry_now(self, request: HttpRequest, queryset: QuerySet[Order]) -> None:
        """Wake a worker for the chosen orders, without waiting for their next attempt."""
        for order in self._choose(request, queryset):
            self._retry(request, order)

    @admin.action(description="Cancel", permissions=["operate"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Order]) -> None:
        """Cancel the chosen orders. Name those that were submitted or have ended."""
        for order in self._choose(request, queryset):
            self._cancel(request, order)

    def retry_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._do(request, object_id, self._retry)

    def cancel_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._do(request, object_id, self._cancel)

    def _do(self, request: HttpRequest, object_id: str, deed: Any) -> HttpResponse:
        """Do the action for one order, and go back to its page."""
        if not self.has_operate_permission(request):
            raise PermissionDenied
        order = self.get_object(request, unquote(object_id))
        if order is None:
            raise Http404
        deed(request, order)
        return HttpResponseRedirect(reverse("admin:orders_order_change", args=[order.pk]))

    def _choose(self, request: HttpRequest, queryset: QuerySet[Order]) -> list[Order]:
        """Return the orders that a person ticked, or all that the filters show.

        Ticked orders are read without the filters. Otherwise an order that has moved on since the
        page was made would be left out silently.
        """
        if request.POST.get("select_across", "0") == "0":
            ticked = request.POST.getlist(ACTION_CHECKBOX_NAME)
            queryset = Order.objects.filter(pk__in=ticked)
        chosen = list(queryset[: MOST_AT_ONCE + 1])
        if len(chosen) > MOST_AT_ONCE:
            text = f"Nothing was done: choose at most {MOST_AT_ONCE} orders at a time."
            self.message_user(request, text, messages.ERROR)
            return []
        return chosen

    def _retry(self, request: HttpRequest, order: Order) -> None:
        if order.status in FINAL:
            text = f"Order {order.pk} has ended: it is {order.status}."
            self.message_user(request, text, messages.WARNING)
        elif order.resting:
            text = f"Order {order.pk} rests: a worker carries it once it is released."
            self.message_user(request, text, messages.WARNING)
        elif bell.ring_for(str(order.pk)):
            self.log_change(request, order, "Asked to be carried now.")
            text = f"A worker was asked to carry order {order.pk} now."
            self.message_user(request, text, messages.SUCCESS)
        else:
            text = f"Redis does not answer; order {order.pk} is carried when it is due."
            self.message_user(request, text, messages.ERROR)

    def _cancel(self, request: HttpRequest, order: Order) -> None:
        """Cancel the order, and the other order of its group with it."""
        try:
            found = submission.cancel_order(order.pk, by="operator", reason=EndReason.OPERATOR)
        except submission.NotCancellable as refused:
            text = f"Order {order.pk} is {refused.status} and can no longer be cancelled."
            if order.resting:
                text = (
                    f"Order {order.pk} cannot be cancelled now: the other order of its group is"
                    f" {refused.status}."
                )
            self.message_user(request, text, messages.WARNING)
            return
        if not found.events:
            self.message_user(request, f"Order {order.pk} was cancelled before.", messages.INFO)
        for one in Order.objects.filter(pk__in=[event.order_id for event in found.events]):
            self.log_change(request, one, "Cancelled.")
            self.message_user(request, f"Order {one.pk} was cancelled.", messages.SUCCESS)

    # Exports

    @admin.action(description="Export as CSV", permissions=["view"])
    def export_as_csv(self, request: HttpRequest, queryset: QuerySet[Order]) -> HttpResponseBase:
        return self._export(request, queryset, "csv")

    @admin.action(description="Export as JSON", permissions=["view"])
    def export_as_json(self, request: HttpRequest, queryset: QuerySet[Order]) -> HttpResponseBase:
        return self._export(request, queryset, "json")

    def export_view(self, request: HttpRequest, form: str) -> HttpResponseBase:
        """Send all orders that the filters in the URL show."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if form not in FORMATS:
            raise Http404
        return self._export_all(request, form)

    def _export(
        self, request: HttpRequest, queryset: QuerySet[Order], form: str
    ) -> HttpResponseBase:
        if request.POST.get("select_across", "0") != "0":
            return self._export_all(request, form)
        ticked = Order.objects.filter(pk__in=queryset.values_list("pk", flat=True))
        return FORMATS[form](ticked, ticked)

    def _export_all(self, request: HttpRequest, form: str) -> HttpResponseBase:
        listed: Any = self.get_changelist_instance(request)
        return FORMATS[form](listed.matching, listed.along)

    # The case file

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        order: Order = context["original"]
        events = reverse("events", args=[order.pk])
        stream = request.build_absolute_uri(f"/ws/orders/{order.pk}").replace("http", "ws", 1)
        context |= {
            "case": case_file(order),
            "title": "Order",
            "subtitle": None,
            "may_operate": self.has_operate_permission(request),
            "api_url": reverse("order", args=[order.pk]),
            "events_url": events,
            "stream_url": stream,
        }
        return super().render_change_form(request, context, *args, **kwargs)

    # Columns

    @admin.display(description="order")
    def short_id(self, order: Order) -> SafeString:
        text = str(order.pk)
        return format_html('<span class="order-id" title="{}">…{}</span>', text, text[-12:])

    @admin.display(description="created (UTC)")
    def created(self, order: Order) -> SafeString:
        return format_html(
            '<time datetime="{}">{}</time>',
            order.created_at.isoformat(),
            f"{order.created_at:%Y-%m-%d %H:%M:%S}",
        )

    @admin.display(description="status")
    def state(self, order: Order) -> SafeString:
        return format_html(
            '<span class="status status-{0}" title="{1}">{0}</span>{2}',
            order.status,
            order.failure_code or order.phase or order.reason or "",
            FLAG if order.needs_attention else "",
        )

    @admin.display
    def trade(self, order: Order) -> SafeString:
        asked = ", ".join(filter(None, (terms_text(order), limits_text(order))))
        html = format_html('<span class="limits">{}</span>', asked) if asked else ""
        return format_html("{}{}", headline(order), html)

    @admin.display(description="venue")
    def routed_to(self, order: Order) -> str:
        return label_of(order.venue)

    @admin.display(description="net price")
    def price(self, order: Order) -> str:
        return executed_price(order) or "-"

    @admin.display
    def took(self, order: Order) -> str:
        return duration(order.finished_at - order.created_at) if order.finished_at else "-"


@admin.register(Heartbeat)
class HeartbeatAdmin(ReadOnlyAdmin):
    list_display = ("process", "kind", "seen_at")
    ordering = ("-seen_at",)
