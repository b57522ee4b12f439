"""An event knows its account and its transaction, so that an account's log can be read whole.

Events from before have neither: they are read by their orders, as ever. `transaction_numbering`
names the cluster whose numbers these are. A dump that was restored elsewhere has numbers of another
one (`manage.py release` takes them away).
"""

from django.db import migrations, models

FORWARD = """
ALTER TABLE order_events ADD COLUMN xid xid8;
ALTER TABLE order_events ALTER COLUMN xid SET DEFAULT pg_current_xact_id();
CREATE INDEX order_events_of_owner ON order_events (owner_id, xid) WHERE owner_id IS NOT NULL;
CREATE TABLE transaction_numbering (
  cluster text PRIMARY KEY
);
INSERT INTO transaction_numbering SELECT system_identifier FROM pg_control_system();
"""
BACKWARD = """
DROP TABLE transaction_numbering;
DROP INDEX order_events_of_owner;
ALTER TABLE order_events DROP COLUMN xid;
"""


class Migration(migrations.Migration):
    dependencies = [("orders", "0017_resting_of_strangers")]
    operations = [
        migrations.AddField(
            model_name="orderevent",
            name="owner_id",
            field=models.IntegerField(blank=True, null=True),
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
