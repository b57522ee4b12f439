"""An event knows its account and its transaction, so that an account's log can be read whole.

Events from before have neither: they are read by their orders, as ever. `transaction_numbering`
names the database whose numbers these are. A restored dump has numbers of another one
(`manage.py release` takes them away).
"""

from django.db import migrations, models

FORWARD = """
ALTER TABLE order_events ADD COLUMN xid xid8;
ALTER TABLE order_events ALTER COLUMN xid SET DEFAULT pg_current_xact_id();
CREATE INDEX order_events_of_owner ON order_events (owner_id, xid) WHERE owner_id IS NOT NULL;
CREATE TABLE transaction_numbering (
  database text PRIMARY KEY
);
INSERT INTO transaction_numbering
SELECT (SELECT system_identifier FROM pg_control_system()) || '/'
  || (SELECT oid FROM pg_database WHERE datname = current_database());
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
