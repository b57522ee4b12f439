"""One commit may make two moves: from `routing` through `building` to `submitted`.

Its two events count, so `seq` grows by two. All other pairs stay as migration 2 has them.
"""

from importlib import import_module

from django.db import migrations

PAIRS = import_module("orders.migrations.0002_transitions").PAIRS

TRIGGER = f"""
DROP TRIGGER orders_transitions ON orders;
CREATE TRIGGER orders_transitions BEFORE UPDATE ON orders FOR EACH ROW
WHEN (
  OLD.status IS DISTINCT FROM NEW.status
    AND ((OLD.status, NEW.status) NOT IN ({PAIRS}) OR NEW.seq <> OLD.seq + 1)
    {{at_once}}
  OR OLD.status = NEW.status AND NEW.seq <> OLD.seq
)
EXECUTE FUNCTION refuse_transition();
"""
AT_ONCE = """
    AND NOT (OLD.status = 'routing' AND NEW.status = 'submitted' AND NEW.seq = OLD.seq + 2)
"""


class Migration(migrations.Migration):
    dependencies = [("orders", "0011_keys_scopes_and_use")]
    operations = [migrations.RunSQL(TRIGGER.format(at_once=AT_ONCE), TRIGGER.format(at_once=""))]
