"""Real pools that are traded in, and venues that were stopped."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import routing.models


class Migration(migrations.Migration):
    dependencies = [
        ("routing", "0008_launched_pools"),
    ]

    operations = [
        migrations.CreateModel(
            name="VenueStop",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("venue", models.CharField(max_length=32)),
                ("why", models.TextField()),
                (
                    "stopped_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                ("resumed_at", models.DateTimeField(null=True)),
                ("resumed_by", models.CharField(blank=True, max_length=150)),
            ],
            options={
                "db_table": "venue_stops",
                "ordering": ("-id",),
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("resumed_at", None)),
                        fields=("venue",),
                        name="venue_stops_one_at_a_time",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("resumed_at", None), ("resumed_by", "")),
                            models.Q(
                                ("resumed_at__isnull", False),
                                models.Q(("resumed_by", ""), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="venue_stops_resumed_by_somebody",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="LivePool",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("venue", models.CharField(max_length=32)),
                (
                    "address",
                    models.CharField(
                        error_messages={"unique": "This pool is in the list."},
                        help_text="Of the pool's own account on Solana, in base58.",
                        max_length=44,
                        unique=True,
                        validators=[routing.models.check_mint],
                    ),
                ),
                (
                    "is_traded",
                    models.BooleanField(
                        default=True,
                        help_text="If not, no route goes through it. A search leaves it so.",
                        verbose_name="traded in",
                    ),
                ),
                ("added_by", models.CharField(max_length=150)),
                (
                    "added_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                (
                    "market",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="routing.market",
                    ),
                ),
            ],
            options={
                "db_table": "live_pools",
                "ordering": ("market", "venue", "id"),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("address__regex", "^[1-9A-HJ-NP-Za-km-z]{32,44}$")),
                        name="live_pools_address_form",
                    )
                ],
            },
        ),
    ]
