"""Who halted trading, when and why is written once; operators find what rests, newest first.

Market orders are in no index for what rests, on all of their way.
"""

from django.db import migrations, models
from django.db.models import Q

FORWARD = """
CREATE TRIGGER trading_states_are_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON trading_states
FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();
"""
BACKWARD = "DROP TRIGGER trading_states_are_kept ON trading_states;"


class Migration(migrations.Migration):
    dependencies = [("orders", "0014_price_minutes")]
    operations = [
        migrations.RunSQL(FORWARD, BACKWARD),
        migrations.AddIndex(
            model_name="order",
            index=models.Index(
                fields=["-created_at", "-id"],
                name="orders_resting_newest",
                condition=Q(resting=True),
            ),
        ),
    ]
