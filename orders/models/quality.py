"""How well an order was executed. Written once, after its end (`orders.quality.measuring`)."""

from typing import Any

from django.db import models
from django.db.models import Q


def atoms_field() -> "models.BigIntegerField[Any, Any]":
    return models.BigIntegerField(null=True, blank=True)


def worth_field() -> "models.DecimalField[Any, Any]":
    """Return a column for an amount in USDC."""
    return models.DecimalField(max_digits=40, decimal_places=6, null=True, blank=True)


def bps_field() -> "models.DecimalField[Any, Any]":
    return models.DecimalField(max_digits=30, decimal_places=2, null=True, blank=True)


class ExecutionQuality(models.Model):
    """One order that ended. Slices are counted, the TWAP that made them is not.

    Amounts are atoms of the token in which the venues compete: the output of an order with a fixed
    input, the input of one with a fixed output. Only a filled order has them.
    """

    order_id = models.UUIDField(primary_key=True)
    owner_id = models.IntegerField(null=True, blank=True)
    finished_at = models.DateTimeField()
    status = models.CharField(max_length=16)
    market = models.CharField(max_length=33)
    side = models.CharField(max_length=4)
    venue = models.CharField(max_length=32, null=True, blank=True)  # noqa: DJ001  # unset is not ""
    took = models.FloatField()
    """Seconds from its acceptance, or its last release, to its end."""

    arrival_price = models.DecimalField(max_digits=60, decimal_places=20, null=True, blank=True)
    """The market's reference in the second of acceptance, quote per base."""
    arrival = atoms_field()
    """What that price would have made of the given amount."""
    at_spot = atoms_field()
    """What the chosen venues' price before the swap would have."""
    at_price = atoms_field()
    """What their price for this amount would have, before fees."""
    quoted = atoms_field()
    other = atoms_field()
    """What the runner-up offered; of a split the best single venue."""
    other_venue = models.CharField(max_length=32, null=True, blank=True)  # noqa: DJ001
    vs_quote_bps = bps_field()
    vs_other_bps = bps_field()

    worth = worth_field()
    """The order's size, by the fill, or of an order without one by the reference prices."""
    vs_quote_worth = worth_field()
    vs_other_worth = worth_field()

    class Meta:
        db_table = "execution_quality"
        verbose_name_plural = "execution quality"
        indexes = (
            models.Index(fields=["finished_at"], name="quality_by_time"),
            models.Index(
                fields=["owner_id", "finished_at"],
                name="quality_of_owner",
                condition=Q(owner_id__isnull=False),
            ),
        )
        constraints = (
            models.CheckConstraint(
                name="quality_chain_is_whole",
                condition=Q(arrival=None, at_spot=None, at_price=None)
                | Q(
                    arrival__isnull=False,
                    at_spot__isnull=False,
                    at_price__isnull=False,
                    quoted__isnull=False,
                ),
            ),
        )

    def __str__(self) -> str:
        return f"{self.order_id} {self.status}"
