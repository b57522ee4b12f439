"""What the wallet has signed for, and what it was last seen to hold."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class WalletDay(models.Model):
    """The value that a wallet has signed for on one day (UTC), in atoms of USDC."""

    pk = models.CompositePrimaryKey("wallet", "day")
    wallet = models.CharField(max_length=44)
    day = models.DateField()
    value = models.BigIntegerField()

    class Meta:
        db_table = "wallet_days"
        constraints = (
            models.CheckConstraint(name="wallet_days_from_zero", condition=Q(value__gte=0)),
        )

    def __str__(self) -> str:
        return f"{self.wallet} on {self.day}"


class WalletReservation(models.Model):
    """The part of a day's value that belongs to one transaction whose end is not known."""

    wallet = models.CharField(max_length=44)
    day = models.DateField()
    value = models.BigIntegerField()
    signature = models.CharField(max_length=128, null=True, unique=True)  # noqa: DJ001
    """None: it may have been signed, and nothing else learned of it."""

    class Meta:
        db_table = "wallet_reservations"
        indexes = [models.Index(fields=["wallet", "day"], name="wallet_reservations_of_day")]
        constraints = (
            models.CheckConstraint(name="wallet_reservations_positive", condition=Q(value__gte=0)),
        )

    def __str__(self) -> str:
        return f"{self.value} on {self.day}"


class WalletSighting(models.Model):
    """What a wallet held when a worker last looked, as the network's nodes told."""

    address = models.CharField(max_length=44, primary_key=True)
    network = models.CharField(max_length=64)
    """Such as `mainnet`, or `local cluster`."""
    lamports = models.BigIntegerField()
    """At its own address: what pays fees."""
    atoms = models.JSONField()
    """By mint, as text: what its token accounts hold."""
    seen_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "wallet_sightings"

    def __str__(self) -> str:
        return self.address
