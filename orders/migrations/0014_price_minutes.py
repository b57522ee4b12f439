"""The prices of each pair in each minute, which are kept for longer than ticks."""

from django.db import migrations

TABLE = """
CREATE TABLE price_minutes (
  pair text, minute bigint,
  bid_first numeric, bid_low numeric, bid_high numeric, bid_last numeric,
  ask_first numeric, ask_low numeric, ask_high numeric, ask_last numeric,
  reference_first numeric, reference_low numeric, reference_high numeric, reference_last numeric,
  PRIMARY KEY (pair, minute),
  CONSTRAINT price_minutes_are_whole CHECK (minute % 60 = 0)
);
CREATE INDEX price_minutes_by_time ON price_minutes (minute);
"""


class Migration(migrations.Migration):
    dependencies = [("orders", "0013_orders_that_wait")]
    operations = [migrations.RunSQL(TABLE, "DROP TABLE price_minutes")]
