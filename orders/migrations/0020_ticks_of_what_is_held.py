"""Whose pair needs prices although no price fires it is found without reading all that rests."""

from django.db import migrations

FORWARD = """
CREATE INDEX watches_followed ON watches (pair)
  WHERE kind = 'c' AND NOT held OR kind = 't' AND held;
"""
BACKWARD = "DROP INDEX watches_followed;"


class Migration(migrations.Migration):
    dependencies = [("orders", "0019_short_conditions")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
