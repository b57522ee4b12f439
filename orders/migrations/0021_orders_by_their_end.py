"""An order is found by the end of its id, which is what pages show of it.

Six characters, so that an entry has sixteen bytes.
"""

from django.db import migrations, models
from django.db.models.functions import Cast, Right


class Migration(migrations.Migration):
    dependencies = [("orders", "0020_ticks_of_what_is_held")]
    operations = [
        migrations.AddIndex(
            model_name="order",
            index=models.Index(Right(Cast("id", models.TextField()), 6), name="orders_by_end"),
        ),
    ]
