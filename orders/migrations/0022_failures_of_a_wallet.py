"""Orders fail because the wallet lacks what they need, and because of a fault of our own."""

from importlib import import_module

from django.db import migrations, models

short = import_module("orders.migrations.0019_short_conditions")

CODES = "'never_landed', 'worker_lost', 'expired'"
MORE = "'never_landed', 'insufficient_funds', 'internal_error', 'worker_lost', 'expired'"
BACKWARD = short.ENDS.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")
FORWARD = BACKWARD.replace(CODES, MORE)


class Migration(migrations.Migration):
    dependencies = [("orders", "0021_orders_by_their_end")]

    operations = [
        migrations.RunSQL(FORWARD, BACKWARD),
        migrations.AlterField(
            model_name="order",
            name="failure_code",
            field=models.CharField(
                blank=True,
                choices=[
                    ("slippage_exceeded", "Slippage Exceeded"),
                    ("insufficient_liquidity", "Insufficient Liquidity"),
                    ("price_impact_too_high", "Price Impact Too High"),
                    ("venues_unavailable", "Venues Unavailable"),
                    ("unsupported_token", "Unsupported Token"),
                    ("network_rejected", "Network Rejected"),
                    ("never_landed", "Never Landed"),
                    ("insufficient_funds", "Insufficient Funds"),
                    ("internal_error", "Internal Error"),
                    ("worker_lost", "Worker Lost"),
                    ("expired", "Expired"),
                ],
                max_length=32,
                null=True,
            ),
        ),
    ]
