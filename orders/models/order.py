"""An order, its log of events, its transactions.

Rows are written by `orders/engine` alone. What must always hold is a constraint here. The table of
`orders/lifecycle.py` is a trigger.
"""

import uuid
from collections.abc import Iterable
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.expressions import RawSQL
from django.db.models.functions import Cast, Now, Right

from orders.lifecycle import ACTIVE, Status
from orders.words import OrderType

MAX_SLIPPAGE_BPS = 5000
ID_END = 6
"""Characters at the end of an id that an index has. One in 16 million ids has the same."""
ACTIVE_VALUES = [status.value for status in Status if status in ACTIVE]

# IS_WAITING and IS_BEGUN in Django's language.
WAITING = Q(finished_at=None, started_at=None, resting=False)
BEGUN = Q(finished_at=None, started_at__isnull=False, resting=False)


def price_field() -> "models.DecimalField[Any, Any]":
    """Return a column for a price: whole quote tokens for one whole base token."""
    return models.DecimalField(max_digits=60, decimal_places=20, null=True, blank=True)


class FailureCode(models.TextChoices):
    SLIPPAGE_EXCEEDED = "slippage_exceeded"
    INSUFFICIENT_LIQUIDITY = "insufficient_liquidity"
    PRICE_IMPACT_TOO_HIGH = "price_impact_too_high"
    VENUES_UNAVAILABLE = "venues_unavailable"
    UNSUPPORTED_TOKEN = "unsupported_token"  # noqa: S105  # a code
    NETWORK_REJECTED = "network_rejected"
    NEVER_LANDED = "never_landed"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    INTERNAL_ERROR = "internal_error"
    WALLET_REFUSED = "wallet_refused"
    WORKER_LOST = "worker_lost"
    EXPIRED = "expired"


class OrderQuerySet(models.QuerySet["Order"]):
    def visible_to(self, owner: int | None) -> Self:
        """Return the orders of an account, and the anonymous ones."""
        return self.filter(Q(owner=None) | Q(owner=owner))


def one_of(column: str, words: Iterable[str]) -> str:
    """Return the condition, as SQL, that a column has one of these words."""
    return f"{column} = ANY ('{{{','.join(words)}}}'::text[])"


def holds(condition: str) -> RawSQL:
    """Return a condition in SQL, for a constraint."""
    return RawSQL(condition, (), output_field=models.BooleanField())  # noqa: S611  # our own words


# PostgreSQL reads the conditions of a table's constraints anew for each statement that writes to
# it, at about 3 us for 1,000 characters of their stored form. So a list of words is one constant,
# and what only orders with terms must hold, and only ended ones, is in functions (migration 19).
TERMS_HOLD = """
type = 'market' AND slippage_bps IS NOT NULL AND num_nonnulls(terms, limit_price, trigger_price,
  trail_bps, activation_price, time_in_force, slice, attempts_allowed, releases) = 0
OR orders_terms_hold(orders)
"""
END_HOLDS = f"""
CASE WHEN finished_at IS NULL
  THEN {one_of("status", ACTIVE_VALUES)}
    AND (coalesce(filled_in, filled_out) IS NULL OR type = 'twap')
  ELSE orders_end_holds(orders) END
"""


class Order(models.Model):
    """One order; amounts are atoms of the token they are paid in."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, db_index=False
    )
    client_order_id = models.CharField(max_length=64, null=True, blank=True)  # noqa: DJ001  # unset is not ""
    idempotency_key = models.CharField(max_length=255, null=True, blank=True)  # noqa: DJ001
    type = models.CharField(max_length=16, default=OrderType.MARKET.value)
    side = models.CharField(max_length=4)
    base = models.CharField(max_length=16)
    quote = models.CharField(max_length=16)
    amount_in = models.BigIntegerField(null=True, blank=True)
    amount_out = models.BigIntegerField(null=True, blank=True)
    slippage_bps = models.PositiveIntegerField(null=True, blank=True)  # null: a price is its bound
    constraints = models.JSONField(null=True, blank=True)

    # What only some orders ask. All is null of a plain market order, which costs nothing in a row.
    limit_price = price_field()
    trigger_price = price_field()
    trigger_by = models.CharField(max_length=10, null=True, blank=True)  # noqa: DJ001
    trail_bps = models.IntegerField(null=True, blank=True)
    activation_price = price_field()
    time_in_force = models.CharField(max_length=3, null=True, blank=True)  # noqa: DJ001
    expires_at = models.DateTimeField(null=True, blank=True)
    """It ends then if it was not submitted before."""
    terms = models.JSONField(null=True, blank=True)
    """A bracket's exits, the slices of a TWAP, a sniper's pool, as clients write them; {}: none of
    these. Null of a plain market order alone: that is how statements tell it from all others."""
    tags = models.JSONField(null=True, blank=True)

    resting = models.BooleanField(db_default=False)
    """Whether it is `open`. Indexes have this and not the status, which all orders change."""
    phase = models.CharField(max_length=8, null=True, blank=True)  # noqa: DJ001
    triggered_at = models.DateTimeField(null=True, blank=True)
    trigger_tick = models.BigIntegerField(null=True, blank=True)
    rest_until = models.DateTimeField(null=True, blank=True)
    releases = models.IntegerField(null=True, blank=True)
    attempts_allowed = models.IntegerField(null=True, blank=True)
    """Counted over its life, as `attempts` is; null: `ORDER_ATTEMPTS`."""
    group_id = models.UUIDField(null=True, blank=True)
    parent_id = models.UUIDField(null=True, blank=True)
    slice = models.IntegerField(null=True, blank=True)
    cancel_requested = models.BooleanField(null=True, blank=True)
    reason = models.CharField(max_length=16, null=True, blank=True)  # noqa: DJ001
    replaces = models.UUIDField(null=True, blank=True)
    replaced_by = models.UUIDField(null=True, blank=True)

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
            models.Index(Right(Cast("id", models.TextField()), ID_END), name="orders_by_end"),
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
            models.Index(
                fields=["finished_at"],
                name="orders_ended",  # what ended lately; not paid for before an order's last move
                condition=Q(finished_at__isnull=False),
            ),
            # None of these columns changes on a market order's way.
            models.Index(
                fields=["group_id"], name="orders_of_group", condition=Q(group_id__isnull=False)
            ),
            models.Index(
                fields=["owner", "-created_at", "-id"],
                name="orders_resting",
                condition=Q(resting=True),
            ),
            models.Index(
                fields=["-created_at", "-id"],
                name="orders_resting_newest",  # of all accounts, for operators
                condition=Q(resting=True),
            ),
            models.Index(
                fields=["sender"],
                name="orders_resting_of_stranger",  # how many rest of an address
                condition=Q(resting=True, owner=None),
            ),
        )
        constraints = (
            models.UniqueConstraint(
                fields=[
                    "parent_id",
                    "slice",
                ],  # also of exits, which have no slice: null is unlike null
                name="orders_of_parent",
                condition=Q(parent_id__isnull=False),
            ),
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
            models.UniqueConstraint(
                fields=["idempotency_key"],
                name="orders_browser_key_once",
                condition=Q(owner__isnull=True, idempotency_key__isnull=False),
            ),
            models.CheckConstraint(
                name="orders_keys_have_space",  # strangers must not share one
                condition=Q(owner__isnull=False)
                | Q(client_order_id=None)
                & (Q(idempotency_key=None) | Q(idempotency_key__regex="^[0-9a-f]{32} ")),
            ),
            models.CheckConstraint(
                name="orders_resting_is_open", condition=holds("resting = (status = 'open')")
            ),
            models.CheckConstraint(name="orders_terms_hold", condition=holds(TERMS_HOLD)),
            models.CheckConstraint(
                name="orders_side_known", condition=holds(one_of("side", ["buy", "sell"]))
            ),
            models.CheckConstraint(
                name="orders_one_amount",
                condition=holds(
                    "num_nonnulls(amount_in, amount_out) = 1"
                    " AND coalesce(amount_in, amount_out) > 0"
                ),
            ),
            models.CheckConstraint(
                name="orders_slippage_in_range", condition=Q(slippage_bps__lte=MAX_SLIPPAGE_BPS)
            ),
            models.CheckConstraint(
                name="orders_one_bound",
                condition=(Q(min_out=None) | Q(amount_in__isnull=False, min_out__gte=0))
                & (Q(max_in=None) | Q(amount_out__isnull=False, max_in__gt=0)),
            ),
            models.CheckConstraint(name="orders_end_holds", condition=holds(END_HOLDS)),
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
    event = models.CharField(max_length=12, null=True, blank=True)  # noqa: DJ001
    """What happened, if that does not follow from status and seq (`orders.events.Event.name`)."""
    owner_id = models.IntegerField(null=True, blank=True)
    """The order's account. Beside it stands `xid`, the id of the transaction that wrote the event,
    which Django does not know (`orders/streams/account_log.py`)."""

    class Meta:
        db_table = "order_events"
        ordering = ("order_id", "seq")
        constraints = (
            models.CheckConstraint(name="order_events_seq_from_one", condition=Q(seq__gte=1)),
            models.CheckConstraint(
                name="order_events_status_known", condition=holds(one_of("status", Status))
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
