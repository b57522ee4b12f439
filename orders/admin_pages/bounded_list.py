"""Lists whose queries read a bounded number of rows, however many the table has.

Most filters have no index, because each index would slow down every order. Such a filter looks
through only the newest rows, `REACH` of them, and the page says so. Filters with an index are
applied first. So a range of time, or "failed", reaches back as far as it needs to.
"""

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest

from routing.admin import InIndexOrder

REACH = 100_000  # rows
REACH_APART = 20_000  # rows of a sparse index: they lie apart, and each costs a page


class BoundedReach(InIndexOrder):
    """A list in the order of `reach_field`, newest first. It reaches back to `floor` at most."""

    reach_field = "created_at"
    floor: Any = None
    """The value of `reach_field` at which looking stopped; None if nothing is left out."""
    matching: QuerySet[Any]
    """All rows that the filters show, with those out of reach."""
    along: QuerySet[Any]
    """A part of the index that has all of `matching`, for reading it in pieces."""

    @property
    def reach(self) -> int:
        specs: list[Any] = self.filter_specs
        is_narrowed = any(
            (spec.reads_an_index or spec.part) and spec.value()
            for spec in specs
            if spec.parameter_name != "created"
        )
        return min(REACH, REACH_APART) if is_narrowed else REACH

    def get_filters(self, request: HttpRequest) -> Any:
        specs = super().get_filters(request)
        # What the URL asks for besides the filters; mostly days of the date hierarchy.
        lookups: Any = specs[2]
        self._lookups = {name: values[-1] for name, values in lookups.items()}
        return specs

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        self.matching = super().get_queryset(request, exclude_parameters)
        if self.query or self._reads_an_index():  # an index finds what is searched for
            self.along = self.matching
            return self.matching
        self.along = self._narrowed_by_index(request)
        self.floor = self.along.values_list(self.reach_field, flat=True)[self.reach :].first()
        if self.floor is None:
            return self.matching
        return self.matching.filter(**{f"{self.reach_field}__gte": self.floor})

    def _reads_an_index(self) -> bool:
        specs: list[Any] = self.filter_specs
        active = [spec for spec in specs if any(spec.used_parameters.values())]
        return all(spec.reads_an_index for spec in active) and all(
            self._is_range(name) for name in self._lookups
        )

    def _narrowed_by_index(self, request: HttpRequest) -> QuerySet[Any]:
        rows = self.root_queryset
        specs: list[Any] = self.filter_specs
        for spec in specs:
            if spec.reads_an_index:
                rows = spec.queryset(request, rows)
            elif spec.part and spec.value():
                rows = rows.filter(spec.part)
        ranges = {name: value for name, value in self._lookups.items() if self._is_range(name)}
        return rows.filter(**ranges).order_by(*self.get_ordering(request, rows))

    def _is_range(self, lookup: str) -> bool:
        return lookup in (f"{self.reach_field}__gte", f"{self.reach_field}__lt")
