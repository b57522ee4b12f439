"""API keys for operators: a new one is shown once, an old one is revoked and never changed."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html

from orders.accounts import create_api_key, revoke_api_keys
from orders.models import ApiKey


@admin.register(ApiKey)
class ApiKeyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    list_display = ("prefix", "owner", "name", "created_at", "expires_at", "standing")
    list_select_related = ("owner",)
    search_fields = ("prefix", "name", "owner__username")
    fields = ("owner", "name", "expires_at")
    autocomplete_fields = ("owner",)
    actions = ("revoke",)

    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return False

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("orders.change_apikey")

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        """Make the key, and show its secret this once."""
        key, secret = create_api_key(obj.owner, obj.name, obj.expires_at)
        obj.pk, obj.prefix, obj.digest = key.pk, key.prefix, key.digest
        text = format_html("Keep this key, it cannot be shown again: <code>{}</code>", secret)
        self.message_user(request, text, messages.WARNING)

    @admin.action(description="Revoke", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        """Revoke the chosen keys; open sockets are closed within seconds."""
        keys = list(queryset.filter(revoked_at=None))
        revoke_api_keys(queryset)
        for key in keys:
            self.log_change(request, key, "Revoked.")
        self.message_user(request, f"{len(keys)} keys were revoked.", messages.SUCCESS)

    @admin.display
    def standing(self, key: ApiKey) -> str:
        if key.revoked_at:
            return "revoked"
        if key.expires_at and key.expires_at <= timezone.now():
            return "expired"
        return "holds"
