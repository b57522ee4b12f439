"""The transition table as a trigger, and room on the orders' pages for their moves.

The pairs are frozen here as they were; `tests/orders/test_lifecycle.py` compares what the
database enforces with `orders/lifecycle.py`.
"""

from django.db import migrations

PAIRS = (
    "('building','cancelled'),('building','expired'),('building','failed'),('building','pending'),"
    "('building','submitted'),('pending','cancelled'),('pending','expired'),('pending','routing'),"
    "('routing','building'),('routing','cancelled'),('routing','expired'),('routing','failed'),"
    "('routing','pending'),('submitted','confirmed'),('submitted','failed'),('submitted','pending')"
)

# The condition is evaluated without calling the function, so that a legal move costs next to
# nothing. `seq` counts moves: it may not stand still, jump, or go on without one.
FORWARD = f"""
CREATE FUNCTION refuse_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'order % may not go from % (seq %) to % (seq %)',
    OLD.id, OLD.status, OLD.seq, NEW.status, NEW.seq USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER orders_transitions BEFORE UPDATE ON orders FOR EACH ROW
WHEN (
  OLD.status IS DISTINCT FROM NEW.status
    AND ((OLD.status, NEW.status) NOT IN ({PAIRS}) OR NEW.seq <> OLD.seq + 1)
  OR OLD.status = NEW.status AND NEW.seq <> OLD.seq
)
EXECUTE FUNCTION refuse_transition();
CREATE FUNCTION refuse_deletion() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'orders are history and are never deleted' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER orders_are_kept BEFORE DELETE ON orders FOR EACH STATEMENT
EXECUTE FUNCTION refuse_deletion();
ALTER TABLE orders SET (fillfactor = 60);
"""

BACKWARD = """
ALTER TABLE orders RESET (fillfactor);
DROP TRIGGER orders_are_kept ON orders;
DROP FUNCTION refuse_deletion();
DROP TRIGGER orders_transitions ON orders;
DROP FUNCTION refuse_transition();
"""


class Migration(migrations.Migration):
    dependencies = [("orders", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
