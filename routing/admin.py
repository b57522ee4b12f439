"""The simulated network's ledger, for operators to look at."""

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from routing.models import NetworkTransaction


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    """Shows rows and changes none: each kind has one writer, and that is not the admin."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(NetworkTransaction)
class NetworkTransactionAdmin(ReadOnlyAdmin):
    list_display = ("signature", "sent_at", "lands_at", "amount_in", "amount_out", "rejection")
    search_fields = ("signature__exact",)
