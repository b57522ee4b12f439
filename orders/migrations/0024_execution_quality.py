"""How well orders were executed: a table of its own, and an index that finds what has ended.

The index holds ended orders alone: an order comes into it with its last move, which writes to
other indexes too.
"""

from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0023_keys_of_browsers"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="ExecutionQuality",
            fields=[
                ("order_id", models.UUIDField(primary_key=True, serialize=False)),
                ("owner_id", models.IntegerField(blank=True, null=True)),
                ("finished_at", models.DateTimeField()),
                ("status", models.CharField(max_length=16)),
                ("market", models.CharField(max_length=33)),
                ("side", models.CharField(max_length=4)),
                ("venue", models.CharField(blank=True, max_length=32, null=True)),
                ("took", models.FloatField()),
                (
                    "arrival_price",
                    models.DecimalField(blank=True, decimal_places=20, max_digits=60, null=True),
                ),
                ("arrival", models.BigIntegerField(blank=True, null=True)),
                ("at_spot", models.BigIntegerField(blank=True, null=True)),
                ("at_price", models.BigIntegerField(blank=True, null=True)),
                ("quoted", models.BigIntegerField(blank=True, null=True)),
                ("other", models.BigIntegerField(blank=True, null=True)),
                ("other_venue", models.CharField(blank=True, max_length=32, null=True)),
                (
                    "vs_quote_bps",
                    models.DecimalField(blank=True, decimal_places=2, max_digits=30, null=True),
                ),
                (
                    "vs_other_bps",
                    models.DecimalField(blank=True, decimal_places=2, max_digits=30, null=True),
                ),
                (
                    "worth",
                    models.DecimalField(blank=True, decimal_places=6, max_digits=40, null=True),
                ),
                (
                    "vs_quote_worth",
                    models.DecimalField(blank=True, decimal_places=6, max_digits=40, null=True),
                ),
                (
                    "vs_other_worth",
                    models.DecimalField(blank=True, decimal_places=6, max_digits=40, null=True),
                ),
            ],
            options={
                "verbose_name_plural": "execution quality",
                "db_table": "execution_quality",
            },
        ),
        migrations.AddIndex(
            model_name="order",
            index=models.Index(
                condition=models.Q(("finished_at__isnull", False)),
                fields=["finished_at"],
                name="orders_ended",
            ),
        ),
        migrations.AddIndex(
            model_name="executionquality",
            index=models.Index(fields=["finished_at"], name="quality_by_time"),
        ),
        migrations.AddIndex(
            model_name="executionquality",
            index=models.Index(
                condition=models.Q(("owner_id__isnull", False)),
                fields=["owner_id", "finished_at"],
                name="quality_of_owner",
            ),
        ),
        migrations.AddConstraint(
            model_name="executionquality",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("arrival", None), ("at_price", None), ("at_spot", None)),
                    models.Q(
                        ("arrival__isnull", False),
                        ("at_price__isnull", False),
                        ("at_spot__isnull", False),
                        ("quoted__isnull", False),
                    ),
                    _connector="OR",
                ),
                name="quality_chain_is_whole",
            ),
        ),
    ]
