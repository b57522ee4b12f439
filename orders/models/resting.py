"""What orders that rest wait for, and the prices that they are compared with.

These tables are made by hand in their migration: they are narrow, their indexes hold what is
compared, and a tick must not touch a row of an order that does not fire.
"""

from django.db import models


class OrderGroup(models.Model):
    """Two orders of which at most one is on its way, and at most one fills (OCO)."""

    id = models.UUIDField(primary_key=True)
    owner_id = models.IntegerField(null=True)
    live_order = models.UUIDField(null=True)
    """The order that is on its way; null: both rest."""
    ended_at = models.DateTimeField(null=True)

    class Meta:
        managed = False
        db_table = "order_groups"

    def __str__(self) -> str:
        return str(self.id)


class Watch(models.Model):
    """What one resting order waits for. The columns are explained in `orders.terms.watch`."""

    order_id = models.UUIDField(primary_key=True)
    pair = models.TextField()
    line = models.CharField(max_length=1)
    kind = models.CharField(max_length=1)
    act = models.CharField(max_length=1)
    held = models.BooleanField()
    trail_bps = models.IntegerField(null=True)
    owner_id = models.IntegerField(null=True)
    from_tick = models.BigIntegerField()
    armed_tick = models.BigIntegerField(null=True)
    queued_at = models.DateTimeField()
    check_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField()
    group_id = models.UUIDField(null=True)
    wake_price = models.DecimalField(max_digits=60, decimal_places=20, null=True)

    class Meta:
        managed = False
        db_table = "watches"

    def __str__(self) -> str:
        return f"{self.order_id} on {self.pair}"


class PriceTick(models.Model):
    """The prices of one pair in one second (unix seconds): the last, the lowest, the highest."""

    pk = models.CompositePrimaryKey("pair", "tick")
    pair = models.TextField()
    tick = models.BigIntegerField()
    bid = models.DecimalField(max_digits=60, decimal_places=20, null=True)
    ask = models.DecimalField(max_digits=60, decimal_places=20, null=True)
    reference = models.DecimalField(max_digits=60, decimal_places=20, null=True)
    bid_low = models.DecimalField(max_digits=60, decimal_places=20, null=True)
    bid_high = models.DecimalField(max_digits=60, decimal_places=20, null=True)
    ask_low = models.DecimalField(max_digits=60, decimal_places=20, null=True)
    ask_high = models.DecimalField(max_digits=60, decimal_places=20, null=True)
    reference_low = models.DecimalField(max_digits=60, decimal_places=20, null=True)
    reference_high = models.DecimalField(max_digits=60, decimal_places=20, null=True)
    venues = models.JSONField(null=True)
    """By venue: `bid` and `ask` as text, for the chart."""

    class Meta:
        managed = False
        db_table = "price_ticks"

    def __str__(self) -> str:
        return f"{self.pair} at {self.tick}"
