"""Indexes for what operators look for among all orders: what failed, and what is flagged.

No move of an order but the last one touches the columns of their conditions, so moves stay on
their page (HOT updates). The client's own id comes first in its constraint, so that it is found
without an owner, too.
"""

from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0002_transitions"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        migrations.CreateModel(
            name="TransactionBySignature",
            fields=[
                (
                    "signature",
                    models.CharField(max_length=128, primary_key=True, serialize=False),
                ),
                ("attempt", models.PositiveIntegerField()),
                ("expires_at_height", models.BigIntegerField()),
                ("outcome", models.CharField(blank=True, max_length=16, null=True)),
                ("created_at", models.DateTimeField()),
                ("settled_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "verbose_name": "transaction",
                "db_table": "order_transactions",
                "ordering": ("-order_id", "-attempt"),
                "managed": False,
            },
        ),
        migrations.AddIndex(
            model_name="order",
            index=models.Index(
                fields=["-created_at", "-id"],
                name="orders_failed",
                condition=models.Q(("failure_code__isnull", False)),
            ),
        ),
        migrations.AddIndex(
            model_name="order",
            index=models.Index(
                fields=["-created_at", "-id"],
                name="orders_needing_attention",
                condition=models.Q(("needs_attention", True)),
            ),
        ),
        migrations.RemoveConstraint(model_name="order", name="orders_client_order_id_once"),
        migrations.AddConstraint(
            model_name="order",
            constraint=models.UniqueConstraint(
                fields=("client_order_id", "owner"),
                name="orders_client_order_id_once",
                condition=models.Q(("client_order_id__isnull", False)),
            ),
        ),
    ]
