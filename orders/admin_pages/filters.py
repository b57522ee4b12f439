"""The filters of the lists. Their choices are known; Django would look for them in all rows.

A filter that `reads_an_index` finds its orders wherever they are. The others look through the
newest orders (`orders/admin_pages/bounded_list.py`).
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.auth.models import User
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_naive, make_aware

from orders.lifecycle import ACTIVE, Status
from orders.models import BEGUN, WAITING, FailureCode, OrderTransaction
from orders.words import OrderType, Phase
from routing.registry import registry
from routing.venue import Side
from routing.venues import LABELS

UNDER_WAY = "under_way"
MOST_ACCOUNTS = 20  # that are choices


class ChoiceFilter(admin.SimpleListFilter):
    """Filters by a column whose values are known. An unknown value is refused."""

    choice_labels: Mapping[str, str]
    indexed: ClassVar[frozenset[str]] = frozenset()
    """The values whose `condition` an index can answer."""
    part: ClassVar[Q | None] = None
    """Which orders can have any of the values, if an index finds these newest first."""

    def condition(self, value: str) -> Q:
        return Q(**{str(self.parameter_name): value})

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(self.choice_labels.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if value is None:
            return queryset
        if value not in self.choice_labels:
            raise IncorrectLookupParameters(f"{self.parameter_name}={value}")
        return queryset.filter(self.condition(value))

    @property
    def reads_an_index(self) -> bool:
        return self.value() in self.indexed


class StatusFilter(ChoiceFilter):
    """By status. Orders that have not ended, and failed ones, have indexes of their own.

    The conditions name them.
    """

    title = parameter_name = "status"
    choice_labels = {
        UNDER_WAY: "under way (waits or is carried)",
        **{status.value: status.value for status in Status},
        Status.OPEN.value: "open (rests)",
    }
    indexed = frozenset({UNDER_WAY, Status.FAILED.value, *(status.value for status in ACTIVE)})

    def condition(self, value: str) -> Q:
        match value:
            case "under_way":
                return WAITING | BEGUN
            case Status.OPEN:
                return Q(resting=True)
            case Status.PENDING:
                return Q(status=value) & (WAITING | BEGUN)
            case Status.FAILED:
                return Q(status=value, failure_code__isnull=False)
        return Q(status=value) & BEGUN if value in ACTIVE else Q(status=value)


class OwnerFilter(ChoiceFilter):
    """By account, named by its id. The first accounts are choices; links name any."""

    title, parameter_name = "account", "owner"
    NOBODY = "none"

    @property
    def choice_labels(self) -> Mapping[str, str]:  # type: ignore[override]  # accounts are added
        names = User.objects.order_by("username").values_list("pk", "username")
        labels = {str(pk): name for pk, name in names[:MOST_ACCOUNTS]}
        asked = self.used_parameters.get("owner", "")
        if str(asked).isdecimal() and asked not in labels:
            labels |= {str(pk): name for pk, name in names.filter(pk=asked)}
        return {self.NOBODY: "nobody signed in"} | labels

    def condition(self, value: str) -> Q:
        if value == self.NOBODY:
            return Q(owner=None)
        return Q(owner=int(value), owner__isnull=False)

    @property
    def reads_an_index(self) -> bool:
        return self.value() not in (None, self.NOBODY)


class VenueFilter(ChoiceFilter):
    title = parameter_name = "venue"
    choice_labels = LABELS


class MarketFilter(ChoiceFilter):
    """By market; SOL and WSOL are one asset."""

    title = parameter_name = "market"

    @property
    def choice_labels(self) -> Mapping[str, str]:  # type: ignore[override]  # markets are added
        return {market.name: market.name for market in registry().markets}

    def condition(self, value: str) -> Q:
        known = registry()
        market = next(market for market in known.markets if market.name == value)
        base, quote = (
            [token.symbol for token in known.tokens if token.same_asset_as(side)]
            for side in (market.base, market.quote)
        )
        return Q(base__in=base, quote__in=quote)


class SideFilter(ChoiceFilter):
    title = parameter_name = "side"
    choice_labels = {side.value: side.value for side in Side}


class TypeFilter(ChoiceFilter):
    title = parameter_name = "type"
    choice_labels = {type_.value: type_.value for type_ in OrderType}


class PhaseFilter(ChoiceFilter):
    """By what an order that rests does."""

    title = parameter_name = "phase"
    choice_labels = {phase.value: phase.value for phase in Phase}
    part = Q(resting=True)

    def condition(self, value: str) -> Q:
        return Q(phase=value) & Q(resting=True)


class AttemptsFilter(ChoiceFilter):
    title = parameter_name = "attempts"
    choice_labels = {"0": "none yet", "1": "one", "2": "two", "3": "three or more"}

    def condition(self, value: str) -> Q:
        return Q(attempts__gte=3) if value == "3" else Q(attempts=int(value))


class FailureFilter(ChoiceFilter):
    title = "failure code"
    parameter_name = "failure_code"
    choice_labels = {code: code for code in FailureCode.values}
    indexed = frozenset(choice_labels)

    def condition(self, value: str) -> Q:
        return Q(failure_code=value, failure_code__isnull=False)


class AttentionFilter(ChoiceFilter):
    title = "needs attention"
    parameter_name = "attention"
    choice_labels = {"yes": "yes", "no": "no"}
    indexed = frozenset({"yes"})

    def condition(self, value: str) -> Q:
        return Q(needs_attention=value == "yes")


class LeaseFilter(ChoiceFilter):
    """Orders that a lost worker carried, and that no worker has taken up yet."""

    title = parameter_name = "lease"
    choice_labels = {"expired": "expired", "held": "held"}
    indexed = frozenset(choice_labels)

    def condition(self, value: str) -> Q:
        is_held = Q(lease_until__gte=Now())
        return BEGUN & (is_held if value == "held" else Q(lease_until__lt=Now()))


class OutcomeFilter(ChoiceFilter):
    title = parameter_name = "outcome"
    choice_labels = {"none": "may still land"} | {
        outcome.value: outcome.value for outcome in OrderTransaction.Outcome
    }

    def condition(self, value: str) -> Q:
        return Q(outcome=None) if value == "none" else Q(outcome=value)


class CreatedFilter(admin.ListFilter):
    """By the time at which the order came: since a while ago, or between two times."""

    title = parameter_name = "created"
    template = "admin/orders/order/created_filter.html"
    spans: ClassVar[dict[str, tuple[str, timedelta]]] = {
        "minute": ("last minute", timedelta(minutes=1)),
        "hour": ("last hour", timedelta(hours=1)),
        "day": ("last 24 hours", timedelta(days=1)),
        "week": ("last 7 days", timedelta(days=7)),
    }

    def __init__(
        self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any
    ) -> None:
        super().__init__(request, params, model, model_admin)
        for name in self.expected_parameters():
            if name in params:
                self.used_parameters[name] = params.pop(name)[-1]

    reads_an_index = True

    def has_output(self) -> bool:
        return True

    def expected_parameters(self) -> list[str | None]:
        return ["created", "created_from", "created_until"]

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        """Yield the choice "any time" with the values of the template's form, then the spans."""
        chosen = self.used_parameters.get("created")
        names = self.expected_parameters()
        others = [
            (name, value)
            for name, values in changelist.filter_params.items()
            if name not in names and not name.startswith("created_at__")
            for value in values
        ]
        yield {
            "selected": not self.used_parameters,
            "query_string": changelist.get_query_string(remove=names),
            "display": "any time",
            "from": self.used_parameters.get("created_from", ""),
            "until": self.used_parameters.get("created_until", ""),
            "others": others,
        }
        for name, (label, _) in self.spans.items():
            query = changelist.get_query_string({"created": name}, names)
            yield {"selected": chosen == name, "query_string": query, "display": label}

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if span := self.used_parameters.get("created"):
            if span not in self.spans:
                raise IncorrectLookupParameters(f"created={span}")
            queryset = queryset.filter(created_at__gt=Now() - self.spans[span][1])
        if begin := self._time("created_from"):
            queryset = queryset.filter(created_at__gte=begin)
        if end := self._time("created_until"):
            queryset = queryset.filter(created_at__lt=end)
        return queryset

    def _time(self, name: str) -> datetime | None:
        """:raises IncorrectLookupParameters: it is no time. A time without a zone is UTC."""
        text = str(self.used_parameters.get(name, ""))
        if not text:
            return None
        try:
            time = parse_datetime(text)
        except ValueError:
            time = None
        if time is None:
            raise IncorrectLookupParameters(f"{name}={text}")
        return make_aware(time) if is_naive(time) else time


SAVED = (
    ("Under way", {"status": UNDER_WAY}),
    ("Failed in the last hour", {"status": Status.FAILED.value, "created": "hour"}),
    ("Needs attention", {"attention": "yes"}),
    ("Lease ended", {"status": UNDER_WAY, "lease": "expired"}),
    ("Resting", {"status": Status.OPEN.value}),
    ("Triggered, not filled", {"status": Status.OPEN.value, "phase": Phase.LATCHED.value}),
    ("Several attempts today", {"attempts": "3", "created": "day"}),
)
"""What operators look for again and again: names and filters, as links on the list."""
