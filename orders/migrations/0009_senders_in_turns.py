"""Who sent an order, and its place in the line of those that wait.

Columns with constant defaults cost no rewrite. What waits already is put in line, sender by sender;
who sent what no account did is not known any more, so these are taken for one sender's.
"""

import django.contrib.postgres.fields
from django.db import migrations, models

WAITING = models.Q(finished_at=None, started_at=None)
PUT_IN_LINE = """
UPDATE orders SET sender = coalesce(owner_id, 0), turn = line.turn
FROM (
  SELECT id, row_number() OVER (PARTITION BY owner_id ORDER BY next_check, id) AS turn
  FROM orders WHERE finished_at IS NULL AND started_at IS NULL
) AS line
WHERE orders.id = line.id
"""


class Migration(migrations.Migration):
    dependencies = [("orders", "0008_price_impact_code")]
    operations = [
        migrations.AddField(
            model_name="order",
            name="sender",
            field=models.BigIntegerField(db_default=0, editable=False),
        ),
        migrations.AddField(
            model_name="order",
            name="turn",
            field=models.BigIntegerField(db_default=0, editable=False),
        ),
        migrations.AddField(
            model_name="orderstart",
            name="senders",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.BigIntegerField(), db_default=models.Value("{}"), size=None
            ),
        ),
        migrations.RunSQL(PUT_IN_LINE, migrations.RunSQL.noop),
        migrations.RemoveIndex(model_name="order", name="orders_waiting"),
        migrations.AddIndex(
            model_name="order",
            index=models.Index(
                fields=["turn", "next_check", "id"], name="orders_in_line", condition=WAITING
            ),
        ),
        migrations.AddIndex(
            model_name="order",
            index=models.Index(
                fields=["sender", "turn"],
                name="orders_of_sender",
                condition=models.Q(finished_at=None, started_at=None, turn__gte=0),
            ),
        ),
    ]
