"""The simulated network's ledger. Written by `routing.ledger`, read by whoever wants to count."""

from django.db import models
from django.db.models import Q


class NetworkTransaction(models.Model):
    """A transaction the simulated network took; what becomes of it was decided when it was sent."""

    signature = models.TextField(primary_key=True)
    expires_at_height = models.BigIntegerField()
    sent_at = models.DateTimeField()
    lands_at = models.DateTimeField(null=True)
    """When it lands, or landed; null: never."""
    amount_in = models.BigIntegerField(null=True)
    amount_out = models.BigIntegerField(null=True)
    rejection = models.TextField(default="", blank=True)
    """The code it lands with instead of swapping anything; empty: it swaps."""

    class Meta:
        db_table = "simulated_network_transactions"
        constraints = [
            models.CheckConstraint(
                name="network_transaction_swaps_or_is_rejected",
                condition=Q(rejection="", amount_in__gt=0, amount_out__gt=0)
                | (~Q(rejection="") & Q(amount_in=None, amount_out=None)),
            ),
        ]

    def __str__(self) -> str:
        return self.signature
