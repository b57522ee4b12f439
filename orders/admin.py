"""Orders for operators: everything to see, nothing to edit, and two deeds through their doors."""

import json
from contextlib import suppress
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from orders import bell, submission
from orders.events import LABELS, timestamp
from orders.lifecycle import FINAL, Status
from orders.models import Order, OrderTransaction
from orders.representation import decimal, executed_price, tokens_of
from routing.admin import ReadOnlyAdmin
from routing.venue import Side

admin.site.site_header = admin.site.site_title = "Order execution engine"
admin.site.site_url = "/api/orders"


class ChoiceFilter(admin.SimpleListFilter):
    """Filters by a column whose values are known: Django's own would look for them in all rows."""

    choice_labels: dict[str, str]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(self.choice_labels.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() is None:
            return queryset
        return queryset.filter(**{str(self.parameter_name): self.value()})


class StatusFilter(ChoiceFilter):
    title = parameter_name = "status"
    choice_labels = {status.value: status.value for status in Status}


class SideFilter(ChoiceFilter):
    title = parameter_name = "side"
    choice_labels = {side.value: side.value for side in Side}


class VenueFilter(ChoiceFilter):
    title = parameter_name = "venue"
    choice_labels = LABELS


@admin.register(Order)
class OrderAdmin(ReadOnlyAdmin):
    list_display = (
        *("id", "created_at", "market", "side", "status", "venue", "attempts", "price"),
        "attention",
    )
    list_filter = (StatusFilter, SideFilter, VenueFilter, "needs_attention")
    list_per_page = 50
    search_fields = ("id",)  # makes the box appear; `get_search_results` does the search
    search_help_text = "A whole order id, transaction signature or client order id"
    actions = ("cancel", "route_and_execute_now")
    fieldsets = (
        (None, {"fields": (("id", "status"), ("owner", "client_order_id"), "attention")}),
        (
            "Asked for",
            {"fields": (("type", "market", "side"), ("asked_amount", "slippage_bps"))},
        ),
        (
            "Execution",
            {
                "fields": (
                    *(("venue", "attempts"), "bound", "signature", ("price", "filled")),
                    *("failure_code", "failure_reason"),
                )
            },
        ),
        ("Log", {"fields": ("events", "transactions")}),
        (
            "When and by whom",
            {
                "fields": (
                    ("created_at", "started_at", "finished_at"),
                    ("next_check", "lease_until", "lease_token", "lost_leases"),
                )
            },
        ),
    )
    readonly_fields = (
        *("attention", "market", "asked_amount", "bound", "price", "filled"),
        *("events", "transactions"),
    )

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Whether this person may start the actions, which change orders though no form does."""
        return request.user.has_perm("orders.change_order")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Order], search_term: str
    ) -> tuple[QuerySet[Order], bool]:
        """Find whole names, which have an index; Django's search would read every row."""
        term = search_term.strip()
        if not term:
            return queryset, False
        signed = OrderTransaction.objects.filter(signature=term).values("order_id")
        found = Q(pk__in=signed) | Q(client_order_id=term)
        with suppress(ValueError):
            found |= Q(pk=UUID(term))
        return queryset.filter(found), False

    @admin.action(description="Cancel", permissions=["operate"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Order]) -> None:
        """Cancel the chosen orders; those that were submitted or have ended are named."""
        for order in queryset:
            try:
                submission.cancel_order(order.pk)
            except submission.NotCancellable as refused:
                text = f"Order {order.pk} is {refused.status} and can no longer be cancelled."
                self.message_user(request, text, messages.WARNING)
            else:
                self.log_change(request, order, "Cancelled.")
                self.message_user(request, f"Order {order.pk} was cancelled.", messages.SUCCESS)

    @admin.action(description="Route and execute now", permissions=["operate"])
    def route_and_execute_now(self, request: HttpRequest, queryset: QuerySet[Order]) -> None:
        """Wake a worker for the chosen orders, without waiting for their next attempt."""
        for order in queryset:
            if order.status in FINAL:
                text = f"Order {order.pk} has ended: it is {order.status}."
                self.message_user(request, text, messages.WARNING)
            elif bell.ring_for(str(order.pk)):
                self.log_change(request, order, "Asked to be routed and executed now.")
                text = f"A worker was asked to carry order {order.pk}."
                self.message_user(request, text, messages.SUCCESS)
            else:
                text = f"Redis does not answer; order {order.pk} is carried when it is due."
                self.message_user(request, text, messages.ERROR)

    @admin.display
    def attention(self, order: Order) -> str:
        return "look at this order" if order.needs_attention else "-"

    @admin.display
    def market(self, order: Order) -> str:
        return f"{order.base}/{order.quote}"

    @admin.display(description="price")
    def price(self, order: Order) -> str:
        return executed_price(order) or "-"

    @admin.display
    def asked_amount(self, order: Order) -> str:
        token_in, token_out = tokens_of(order)
        if order.amount_in is not None:
            return f"{decimal(token_in, order.amount_in)} {token_in.symbol} in"
        return f"{decimal(token_out, order.amount_out)} {token_out.symbol} out"

    @admin.display
    def bound(self, order: Order) -> str:
        token_in, token_out = tokens_of(order)
        if order.min_out is not None:
            return f"at least {decimal(token_out, order.min_out)} {token_out.symbol}"
        if order.max_in is not None:
            return f"at most {decimal(token_in, order.max_in)} {token_in.symbol}"
        return "-"

    @admin.display
    def filled(self, order: Order) -> str:
        if order.filled_in is None:
            return "-"
        token_in, token_out = tokens_of(order)
        paid, got = decimal(token_in, order.filled_in), decimal(token_out, order.filled_out)
        return f"{paid} {token_in.symbol} -> {got} {token_out.symbol}"

    # Composite primary keys keep these two from being inlines.
    @admin.display
    def events(self, order: Order) -> SafeString:
        rows = [
            (
                *(event.seq, timestamp(event.at), event.status, event.attempt, event.message),
                json.dumps(event.data, indent=1, ensure_ascii=False),
            )
            for event in order.events.order_by("seq")
        ]
        cells = (
            "<td>{}</td>" * 5 + "<td><details><summary>data</summary><pre>{}</pre></details></td>"
        )
        return table(("seq", "at", "status", "attempt", "message", ""), cells, rows)

    @admin.display
    def transactions(self, order: Order) -> SafeString:
        rows = [
            (
                *(sent.attempt, timestamp(sent.created_at), sent.expires_at_height),
                sent.outcome or "may still land",
                timestamp(sent.settled_at) if sent.settled_at else "-",
                sent.signature,
            )
            for sent in order.transactions.order_by("attempt")
        ]
        headers = ("attempt", "signed", "expires at height", "outcome", "settled", "signature")
        cells = "<td>{}</td>" * 5 + '<td style="word-break: break-all">{}</td>'
        return table(headers, cells, rows)


def table(headers: tuple[str, ...], cells: str, rows: list[tuple[Any, ...]]) -> SafeString:
    """Return an HTML table; `cells` is a row's markup with a place for each value."""
    head = format_html_join("", "<th>{}</th>", ((header,) for header in headers))
    body = format_html_join("", f"<tr>{cells}</tr>", rows)
    return format_html("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>", head, body)
