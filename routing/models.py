"""The simulated network: its ledger and the pools it swaps in. Written by `routing.ledger`."""

from django.db import models
from django.db.models import Q


class NetworkTransaction(models.Model):
    """A transaction the simulated network took; it awaits its landing if it has no outcome yet."""

    signature = models.TextField(primary_key=True)
    expires_at_height = models.BigIntegerField()
    sent_at = models.DateTimeField()
    lands_at = models.DateTimeField(null=True)
    """When it lands, or landed; null: never."""
    amount_in = models.BigIntegerField(null=True)
    amount_out = models.BigIntegerField(null=True)
    rejection = models.TextField(default="", blank=True)
    """The code it landed with instead of swapping anything; empty: it swaps, or awaits landing."""
    network_fee = models.BigIntegerField(null=True)
    """Lamports that it cost, or will cost."""
    payload = models.TextField(default="", blank=True)
    """What to execute, of one that was recorded before it landed."""

    class Meta:
        db_table = "simulated_network_transactions"
        constraints = [
            models.CheckConstraint(
                name="network_transaction_has_one_outcome",
                condition=Q(rejection="", amount_in__gt=0, amount_out__gt=0)
                | (~Q(rejection="") & Q(amount_in=None, amount_out=None))
                | (~Q(payload="") & Q(amount_in=None, amount_out=None)),
            ),
        ]
        indexes = [
            models.Index(
                "lands_at",
                "signature",
                name="network_transaction_awaits",
                condition=Q(amount_out=None, rejection="", lands_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.signature


class SimulatedPool(models.Model):
    """One venue's pool of one market, as the last landing left it; since then it follows prices."""

    venue = models.TextField()
    base = models.TextField()
    """The mint of the pool's x, the market's base token."""
    quote = models.TextField()
    kind = models.TextField()
    state = models.JSONField()
    """As `routing.simulated_pool` writes it."""
    tick = models.BigIntegerField()
    """The unix second up to which it has followed its market."""
    version = models.BigIntegerField()
    """One more with each write."""

    class Meta:
        db_table = "simulated_pools"
        constraints = [
            models.UniqueConstraint(
                fields=["venue", "base", "quote"], name="simulated_pool_of_venue_and_market"
            ),
            models.CheckConstraint(
                name="simulated_pool_is_of_a_known_kind",
                condition=Q(kind__in=["constant_product", "liquidity_bins"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.venue} {self.base}/{self.quote}"


class SimulatedSeed(models.Model):
    """The one seed of an unseeded simulation, so that all processes see the same prices."""

    id = models.SmallIntegerField(primary_key=True)
    seed = models.TextField()

    class Meta:
        db_table = "simulated_seeds"
        constraints = [models.CheckConstraint(name="simulated_seed_is_one", condition=Q(id=1))]

    def __str__(self) -> str:
        return self.seed
