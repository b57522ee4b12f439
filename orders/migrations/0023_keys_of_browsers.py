"""A browser without an account has a space of idempotency keys of its own.

Such a key begins with its space, and is kept once. Accounts' keys are as before.
"""

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("orders", "0022_failures_of_a_wallet")]

    operations = [
        migrations.RemoveConstraint(model_name="order", name="orders_keys_have_owner"),
        migrations.AddConstraint(
            model_name="order",
            constraint=models.UniqueConstraint(
                fields=["idempotency_key"],
                name="orders_browser_key_once",
                condition=Q(owner__isnull=True, idempotency_key__isnull=False),
            ),
        ),
        migrations.AddConstraint(
            model_name="order",
            constraint=models.CheckConstraint(
                name="orders_keys_have_space",
                condition=Q(owner__isnull=False)
                | Q(client_order_id=None)
                & (Q(idempotency_key=None) | Q(idempotency_key__regex="^[0-9a-f]{32} ")),
            ),
        ),
    ]
