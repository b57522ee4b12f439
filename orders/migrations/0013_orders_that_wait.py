"""Orders that wait: their columns, what each watches, the prices it is compared with.

Of a market order all new columns are null, and `resting` is a constant default: no row is
rewritten. The tables of resting orders are made by hand, because they are compared in bulk: see
`orders/engine/triggers`.
"""

from importlib import import_module

from django.conf import settings
from django.db import migrations, models
from django.db.models.functions import Now

PAIRS = import_module("orders.migrations.0002_transitions").PAIRS
AT_ONCE = import_module("orders.migrations.0012_building_and_submitted_at_once").AT_ONCE
changed = import_module("orders.migrations.0010_history").changed

PAIRS_WITH_OPEN = (
    PAIRS + ",('open','pending'),('open','confirmed'),('open','failed'),('open','cancelled'),"
    "('open','expired'),('routing','open'),('building','open'),('submitted','open'),"
    "('submitted','cancelled')"
)
TRANSITIONS = """
DROP TRIGGER orders_transitions ON orders;
CREATE TRIGGER orders_transitions BEFORE UPDATE ON orders FOR EACH ROW
WHEN (
  OLD.status IS DISTINCT FROM NEW.status
    AND ((OLD.status, NEW.status) NOT IN ({pairs}) OR NEW.seq <> OLD.seq + 1)
    {at_once}
  OR OLD.status = NEW.status AND NEW.seq <> OLD.seq {rests}
)
EXECUTE FUNCTION refuse_transition();
"""
RESTS = "AND NOT (OLD.status = 'open' AND NEW.seq = OLD.seq + 1)"

# What can be amended stays as it is, unless the order rests and its log tells of the amendment.
FIXED = (
    "id, owner_id, client_order_id, idempotency_key, type, side, base, quote, constraints,"
    " group_id, parent_id, slice, replaces"
)
AMENDABLE = (
    "amount_in, amount_out, slippage_bps, limit_price, trigger_price, trigger_by, trail_bps,"
    " activation_price, time_in_force, expires_at, terms, tags"
)
ENDED = (
    "status, venue, min_out, max_in, signature, filled_in, filled_out, failure_code,"
    " failure_reason, started_at, finished_at, reason"
)
ASKED_BEFORE = import_module("orders.migrations.0010_history").ASKED
ENDED_BEFORE = import_module("orders.migrations.0010_history").ENDED


def keeping(asked: str, ended: str) -> str:
    """Return the triggers by which an order keeps what was asked, and how it ended."""
    return f"""
DROP TRIGGER orders_keep_what_was_asked ON orders;
CREATE TRIGGER orders_keep_what_was_asked BEFORE UPDATE OF {asked} ON orders
FOR EACH ROW WHEN ({changed(asked)}) EXECUTE FUNCTION refuse_rewriting();
DROP TRIGGER orders_with_an_end_keep_it ON orders;
CREATE TRIGGER orders_with_an_end_keep_it BEFORE UPDATE OF {ended} ON orders
FOR EACH ROW WHEN (OLD.finished_at IS NOT NULL AND {changed(ended)})
EXECUTE FUNCTION refuse_rewriting();
"""


TABLES = """
CREATE TABLE order_groups (
  id uuid PRIMARY KEY, owner_id int, live_order uuid, ended_at timestamptz
);
CREATE TABLE watches (
  order_id uuid PRIMARY KEY, pair text NOT NULL,
  line "char" NOT NULL, kind "char" NOT NULL, act "char" NOT NULL,
  held boolean NOT NULL DEFAULT false, trail_bps int, owner_id int,
  from_tick bigint NOT NULL, armed_tick bigint,
  queued_at timestamptz NOT NULL, check_at timestamptz, expires_at timestamptz NOT NULL,
  group_id uuid, wake_price numeric,
  CONSTRAINT watches_price_if_level CHECK ((kind IN ('<', '>')) <= (wake_price IS NOT NULL)),
  CONSTRAINT watches_trail_is_armed
    CHECK ((kind = 't') <= (trail_bps IS NOT NULL AND armed_tick IS NOT NULL)),
  CONSTRAINT watches_clock_has_time CHECK ((kind = 'c') <= (check_at IS NOT NULL))
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
  autovacuum_vacuum_cost_delay = 0);
CREATE INDEX watches_up ON watches (pair, line, act, wake_price, queued_at, order_id)
  WHERE kind = '>' AND (NOT held OR act = 'a');
CREATE INDEX watches_down ON watches (pair, line, act, wake_price DESC, queued_at, order_id)
  WHERE kind = '<' AND (NOT held OR act = 'a');
CREATE INDEX watches_trail ON watches (pair, line, trail_bps, armed_tick, order_id)
  WHERE kind = 't' AND NOT held;
CREATE INDEX watches_expiry ON watches (expires_at) WHERE NOT held;
CREATE INDEX watches_check ON watches (check_at) WHERE check_at IS NOT NULL AND NOT held;
CREATE INDEX watches_group ON watches (group_id) WHERE group_id IS NOT NULL;
CREATE INDEX watches_owner ON watches (owner_id, order_id) WHERE owner_id IS NOT NULL;

CREATE TABLE price_ticks (
  pair text, tick bigint, bid numeric, ask numeric, reference numeric,
  bid_low numeric, bid_high numeric, ask_low numeric, ask_high numeric,
  reference_low numeric, reference_high numeric, venues jsonb,
  PRIMARY KEY (pair, tick)
);
CREATE INDEX price_ticks_by_time ON price_ticks (tick);
CREATE TABLE price_peaks (
  pair text, line "char", tick bigint, price numeric NOT NULL, PRIMARY KEY (pair, line, tick)
);
CREATE INDEX price_peaks_by_price ON price_peaks (pair, line, price);
CREATE TABLE pair_progress (pair text PRIMARY KEY, evaluated_tick bigint NOT NULL);
"""
NO_TABLES = "DROP TABLE pair_progress, price_peaks, price_ticks, watches, order_groups;"

FORWARD = (
    TABLES
    + TRANSITIONS.format(pairs=PAIRS_WITH_OPEN, at_once=AT_ONCE, rests=RESTS)
    + keeping(FIXED, ENDED)
    + f"""
CREATE TRIGGER orders_amended_only_while_open BEFORE UPDATE OF {AMENDABLE} ON orders
FOR EACH ROW WHEN (
  {changed(AMENDABLE)}
  AND NOT (OLD.status = 'open' AND NEW.status = 'open' AND NEW.seq = OLD.seq + 1)
)
EXECUTE FUNCTION refuse_rewriting();
"""
)
BACKWARD = (
    "DROP TRIGGER orders_amended_only_while_open ON orders;"
    + keeping(ASKED_BEFORE, ENDED_BEFORE)
    + TRANSITIONS.format(pairs=PAIRS, at_once=AT_ONCE, rests="")
    + NO_TABLES
)


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0012_building_and_submitted_at_once"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="OrderGroup",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("owner_id", models.IntegerField(null=True)),
                ("live_order", models.UUIDField(null=True)),
                ("ended_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "order_groups",
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="PriceTick",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "pair",
                        "tick",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("pair", models.TextField()),
                ("tick", models.BigIntegerField()),
                ("bid", models.DecimalField(decimal_places=20, max_digits=60, null=True)),
                ("ask", models.DecimalField(decimal_places=20, max_digits=60, null=True)),
                ("reference", models.DecimalField(decimal_places=20, max_digits=60, null=True)),
                ("bid_low", models.DecimalField(decimal_places=20, max_digits=60, null=True)),
                ("bid_high", models.DecimalField(decimal_places=20, max_digits=60, null=True)),
                ("ask_low", models.DecimalField(decimal_places=20, max_digits=60, null=True)),
                ("ask_high", models.DecimalField(decimal_places=20, max_digits=60, null=True)),
                ("reference_low", models.DecimalField(decimal_places=20, max_digits=60, null=True)),
                (
                    "reference_high",
                    models.DecimalField(decimal_places=20, max_digits=60, null=True),
                ),
                ("venues", models.JSONField(null=True)),
            ],
            options={
                "db_table": "price_ticks",
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="Watch",
            fields=[
                ("order_id", models.UUIDField(primary_key=True, serialize=False)),
                ("pair", models.TextField()),
                ("line", models.CharField(max_length=1)),
                ("kind", models.CharField(max_length=1)),
                ("act", models.CharField(max_length=1)),
                ("held", models.BooleanField()),
                ("trail_bps", models.IntegerField(null=True)),
                ("owner_id", models.IntegerField(null=True)),
                ("from_tick", models.BigIntegerField()),
                ("armed_tick", models.BigIntegerField(null=True)),
                ("queued_at", models.DateTimeField()),
                ("check_at", models.DateTimeField(null=True)),
                ("expires_at", models.DateTimeField()),
                ("group_id", models.UUIDField(null=True)),
                ("wake_price", models.DecimalField(decimal_places=20, max_digits=60, null=True)),
            ],
            options={
                "db_table": "watches",
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="TradingState",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[("active", "Active"), ("halted", "Halted")], max_length=8
                    ),
                ),
                ("changed_by", models.CharField(max_length=150)),
                ("why", models.TextField(blank=True)),
                ("at", models.DateTimeField(db_default=Now())),
            ],
            options={
                "db_table": "trading_states",
            },
        ),
        migrations.RemoveConstraint(
            model_name="order",
            name="orders_status_known",
        ),
        migrations.RemoveConstraint(
            model_name="order",
            name="orders_type_known",
        ),
        migrations.RemoveConstraint(
            model_name="order",
            name="orders_confirmed_has_fill",
        ),
        migrations.RemoveConstraint(
            model_name="orderevent",
            name="order_events_status_known",
        ),
        migrations.RemoveIndex(
            model_name="order",
            name="orders_begun",
        ),
        migrations.RemoveIndex(
            model_name="order",
            name="orders_in_line",
        ),
        migrations.RemoveIndex(
            model_name="order",
            name="orders_of_sender",
        ),
        migrations.AddField(
            model_name="order",
            name="activation_price",
            field=models.DecimalField(blank=True, decimal_places=20, max_digits=60, null=True),
        ),
        migrations.AddField(
            model_name="order",
            name="attempts_allowed",
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="order",
            name="cancel_requested",
            field=models.BooleanField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="order",
            name="expires_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="order",
            name="group_id",
            field=models.UUIDField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="order",
            name="limit_price",
            field=models.DecimalField(blank=True, decimal_places=20, max_digits=60, null=True),
        ),
        migrations.AddField(
            model_name="order",
            name="parent_id",
            field=models.UUIDField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="order",
            name="phase",
            field=models.CharField(blank=True, max_length=8, null=True),
        ),
        migrations.AddField(
            model_name="order",
            name="reason",
            field=models.CharField(blank=True, max_length=16, null=True),
        ),
        migrations.AddField(
            model_name="order",
            name="releases",
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="order",
            name="replaced_by",
            field=models.UUIDField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="order",
            name="replaces",
            field=models.UUIDField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="order",
            name="rest_until",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="order",
            name="resting",
            field=models.BooleanField(db_default=False),
        ),
        migrations.AddField(
            model_name="order",
            name="slice",
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="order",
            name="tags",
            field=models.JSONField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="order",
            name="terms",
            field=models.JSONField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="order",
            name="time_in_force",
            field=models.CharField(blank=True, max_length=3, null=True),
        ),
        migrations.AddField(
            model_name="order",
            name="trail_bps",
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="order",
            name="trigger_by",
            field=models.CharField(blank=True, max_length=10, null=True),
        ),
        migrations.AddField(
            model_name="order",
            name="trigger_price",
            field=models.DecimalField(blank=True, decimal_places=20, max_digits=60, null=True),
        ),
        migrations.AddField(
            model_name="order",
            name="trigger_tick",
            field=models.BigIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="order",
            name="triggered_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="orderevent",
            name="event",
            field=models.CharField(blank=True, max_length=12, null=True),
        ),
        migrations.AlterField(
            model_name="order",
            name="slippage_bps",
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddIndex(
            model_name="order",
            index=models.Index(
                condition=models.Q(("finished_at", None), ("resting", False), ("started_at", None)),
                fields=["turn", "next_check", "id"],
                name="orders_in_line",
            ),
        ),
        migrations.AddIndex(
            model_name="order",
            index=models.Index(
                condition=models.Q(
                    ("finished_at", None),
                    ("resting", False),
                    ("started_at", None),
                    ("turn__gte", 0),
                ),
                fields=["sender", "turn"],
                name="orders_of_sender",
            ),
        ),
        migrations.AddIndex(
            model_name="order",
            index=models.Index(
                condition=models.Q(
                    ("finished_at", None), ("resting", False), ("started_at__isnull", False)
                ),
                fields=["next_check", "id"],
                name="orders_begun",
            ),
        ),
        migrations.AddIndex(
            model_name="order",
            index=models.Index(
                condition=models.Q(("group_id__isnull", False)),
                fields=["group_id"],
                name="orders_of_group",
            ),
        ),
        migrations.AddIndex(
            model_name="order",
            index=models.Index(
                condition=models.Q(("resting", True)),
                fields=["owner", "-created_at", "-id"],
                name="orders_resting",
            ),
        ),
        migrations.AddConstraint(
            model_name="order",
            constraint=models.UniqueConstraint(
                condition=models.Q(("parent_id__isnull", False)),
                fields=("parent_id", "slice"),
                name="orders_of_parent",
            ),
        ),
        migrations.AddConstraint(
            model_name="order",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "status__in",
                        [
                            "open",
                            "pending",
                            "routing",
                            "building",
                            "submitted",
                            "confirmed",
                            "failed",
                            "cancelled",
                            "expired",
                        ],
                    )
                ),
                name="orders_status_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="order",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "type__in",
                        [
                            "market",
                            "limit",
                            "stop",
                            "stopLimit",
                            "takeProfit",
                            "trailingStop",
                            "twap",
                            "sniper",
                        ],
                    )
                ),
                name="orders_type_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="order",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("resting", True), ("status", "open")),
                    models.Q(("resting", False), models.Q(("status", "open"), _negated=True)),
                    _connector="OR",
                ),
                name="orders_resting_is_open",
            ),
        ),
        migrations.AddConstraint(
            model_name="order",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("type", "market"),
                        ("activation_price", None),
                        ("limit_price", None),
                        ("trail_bps", None),
                        ("trigger_price", None),
                        ("slippage_bps__isnull", False),
                    ),
                    models.Q(
                        ("limit_price__isnull", False),
                        ("slippage_bps", None),
                        ("terms__isnull", False),
                        ("type", "limit"),
                        ("limit_price__gt", 0),
                        ("trigger_price", None),
                        ("activation_price", None),
                        ("trail_bps", None),
                    ),
                    models.Q(
                        ("limit_price", None),
                        ("terms__isnull", False),
                        ("type", "stop"),
                        ("trigger_price__gt", 0),
                        ("trigger_price__isnull", False),
                        ("activation_price", None),
                        ("trail_bps", None),
                    ),
                    models.Q(
                        ("terms__isnull", False),
                        ("type", "stopLimit"),
                        ("limit_price__gt", 0),
                        ("limit_price__isnull", False),
                        ("trigger_price__gt", 0),
                        ("trigger_price__isnull", False),
                        ("activation_price", None),
                        ("trail_bps", None),
                    ),
                    models.Q(
                        ("terms__isnull", False),
                        ("type", "takeProfit"),
                        ("trigger_price__gt", 0),
                        ("trigger_price__isnull", False),
                        ("activation_price", None),
                        ("trail_bps", None),
                    ),
                    models.Q(
                        ("terms__isnull", False),
                        ("trail_bps__gt", 0),
                        ("trail_bps__isnull", False),
                        ("type", "trailingStop"),
                        ("limit_price", None),
                        ("trigger_price", None),
                    ),
                    models.Q(
                        ("amount_in__isnull", False),
                        ("terms__isnull", False),
                        ("type__in", ["twap", "sniper"]),
                        ("trigger_price", None),
                        ("activation_price", None),
                        ("trail_bps", None),
                    ),
                    _connector="OR",
                ),
                name="orders_type_has_its_terms",
            ),
        ),
        migrations.AddConstraint(
            model_name="order",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("limit_price", None),
                    ("min_out__isnull", False),
                    ("max_in__isnull", False),
                    ("type", "twap"),
                    _connector="OR",
                ),
                name="orders_limit_is_bound",
            ),
        ),
        migrations.AddConstraint(
            model_name="order",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("time_in_force", None),
                    models.Q(("time_in_force", "gtd"), _negated=True),
                    ("expires_at__isnull", False),
                    _connector="OR",
                ),
                name="orders_gtd_has_an_end",
            ),
        ),
        migrations.AddConstraint(
            model_name="order",
            constraint=models.CheckConstraint(
                condition=models.Q(("slice", None), ("parent_id__isnull", False), _connector="OR"),
                name="orders_slice_has_parent",
            ),
        ),
        migrations.AddConstraint(
            model_name="order",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("filled_in__gt", 0),
                        ("filled_in__isnull", False),
                        ("filled_out__gt", 0),
                        ("filled_out__isnull", False),
                        ("signature__isnull", False),
                        ("status", "confirmed"),
                        ("venue__isnull", False),
                    ),
                    models.Q(
                        models.Q(("status", "confirmed"), _negated=True),
                        ("filled_in", None),
                        ("filled_out", None),
                    ),
                    ("type", "twap"),
                    _connector="OR",
                ),
                name="orders_confirmed_has_fill",
            ),
        ),
        migrations.AddConstraint(
            model_name="orderevent",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "status__in",
                        [
                            "open",
                            "pending",
                            "routing",
                            "building",
                            "submitted",
                            "confirmed",
                            "failed",
                            "cancelled",
                            "expired",
                        ],
                    )
                ),
                name="order_events_status_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="tradingstate",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["active", "halted"])), name="trading_states_known"
            ),
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
