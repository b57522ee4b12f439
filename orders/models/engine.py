"""What the engine keeps about itself: starts, processes, and whether it trades."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q, Value
from django.db.models.functions import Now


class OrderStart(models.Model):
    """How many orders one claim started, for the limit of orders a minute."""

    at = models.DateTimeField()
    orders = models.PositiveIntegerField()
    senders = ArrayField(models.BigIntegerField(), db_default=Value("{}"))

    class Meta:
        db_table = "order_starts"
        indexes = [models.Index(fields=["at"], name="order_starts_at")]

    def __str__(self) -> str:
        return f"{self.orders} at {self.at}"


class Heartbeat(models.Model):
    """When a process of the engine last said that it lives, and what it had counted by then."""

    process = models.CharField(primary_key=True, max_length=200)
    kind = models.CharField(max_length=16)
    seen_at = models.DateTimeField(db_default=Now())
    counts = models.JSONField(db_default={})

    class Meta:
        db_table = "heartbeats"

    def __str__(self) -> str:
        return f"{self.kind} {self.process}"


class TradingState(models.Model):
    """One change of whether the engine trades; the newest row holds. Without any it is active."""

    class State(models.TextChoices):
        ACTIVE = "active"
        HALTED = "halted"

    state = models.CharField(max_length=8, choices=State.choices)
    changed_by = models.CharField(max_length=150)
    why = models.TextField(blank=True)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "trading_states"
        constraints = (
            models.CheckConstraint(
                name="trading_states_known", condition=Q(state__in=["active", "halted"])
            ),
        )

    def __str__(self) -> str:
        return f"{self.state} since {self.at:%Y-%m-%d %H:%M:%S} UTC"


class EngineMinute(models.Model):
    """What the engine did in one minute, for the operators' page. It is written once."""

    minute = models.BigIntegerField(primary_key=True)
    """The unix second at which it began."""
    figures = models.JSONField()
    totals = models.JSONField(null=True, blank=True)
    """Of the newest minute alone: what each process had counted since it started."""

    class Meta:
        db_table = "engine_minutes"

    def __str__(self) -> str:
        return f"the minute from {self.minute}"


class SeenOrder(models.Model):
    """Who has looked at an order that needed a person's attention."""

    order_id = models.UUIDField(primary_key=True)
    seen_by = models.CharField(max_length=150)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "seen_orders"

    def __str__(self) -> str:
        return f"{self.order_id} by {self.seen_by}"
