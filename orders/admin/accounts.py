"""Accounts. An account stays as long as it has orders."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest

from config.http.security_log import tell
from orders.models import Order

admin.site.unregister(User)


@admin.register(User)
class AccountAdmin(UserAdmin):  # type: ignore[type-arg]  # not generic at run time
    readonly_fields = ("last_login", "date_joined")  # what happened is not edited
    filter_horizontal = ()  # plain lists, whose labels everybody can read

    def get_deleted_objects(self, objs: Sequence[Any] | QuerySet[Any], request: HttpRequest) -> Any:
        """Say that an account has orders. Django would read them all and name each."""
        users = [user for user in objs if Order.objects.filter(owner=user).exists()]
        if not users:
            return super().get_deleted_objects(objs, request)
        texts = [f"Orders of the account {user}. Make it inactive instead." for user in users]
        return [], {}, set(), texts

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        tell_of_change(request, obj, "made")
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Write to the log what was changed. A new password comes through here, too."""
        tell_of_change(request, obj, fields_in(message))
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        for account in queryset:
            tell_of_change(request, account, "deleted")
        return super().log_deletions(request, queryset)


def tell_of_change(request: HttpRequest, account: Any, changed: str) -> None:
    by = f"operator {request.user.pk}"
    tell("account_changed", request, account=account.pk, by=by, changed=changed)


def fields_in(message: Any) -> str:
    """Return the names of the fields in Django's message about a change."""
    if isinstance(message, str):
        return message
    return ", ".join(
        field
        for entry in message
        for details in entry.values()
        for field in details.get("fields", ())
    )
