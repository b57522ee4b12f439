"""What is stored of an order: the order, its log of events, its transactions.

Rows are written by `orders/engine/journal.py` alone; what must always hold is a constraint here,
and the table of `orders/lifecycle.py` is a trigger of the first migration.
"""

import uuid
from typing import Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q, Value
from django.db.models.functions import Now

from orders.lifecycle import FINAL, Status

MAX_SLIPPAGE_BPS = 5000
FINAL_VALUES = sorted(status.value for status in FINAL)

# IS_WAITING and IS_BEGUN in Django's language.
WAITING = Q(finished_at=None, started_at=None)
BEGUN = Q(finished_at=None, started_at__isnull=False)


class FailureCode(models.TextChoices):
    SLIPPAGE_EXCEEDED = "slippage_exceeded"
    INSUFFICIENT_LIQUIDITY = "insufficient_liquidity"
    PRICE_IMPACT_TOO_HIGH = "price_impact_too_high"
    VENUES_UNAVAILABLE = "venues_unavailable"
    UNSUPPORTED_TOKEN = "unsupported_token"  # noqa: S105  # a code
    NETWORK_REJECTED = "network_rejected"
    NEVER_LANDED = "never_landed"
    WORKER_LOST = "worker_lost"
    EXPIRED = "expired"


class OrderQuerySet(models.QuerySet["Order"]):
    def visible_to(self, owner: int | None) -> Self:
        """Return the orders of an account, and the anonymous ones."""
        return self.filter(Q(owner=None) | Q(owner=owner))


class Order(models.Model):
    """One order; amounts are atoms of the token they are paid in."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, db_index=False
    )
    client_order_id = models.CharField(max_length=64, null=True, blank=True)  # noqa: DJ001  # unset is not ""
    idempotency_key = models.CharField(max_length=255, null=True, blank=True)  # noqa: DJ001
    type = models.CharField(max_length=16, default="market")
    side = models.CharField(max_length=4)
    base = models.CharField(max_length=16)
    quote = models.CharField(max_length=16)
    amount_in = models.BigIntegerField(null=True, blank=True)
    amount_out = models.BigIntegerField(null=True, blank=True)
    slippage_bps = models.PositiveIntegerField()
    constraints = models.JSONField(null=True, blank=True)

    status = models.CharField(max_length=16, default=Status.PENDING.value)
    seq = models.PositiveIntegerField(default=1)
    attempts = models.PositiveIntegerField(default=0)

    # Who takes turns with whom: the account, or a stranger's number
    # (`orders.access.admission.sender_of`).
    sender = models.BigIntegerField(db_default=0, editable=False)
    turn = models.BigIntegerField(db_default=0, editable=False)

    lease_token = models.BigIntegerField(default=0)
    lease_until = models.DateTimeField(null=True, blank=True)
    next_check = models.DateTimeField(db_default=Now())
    lost_leases = models.PositiveIntegerField(default=0)
    needs_attention = models.BooleanField(default=False)

    venue = models.CharField(max_length=32, null=True, blank=True)  # noqa: DJ001
    min_out = models.BigIntegerField(null=True, blank=True)
    max_in = models.BigIntegerField(null=True, blank=True)
    signature = models.CharField(max_length=128, null=True, blank=True)  # noqa: DJ001
    filled_in = models.BigIntegerField(null=True, blank=True)
    filled_out = models.BigIntegerField(null=True, blank=True)
    failure_code = models.CharField(  # noqa: DJ001
        max_length=32, null=True, blank=True, choices=FailureCode.choices
    )
    failure_reason = models.TextField(null=True, blank=True)  # noqa: DJ001

    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = OrderQuerySet.as_manager()

    class Meta:
        db_table = "orders"
        ordering = ("-created_at", "-id")
        indexes = (
            # `finished_at` and not `status` says what is open, so that the moves in between
            # change no indexed column and stay on their page (HOT updates).
            models.Index(
                fields=["turn", "next_check", "id"],
                name="orders_in_line",
                condition=WAITING,
            ),
            models.Index(
                fields=["sender", "turn"],
                name="orders_of_sender",
                # All turns are. A query for the line does not say so: without statistics the
                # planner would rather read this index whole, and sort.
                condition=WAITING & Q(turn__gte=0),
            ),
            models.Index(
                fields=["next_check", "id"],
                name="orders_begun",
                condition=BEGUN,
            ),
            models.Index(fields=["-created_at", "-id"], name="orders_newest"),
            # What operators look for among all orders. No move but the last touches these columns.
            models.Index(
                fields=["-created_at", "-id"],
                name="orders_failed",
                condition=Q(failure_code__isnull=False),
            ),
            models.Index(
                fields=["-created_at", "-id"],
                name="orders_needing_attention",
                condition=Q(needs_attention=True),
            ),
            models.Index(
                fields=["owner", "-created_at", "-id"],
                name="orders_of_owner",
                condition=Q(owner__isnull=False),
            ),
        )
        constraints = (
            models.UniqueConstraint(
                fields=["client_order_id", "owner"],  # so that an operator finds it without owner
                name="orders_client_order_id_once",
                condition=Q(client_order_id__isnull=False),
            ),
            models.UniqueConstraint(
                fields=["owner", "idempotency_key"],
                name="orders_idempotency_key_once",
                condition=Q(idempotency_key__isnull=False),
            ),
            models.CheckConstraint(
                name="orders_keys_have_owner",  # strangers must not share a space of keys
                condition=Q(owner__isnull=False) | Q(idempotency_key=None, client_order_id=None),
            ),
            models.CheckConstraint(
                name="orders_status_known",
                condition=Q(status__in=[status.value for status in Status]),
            ),
            models.CheckConstraint(name="orders_type_known", condition=Q(type="market")),
            models.CheckConstraint(name="orders_side_known", condition=Q(side__in=["buy", "sell"])),
            models.CheckConstraint(
                name="orders_one_amount",
                condition=Q(amount_in__isnull=False, amount_in__gt=0, amount_out=None)
                | Q(amount_in=None, amount_out__isnull=False, amount_out__gt=0),
            ),
            models.CheckConstraint(
                name="orders_slippage_in_range", condition=Q(slippage_bps__lte=MAX_SLIPPAGE_BPS)
            ),
            models.CheckConstraint(
                name="orders_one_bound",
                condition=(Q(min_out=None) | Q(amount_in__isnull=False, min_out__gte=0))
                & (Q(max_in=None) | Q(amount_out__isnull=False, max_in__gt=0)),
            ),
            models.CheckConstraint(
                name="orders_final_is_finished",
                condition=Q(status__in=FINAL_VALUES, finished_at__isnull=False, lease_until=None)
                | (~Q(status__in=FINAL_VALUES) & Q(finished_at=None)),
            ),
            models.CheckConstraint(
                name="orders_confirmed_has_fill",
                condition=Q(
                    status="confirmed",
                    signature__isnull=False,
                    venue__isnull=False,
                    filled_in__isnull=False,  # a comparison with NULL would pass
                    filled_in__gt=0,
                    filled_out__isnull=False,
                    filled_out__gt=0,
                )
                | (~Q(status="confirmed") & Q(filled_in=None, filled_out=None)),
            ),
            models.CheckConstraint(
                name="orders_failed_has_code",
                condition=Q(
                    status="failed",
                    failure_code__isnull=False,
                    failure_code__in=FailureCode.values,
                )
                | ~Q(status="failed"),
            ),
            models.CheckConstraint(
                name="orders_submitted_is_signed",
                condition=Q(signature__isnull=False) | ~Q(status="submitted"),
            ),
        )

    def __str__(self) -> str:
        return f"{self.side} {self.base}/{self.quote} {self.id}"


class OrderEvent(models.Model):
    """One line of an order's log; `seq` starts at 1 and has no gap."""

    pk = models.CompositePrimaryKey("order_id", "seq")
    # No foreign key in the database, which would look the order up again for every event: rows
    # come from the statement that writes the order, and a trigger forbids to delete orders.
    order = models.ForeignKey(
        Order, models.CASCADE, related_name="events", db_index=False, db_constraint=False
    )
    seq = models.PositiveIntegerField()
    status = models.CharField(max_length=16)
    attempt = models.PositiveIntegerField()
    message = models.TextField()
    data = models.JSONField()
    at = models.DateTimeField()

    class Meta:
        db_table = "order_events"
        ordering = ("order_id", "seq")
        constraints = (
            models.CheckConstraint(name="order_events_seq_from_one", condition=Q(seq__gte=1)),
            models.CheckConstraint(
                name="order_events_status_known",
                condition=Q(status__in=[status.value for status in Status]),
            ),
        )

    def __str__(self) -> str:
        return f"{self.order_id}:{self.seq} {self.status}"


class OrderTransaction(models.Model):
    """A signed transaction, stored before its first send; at most one of an order can land."""

    class Outcome(models.TextChoices):
        LANDED = "landed"
        REJECTED = "rejected"
        EXPIRED = "expired"

    pk = models.CompositePrimaryKey("order_id", "attempt")
    order = models.ForeignKey(
        Order, models.CASCADE, related_name="transactions", db_index=False, db_constraint=False
    )
    attempt = models.PositiveIntegerField()
    signature = models.CharField(max_length=128)
    payload = models.BinaryField()
    expires_at_height = models.BigIntegerField()
    outcome = models.CharField(  # noqa: DJ001  # null: it may still land
        max_length=16, null=True, blank=True, choices=Outcome.choices
    )
    created_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "order_transactions"
        constraints = (
            models.UniqueConstraint(fields=["signature"], name="order_transactions_signature_once"),
            models.UniqueConstraint(
                fields=["order"],
                name="order_transactions_one_may_land",
                condition=Q(outcome=None) | Q(outcome="landed"),
            ),
            models.CheckConstraint(
                name="order_transactions_settled",
                condition=Q(outcome=None, settled_at=None)
                | Q(
                    outcome__isnull=False,  # NULL would pass the comparison below
                    outcome__in=["landed", "rejected", "expired"],
                    settled_at__isnull=False,
                ),
            ),
        )

    def __str__(self) -> str:
        return self.signature


class TransactionBySignature(models.Model):
    """`OrderTransaction` by its other key: the admin lists nothing whose key has two columns."""

    signature = models.CharField(max_length=128, primary_key=True)
    order = models.ForeignKey(
        Order, models.DO_NOTHING, related_name="+", db_index=False, db_constraint=False
    )
    attempt = models.PositiveIntegerField()
    expires_at_height = models.BigIntegerField()
    outcome = models.CharField(max_length=16, null=True, blank=True)  # noqa: DJ001
    created_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        managed = False
        db_table = "order_transactions"
        ordering = ("-order_id", "-attempt")
        verbose_name = "transaction"

    def __str__(self) -> str:
        return self.signature


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


class ApiKey(models.Model):
    """A secret that lets a program act for an account. Only its digest is kept.

    `addresses` are the networks from which it may be used, none: from anywhere. `seen_from` are the
    addresses it was used from, the newest first; an IPv6 one stands for its /64.
    """

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100, blank=True)
    prefix = models.CharField(max_length=32, unique=True, editable=False)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    may_read = models.BooleanField(default=True, db_default=True)
    may_trade = models.BooleanField(default=True, db_default=True)
    addresses = models.JSONField(default=list, db_default=[], blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_from = models.CharField(max_length=45, db_default="", blank=True, editable=False)
    seen_from = models.JSONField(db_default=[], blank=True, editable=False)
    rotated_from = models.OneToOneField(
        "self", models.SET_NULL, null=True, blank=True, related_name="successor", editable=False
    )

    class Meta:
        db_table = "api_keys"
        ordering = ("-created_at", "-id")
        verbose_name = "API key"
        constraints = (
            models.CheckConstraint(
                condition=Q(may_read=True) | Q(may_trade=True), name="api_keys_may_something"
            ),
        )

    def __str__(self) -> str:
        return f"{self.prefix}…"


class SocketTicket(models.Model):
    """Opens one WebSocket, once and soon, for the credential that asked for it."""

    digest = models.CharField(max_length=64, primary_key=True)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    api_key = models.ForeignKey(
        ApiKey, models.CASCADE, null=True, blank=True, related_name="+", db_index=False
    )
    session_key = models.CharField(max_length=40, null=True, blank=True)  # noqa: DJ001
    proof = models.CharField(max_length=64, null=True, blank=True)  # noqa: DJ001
    expires_at = models.DateTimeField()

    class Meta:
        db_table = "socket_tickets"

    def __str__(self) -> str:
        return f"for account {self.owner_id}"
