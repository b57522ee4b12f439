"""Accounts, which stay for as long as there are orders of theirs."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest

from orders.models import Order

admin.site.unregister(User)


@admin.register(User)
class AccountAdmin(UserAdmin):  # type: ignore[type-arg]  # not generic at run time
    def get_deleted_objects(self, objs: Sequence[Any] | QuerySet[Any], request: HttpRequest) -> Any:
        """Say that an account has orders; Django would read them all, and name each."""
        kept = [user for user in objs if Order.objects.filter(owner=user).exists()]
        if not kept:
            return super().get_deleted_objects(objs, request)
        told = [f"Orders of the account {user}. Make it inactive instead." for user in kept]
        return [], {}, set(), told
