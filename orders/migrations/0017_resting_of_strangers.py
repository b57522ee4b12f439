"""How many anonymous orders of one sender rest is counted without looking at those of others."""

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("orders", "0016_watches_of_pools")]
    operations = [
        migrations.AddIndex(
            model_name="order",
            index=models.Index(
                fields=["sender"],
                name="orders_resting_of_stranger",
                condition=Q(resting=True, owner=None),
            ),
        ),
    ]
