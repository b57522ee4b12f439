"""What `manage.py release` does to the log of a database that came from a dump.

The events of a dump have transaction ids of the cluster it was made of. Beside those of another one
they would mean nothing, so they are taken away. Those events are read by their orders, as ever.
"""

from django.db import connection, transaction

from orders.streams.account_log import NOW

IS_STRANGE = f"SELECT cluster IS DISTINCT FROM numbered FROM ({NOW}) AS now"  # noqa: S608  # our own words
# A column that is new has no value anywhere, and costs nothing: no row is written.
RENUMBER = f"""
LOCK TABLE order_events IN ACCESS EXCLUSIVE MODE;
ALTER TABLE order_events DROP COLUMN xid;
ALTER TABLE order_events ADD COLUMN xid xid8;
ALTER TABLE order_events ALTER COLUMN xid SET DEFAULT pg_current_xact_id();
CREATE INDEX order_events_of_owner ON order_events (owner_id, xid) WHERE owner_id IS NOT NULL;
DELETE FROM transaction_numbering;
INSERT INTO transaction_numbering SELECT now.cluster FROM ({NOW}) AS now;
"""  # noqa: S608


def renumber() -> bool:
    """Begin the numbers of the log's transactions anew if they are another cluster's.

    :raises django.db.Error: nothing was changed.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(IS_STRANGE)
        if not cursor.fetchone()[0]:
            return False
        cursor.execute(RENUMBER)
    return True
