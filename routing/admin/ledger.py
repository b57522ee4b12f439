"""The simulated network's own record of transactions."""

from django.contrib import admin

from routing.admin.read_only import ReadOnlyAdmin
from routing.models import NetworkTransaction


@admin.register(NetworkTransaction)
class NetworkTransactionAdmin(ReadOnlyAdmin):
    list_display = ("signature", "sent_at", "lands_at", "amount_in", "amount_out", "rejection")
    exclude = ("payload",)
    ordering = ("signature",)
    search_fields = ("signature__exact",)
    search_help_text = "A whole signature"
