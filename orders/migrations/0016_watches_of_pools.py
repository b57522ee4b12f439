"""Who waits for a pool of a pair is found without looking at who waits for its prices."""

from django.db import migrations

FORWARD = """
CREATE INDEX watches_pool ON watches (pair, queued_at, order_id) WHERE kind = 'p' AND NOT held;
"""
BACKWARD = "DROP INDEX watches_pool;"


class Migration(migrations.Migration):
    dependencies = [("orders", "0015_trading_states_are_kept")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
