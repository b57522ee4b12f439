"""The processes of the engine: which of them live, and what each uses."""

from typing import Any

from django.contrib import admin
from django.db.models import DateTimeField, Func, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from orders.admin_pages.wording import ago, bytes_text, span_text
from orders.models import Heartbeat
from orders.monitoring.processes import ALIVE, SILENT, STUCK, Process
from routing.admin import ReadOnlyAdmin

TONES = {ALIVE: "confirmed", STUCK: "failed", SILENT: "failed"}


class StatementTime(Func):
    """The database's time, by which heartbeats are written."""

    function = "statement_timestamp"
    output_field = DateTimeField()


def process_of(row: Any) -> Process:
    heard = (row.now - row.seen_at).total_seconds()
    return Process(row.process, row.kind, heard, row.counts)


@admin.register(Heartbeat)
class HeartbeatAdmin(ReadOnlyAdmin):
    """Silent processes first. Each row tells what `orders.monitoring.processes` reads of it."""

    list_display = (
        *("process", "kind", "state", "heard", "up", "release", "cpu", "memory", "work"),
        *("requests", "warnings"),
    )
    fields = ("process", "kind", "seen_at", "counts")
    ordering = ("seen_at", "process")

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return super().changelist_view(request, {"title": "Processes", **(extra_context or {})})

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        timed: QuerySet[Any] = rows.annotate(now=StatementTime())
        return timed

    @admin.display
    def state(self, row: Heartbeat) -> SafeString:
        state = process_of(row).state
        return format_html('<span class="status status-{}">{}</span>', TONES[state], state)

    @admin.display
    def heard(self, row: Heartbeat) -> str:
        return ago(process_of(row).heard_seconds)

    @admin.display
    def up(self, row: Heartbeat) -> str:
        up = process_of(row).up_seconds
        return "-" if up is None else span_text(up)

    @admin.display
    def release(self, row: Heartbeat) -> str:
        return process_of(row).release or "-"

    @admin.display(description="CPU")
    def cpu(self, row: Heartbeat) -> str:
        share = process_of(row).cpu_percent
        return "-" if share is None else f"{share:.0f} %"

    @admin.display
    def memory(self, row: Heartbeat) -> str:
        return bytes_text(process_of(row).memory)

    @admin.display
    def work(self, row: Heartbeat) -> str:
        return process_of(row).load_text

    @admin.display
    def requests(self, row: Heartbeat) -> str:
        return f"{process_of(row).requests:,}" if row.kind == "web" else "-"

    @admin.display
    def warnings(self, row: Heartbeat) -> str:
        return f"{process_of(row).warnings:,}"
