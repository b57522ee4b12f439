"""What the wallet has signed for, what it holds, and orders that it refused."""

from importlib import import_module

import django.db.models.functions.datetime
from django.db import migrations, models

failures = import_module("orders.migrations.0022_failures_of_a_wallet")

CODES = "'internal_error', 'worker_lost'"
MORE = "'internal_error', 'wallet_refused', 'worker_lost'"
BACKWARD = failures.FORWARD
FORWARD = BACKWARD.replace(CODES, MORE)


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0025_minutes_and_who_has_seen"),
    ]

    operations = [
        migrations.RunSQL(FORWARD, BACKWARD),
        migrations.CreateModel(
            name="WalletSighting",
            fields=[
                ("address", models.CharField(max_length=44, primary_key=True, serialize=False)),
                ("network", models.CharField(max_length=64)),
                ("lamports", models.BigIntegerField()),
                ("atoms", models.JSONField()),
                (
                    "seen_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
            ],
            options={
                "db_table": "wallet_sightings",
            },
        ),
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
                    ("wallet_refused", "Wallet Refused"),
                    ("worker_lost", "Worker Lost"),
                    ("expired", "Expired"),
                ],
                max_length=32,
                null=True,
            ),
        ),
        migrations.CreateModel(
            name="WalletDay",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "wallet",
                        "day",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("wallet", models.CharField(max_length=44)),
                ("day", models.DateField()),
                ("value", models.BigIntegerField()),
            ],
            options={
                "db_table": "wallet_days",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("value__gte", 0)), name="wallet_days_from_zero"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="WalletReservation",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("wallet", models.CharField(max_length=44)),
                ("day", models.DateField()),
                ("value", models.BigIntegerField()),
                ("signature", models.CharField(max_length=128, null=True, unique=True)),
            ],
            options={
                "db_table": "wallet_reservations",
                "indexes": [
                    models.Index(fields=["wallet", "day"], name="wallet_reservations_of_day")
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("value__gte", 0)), name="wallet_reservations_positive"
                    )
                ],
            },
        ),
    ]
