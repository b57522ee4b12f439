"""Rows that operators may see and never edit, in lists that stay quick."""

from functools import cached_property
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest

MOST_COUNTED = 10_000  # rows; to find more, an operator narrows the list


class BoundedPaginator(Paginator):  # type: ignore[type-arg]  # not generic at run time
    """Counts only as many rows as people page through. A whole large table would take seconds."""

    @cached_property
    def count(self) -> int:
        return min(self._counted, MOST_COUNTED)

    @property
    def has_more(self) -> bool:
        """Whether there are more rows than were counted."""
        return self._counted > MOST_COUNTED

    @cached_property
    def _counted(self) -> int:
        # The order is kept, so that PostgreSQL walks the list's index and not the whole table.
        rows: Any = self.object_list
        return int(rows[: MOST_COUNTED + 1].count())


class InIndexOrder(ChangeList):
    """A list in the order of its index. Another order from the URL would sort all rows."""

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        return list(self.model_admin.get_ordering(request) or self._get_default_ordering())  # type: ignore[attr-defined]  # missing in the stubs


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    """Shows rows and changes none. Each kind of row has one writer, which is not the admin."""

    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # they would count the table once for each choice
    sortable_by = ()
    list_per_page = 50

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return InIndexOrder

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False
