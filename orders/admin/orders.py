"""Orders for operators: they see everything, edit nothing, and can retry or cancel an order."""

from contextlib import nullcontext
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.http import require_POST

from orders.admin_pages import export
from orders.admin_pages.addresses import orders_url
from orders.admin_pages.bounded_list import BoundedReach
from orders.admin_pages.case_file import case_file
from orders.admin_pages.date_hierarchy import calendar
from orders.admin_pages.deeds import CANCEL, RETRY, Deed, Done, summary
from orders.admin_pages.filters import (
    SAVED,
    UNDER_WAY,
    AttemptsFilter,
    AttentionFilter,
    CreatedFilter,
    FailureFilter,
    LeaseFilter,
    MarketFilter,
    OwnerFilter,
    PhaseFilter,
    SideFilter,
    StatusFilter,
    TypeFilter,
    VenueFilter,
)
from orders.admin_pages.wording import (
    copy_button,
    duration,
    grouped,
    label_of,
    limits_text,
    short_id,
    terms_text,
)
from orders.api.lists.search import CUT, search
from orders.api.pagination import in_index_order
from orders.lifecycle import ACTIVE, Status
from orders.models import Order, SeenOrder
from orders.monitoring.operations import present_operations
from orders.representation import executed_price, headline
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
        *("order_id", "state", "trade", "created", "account", "routed_to", "price", "took"),
        "attempts",
    )
    list_select_related = ("owner",)
    list_filter = (
        *(StatusFilter, AttentionFilter, CreatedFilter, OwnerFilter, VenueFilter, MarketFilter),
        *(SideFilter, TypeFilter, PhaseFilter, AttemptsFilter, FailureFilter, LeaseFilter),
    )
    date_hierarchy = "created_at"
    search_fields = ("id",)  # shows the search box; `get_search_results` does the search
    search_help_text = (
        "An order id, or its last 6 characters and more; a whole signature or client order id"
    )
    actions = ("retry_now", "cancel", "export_as_csv", "export_as_json")
    fields = ()

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[OrderList]:
        return OrderList

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        # Orders under way are found by two indexes together. Actions run in no transaction.
        is_under_way = request.GET.get("status") in (UNDER_WAY, *CARRIED) or "lease" in request.GET
        with nullcontext() if is_under_way or request.method == "POST" else in_index_order():
            saved = [(name, orders_url(**filters)) for name, filters in SAVED]
            context = {"title": "Orders", "saved_filters": saved, **(extra_context or {})}
            return super().changelist_view(request, context)

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
                "<path:object_id>/seen/",
                door(require_POST(self.seen_view)),
                name="orders_order_seen",
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
        """Find orders as the API does: each way has an index. Django's search reads every row."""
        term = search_term.strip().removeprefix(CUT)
        return search(queryset, term) if term else queryset, False

    # Actions

    @admin.action(description="Retry now…", permissions=["operate"])
    def retry_now(self, request: HttpRequest, queryset: QuerySet[Order]) -> HttpResponse | None:
        """Wake a worker for the chosen orders, without waiting for their next attempt."""
        return self._do_many(request, queryset, RETRY)

    @admin.action(description="Cancel…", permissions=["operate"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Order]) -> HttpResponse | None:
        """Cancel the chosen orders. Count those that were submitted or have ended."""
        return self._do_many(request, queryset, CANCEL)

    def retry_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._do_one(request, object_id, RETRY)

    def cancel_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._do_one(request, object_id, CANCEL)

    def seen_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Write down who has seen an order that needs a person. The first one stays."""
        if not self.has_operate_permission(request):
            raise PermissionDenied
        order = self.get_object(request, unquote(object_id))
        if order is None:
            raise Http404
        by = {"seen_by": request.user.get_username()}
        _, is_first = SeenOrder.objects.get_or_create(order_id=order.pk, defaults=by)
        if is_first:
            self.log_change(request, order, "Seen.")
            present_operations.forget()
        return HttpResponseRedirect(reverse("admin:index"))

    def _do_one(self, request: HttpRequest, object_id: str, deed: Deed) -> HttpResponse:
        """Do the deed to one order, and go back to its page."""
        if not self.has_operate_permission(request):
            raise PermissionDenied
        order = self.get_object(request, unquote(object_id))
        if order is None:
            raise Http404
        done = self._do(request, order, deed)
        for text in done.texts:
            self.message_user(request, text, done.level)
        present_operations.forget()
        if request.POST.get("next") == reverse("admin:index"):
            return HttpResponseRedirect(reverse("admin:index"))
        return HttpResponseRedirect(reverse("admin:orders_order_change", args=[order.pk]))

    def _do_many(
        self, request: HttpRequest, queryset: QuerySet[Order], deed: Deed
    ) -> HttpResponse | None:
        """Ask first, with numbers. Then act, and tell it in one line."""
        chosen = self._choose(request, queryset)
        if not chosen:
            return None
        if "confirmed" not in request.POST:
            return self._ask(request, chosen, deed)
        done = [self._do(request, order, deed) for order in chosen]
        level = messages.SUCCESS if any(one.did for one in done) else messages.WARNING
        self.message_user(request, summary(deed, done), level)
        return None

    def _ask(self, request: HttpRequest, chosen: list[Order], deed: Deed) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": deed.question(len(chosen)),
            "opts": self.opts,
            "deed": deed,
            "counts": deed.outlook(chosen),
            "chosen": [str(order.pk) for order in chosen],
            "checkbox": ACTION_CHECKBOX_NAME,
            "media": self.media,
        }
        return TemplateResponse(request, "admin/orders/order/confirm.html", context)

    def _do(self, request: HttpRequest, order: Order, deed: Deed) -> Done:
        done = deed.do(order)
        for one in done.did:
            self.log_change(request, one, deed.remembered)
        return done

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
            "copy_id": copy_button(order.pk),
            "title": f"Order …{str(order.pk)[-8:]}",
            "subtitle": None,
            "may_operate": self.has_operate_permission(request),
            "api_url": reverse("order", args=[order.pk]),
            "events_url": events,
            "stream_url": stream,
        }
        return super().render_change_form(request, context, *args, **kwargs)

    # Columns

    @admin.display(description="order")
    def order_id(self, order: Order) -> SafeString:
        return short_id(order.pk)

    @admin.display
    def account(self, order: Order) -> str:
        return str(order.owner or "-")

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
        return format_html("{}{}", grouped(headline(order)), html)

    @admin.display(description="venue")
    def routed_to(self, order: Order) -> str:
        return label_of(order.venue)

    @admin.display(description="net price")
    def price(self, order: Order) -> str:
        return grouped(executed_price(order) or "-")

    @admin.display
    def took(self, order: Order) -> str:
        return duration(order.finished_at - order.created_at) if order.finished_at else "-"
