"""History is written once: what was asked for, what happened, and what was sent.

Conditions are looked at before a function is called, and the triggers of `orders` name the columns
that they keep, so a move of an order pays for none of them but the comparison of `finished_at`.
"""

from django.db import migrations

ASKED = (
    "id, owner_id, client_order_id, idempotency_key, type, side, base, quote, amount_in,"
    " amount_out, slippage_bps, constraints"
)
ENDED = (
    "status, venue, min_out, max_in, signature, filled_in, filled_out, failure_code,"
    " failure_reason, started_at, finished_at"
)
SENT = "order_id, attempt, signature, payload, expires_at_height, created_at"


def changed(columns: str) -> str:
    """Return the condition that a row's columns are no more what they were."""
    names = columns.split(", ")
    old, new = (", ".join(f"{row}.{name}" for name in names) for row in ("OLD", "NEW"))
    return f"({old}) IS DISTINCT FROM ({new})"


FORWARD = f"""
CREATE FUNCTION refuse_rewriting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' AND current_setting('engine.pruning', true) = 'on' THEN
    RETURN NULL;  -- of a statement's trigger: go on
  END IF;
  RAISE EXCEPTION '% of % is refused: history is written once', TG_OP, TG_TABLE_NAME
    USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER orders_keep_what_was_asked BEFORE UPDATE OF {ASKED} ON orders
FOR EACH ROW WHEN ({changed(ASKED)}) EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER orders_with_an_end_keep_it BEFORE UPDATE OF {ENDED} ON orders
FOR EACH ROW WHEN (OLD.finished_at IS NOT NULL AND {changed(ENDED)})
EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER orders_are_not_emptied BEFORE TRUNCATE ON orders
FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();

CREATE TRIGGER order_events_are_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON order_events
FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();

CREATE TRIGGER order_transactions_settle_once BEFORE UPDATE ON order_transactions
FOR EACH ROW WHEN (OLD.outcome IS NOT NULL OR NEW.outcome IS NULL OR {changed(SENT)})
EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER order_transactions_are_kept BEFORE DELETE OR TRUNCATE ON order_transactions
FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();
"""

BACKWARD = """
DROP TRIGGER order_transactions_are_kept ON order_transactions;
DROP TRIGGER order_transactions_settle_once ON order_transactions;
DROP TRIGGER order_events_are_kept ON order_events;
DROP TRIGGER orders_are_not_emptied ON orders;
DROP TRIGGER orders_with_an_end_keep_it ON orders;
DROP TRIGGER orders_keep_what_was_asked ON orders;
DROP FUNCTION refuse_rewriting();
"""


class Migration(migrations.Migration):
    dependencies = [("orders", "0009_senders_in_turns")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
