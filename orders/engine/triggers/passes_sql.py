"""The statements that compare resting orders with a tick. Their cost follows the orders that fire.

Each is one transaction: it finds what is due, locks it, releases it and writes its events. Each
pair's statements look at one line, one direction and one `act` (`orders.terms.watch`), for which
`watches` has a range of an index. All of them read 500 watches at most and are repeated.

The fence stops an evaluator that lost its lock: it compares the tick before this one with what the
pair was last evaluated for. All locks are taken in one order: watches by id, the group, orders.
"""

from typing import Literal, LiteralString

from orders.engine.journal_sql import BUDGET
from orders.lifecycle import IS_WAITING

Kind = Literal["<", ">"]

MOST = 500
"""Watches that one statement reads, and the others of their groups."""
PROTECTIVE_TURN = -(2**41)
HELD = "Held: the other order of its group is on its way"
TARGET_TURN = -(2**40)
"""What was released starts before all that came by itself, and protective orders before targets.
Within each, the first release of each sender comes before anybody's second."""

NOW = """clock AS MATERIALIZED (SELECT clock_timestamp() AS at),
trading AS MATERIALIZED (
  SELECT (SELECT state FROM trading_states ORDER BY id DESC LIMIT 1) IS NOT DISTINCT FROM 'halted'
    AS is_halted
)"""
TRADES = "NOT (SELECT is_halted FROM trading)"
FENCE = """(SELECT evaluated_tick FROM pair_progress WHERE pair = %(pair)s::text)
      = %(before)s::bigint"""
# `IS TRUE` keeps the planner from the index of ends: it would read all that rests.
LOOKED_AT = """w.pair = %(pair)s::text AND w.line = %(line)s::"char"
      AND w.from_tick <= %(tick)s::bigint AND (w.expires_at > (SELECT at FROM clock)) IS TRUE"""
REACHED = {
    "<": """w.kind = '<' AND w.wake_price >= %(price)s::numeric
      AND w.wake_price <= %(start)s::numeric""",
    ">": """w.kind = '>' AND w.wake_price <= %(price)s::numeric
      AND w.wake_price >= %(start)s::numeric""",
}
"""A low is compared with what waits for a fall, a high with what waits for a rise."""
BY_PRICE = {
    "<": "w.wake_price DESC, w.queued_at, w.order_id",
    ">": "w.wake_price, w.queued_at, w.order_id",
}
LAST_PRICE = {
    "<": "(SELECT min(wake_price) FROM cand)",
    ">": "(SELECT max(wake_price) FROM cand)",
}

LOCK = """ids AS MATERIALIZED (
  SELECT order_id FROM cand
  UNION SELECT s.order_id FROM cand JOIN watches AS s ON s.group_id = cand.group_id
),
locked AS MATERIALIZED (
  SELECT w.* FROM ids JOIN watches AS w ON w.order_id = ids.order_id
  ORDER BY w.order_id FOR UPDATE OF w {skip}
)"""
LOCK_ALONE = """ids AS MATERIALIZED (SELECT order_id FROM cand),
locked AS MATERIALIZED (
  SELECT w.* FROM ids JOIN watches AS w ON w.order_id = ids.order_id
  ORDER BY w.order_id FOR UPDATE OF w {skip}
)"""
"""Also of a group only the order itself: nothing happens to the other one."""

# How many targets may still start in this minute, beyond those that wait to.
ROOM = f"""greatest(0, CASE WHEN %(is_limited)s
    THEN for_all - (SELECT count(*) FROM (
      SELECT FROM orders WHERE {IS_WAITING} LIMIT %(limit)s) AS waiting)
    ELSE for_all END)"""
ROOM_NOW = f"""
WITH {NOW},
{BUDGET.strip()}
SELECT {ROOM} FROM budget
"""

# A trailing stop keeps its row while it is on its way: `armed_tick` is its watermark.
MOVE = """won AS (
  UPDATE order_groups AS g SET live_order = due.order_id FROM due
  WHERE g.id = due.group_id AND g.ended_at IS NULL
    AND (g.live_order IS NULL OR g.live_order = due.order_id)
  RETURNING g.id, g.live_order
),
freed AS MATERIALIZED (
  SELECT * FROM due WHERE group_id IS NULL OR (order_id IN (SELECT live_order FROM won)) IS TRUE
),
gone AS (
  DELETE FROM watches AS w USING freed WHERE w.order_id = freed.order_id AND w.trail_bps IS NULL
),
kept AS (
  UPDATE watches AS w SET held = true, kind = 'c', check_at = clock.at FROM freed, clock
  WHERE w.order_id = freed.order_id AND w.trail_bps IS NOT NULL
),
stilled AS (
  UPDATE watches AS w SET held = true FROM won
  WHERE w.group_id = won.id AND w.order_id <> won.live_order AND NOT w.held
  RETURNING w.order_id, won.live_order
),
moves AS (
  SELECT order_id, n, row_number() OVER (PARTITION BY sender ORDER BY n) - 1 AS rank,
    level, watermark, true AS goes, NULL::uuid AS sibling FROM freed
  UNION ALL SELECT order_id, 0, 0, NULL, NULL, false, live_order FROM stilled
),
moved AS (
  UPDATE orders AS o SET
    status = CASE WHEN m.goes THEN 'pending' ELSE o.status END,
    seq = o.seq + 1,
    resting = NOT m.goes,
    phase = CASE WHEN NOT m.goes THEN 'held' END,
    rest_until = CASE WHEN NOT m.goes THEN o.rest_until END,
    releases = coalesce(o.releases, 0) + m.goes::int,
    attempts_allowed = CASE WHEN NOT m.goes THEN o.attempts_allowed
      WHEN o.time_in_force = 'fok' THEN o.attempts + 1
      ELSE o.attempts + %(attempts)s::int END,
    triggered_at = {triggered_at},
    trigger_tick = {trigger_tick},
    min_out = CASE WHEN NOT m.goes OR o.limit_price IS NOT NULL THEN o.min_out END,
    max_in = CASE WHEN NOT m.goes OR o.limit_price IS NOT NULL THEN o.max_in END,
    turn = CASE WHEN m.goes THEN {turn} + m.rank ELSE o.turn END,
    next_check = CASE WHEN m.goes THEN clock.at + m.n * interval '1 microsecond'
      ELSE o.next_check END
  FROM moves AS m, clock
  WHERE o.id = m.order_id AND o.status = 'open'
  RETURNING o.id, o.owner_id, o.seq, o.status, o.attempts, o.releases, m.goes, m.level,
    m.watermark, m.sibling
),
logged AS (
  INSERT INTO order_events
    (order_id, owner_id, seq, status, attempt, message, data, at, event)
  SELECT id, owner_id, seq, status, attempts,
    CASE WHEN goes THEN %(message)s::text ELSE %(held)s::text END,
    CASE WHEN goes THEN {data} ELSE jsonb_build_object('sibling', sibling) END,
    clock.at, CASE WHEN goes THEN '{event}' ELSE 'held' END
  FROM moved, clock
  RETURNING order_id::text, seq, status, attempt, message, at, data, event, owner_id
)"""
# First how many watches were found and how many of them somebody else had locked, then where the
# next statement goes on; then an event, if there is one.
TOLD = """
SELECT (SELECT count(*) FROM cand), (SELECT count(*) FROM ids) - (SELECT count(*) FROM locked),
  {last}, logged.*
FROM (SELECT) AS once LEFT JOIN logged ON true
"""

TRIGGER_DATA = """jsonb_strip_nulls(jsonb_build_object(
      'tick', %(tick)s::bigint, 'price', trim_scale(%(price)s::numeric)::text,
      'line', %(line_name)s::text, 'triggerPrice', trim_scale({level})::text,
      'watermark', trim_scale({watermark})::text,
      'lateByMs', greatest(0, floor(extract(epoch FROM clock.at) * 1000)::bigint
        - %(tick)s::bigint * 1000)))"""
TRIGGERED = {
    "triggered_at": "CASE WHEN m.goes THEN clock.at ELSE o.triggered_at END",
    "trigger_tick": "CASE WHEN m.goes THEN %(tick)s::bigint ELSE o.trigger_tick END",
    "data": TRIGGER_DATA.format(level="level", watermark="watermark"),
    "event": "triggered",
}
RELEASED = {
    "triggered_at": "o.triggered_at",
    "trigger_tick": "o.trigger_tick",
    "event": "released",
}


def _skipping(waits: bool) -> str:
    return "" if waits else "SKIP LOCKED"


def fire_level(kind: Kind, *, budgeted: bool, waits: bool) -> str:
    """Return the statement that releases what a price has reached: stops, targets.

    `budgeted`: only as far as the minute's budget is free. `waits`: for locks of others.
    """
    watched = f"""{LOOKED_AT} AND w.act = 'f' AND NOT w.held
      AND {REACHED[kind]}
      AND {FENCE} AND {TRADES}"""
    return _releasing(
        f"""cand AS MATERIALIZED (
  SELECT w.order_id, w.group_id, w.wake_price FROM watches AS w
  WHERE {watched}
  ORDER BY {BY_PRICE[kind]} LIMIT %(most)s::bigint
)""",
        watched,
        order=BY_PRICE[kind],
        level="w.wake_price",
        budgeted=budgeted,
        waits=waits,
        turn=TARGET_TURN if budgeted else PROTECTIVE_TURN,
        last=LAST_PRICE[kind] + ", NULL::bigint",
        told=TRIGGERED,
    )


def release_sized(kind: Kind, *, waits: bool) -> str:
    """Return the statement that releases the limit orders `ids`, of which all can be filled."""
    watched = f"""{LOOKED_AT} AND w.act = 's' AND NOT w.held AND w.kind = '{kind}'
      AND {FENCE} AND {TRADES}"""
    return _releasing(
        f"""cand AS MATERIALIZED (
  SELECT w.order_id, w.group_id FROM watches AS w
  WHERE w.order_id = ANY(%(ids)s::uuid[]) AND {watched}
)""",
        watched,
        order="array_position(%(ids)s::uuid[], w.order_id)",
        level="NULL::numeric",
        budgeted=True,
        waits=waits,
        turn=TARGET_TURN,
        last="NULL::numeric, NULL::bigint",
        told=RELEASED | {"data": "jsonb_build_object('release', releases, 'latched', false)"},
    )


def _releasing(
    candidates: str,
    watched: str,
    *,
    order: str,
    level: str,
    budgeted: bool,
    waits: bool,
    turn: int,
    last: str,
    told: dict[str, str],
    watermark: str = "NULL::numeric",
    more: str = "",
    only: str = "",
) -> str:
    due = f"""reached AS MATERIALIZED (
  SELECT w.order_id, w.group_id, o.sender, o.started_at IS NULL AS is_first,
    {level} AS level, {watermark} AS watermark, row_number() OVER (ORDER BY {order}) AS n
  FROM (
    SELECT *, count(*) OVER (PARTITION BY coalesce(group_id, order_id)) AS legs FROM locked
  ) AS w
  JOIN orders AS o ON o.id = w.order_id
  WHERE {watched} {only}
    AND (w.group_id IS NULL OR w.legs = 2)
),
"""
    budget = "due AS MATERIALIZED (SELECT * FROM reached)"
    if budgeted:
        due += f"{BUDGET.strip()},\n"
        budget = f"""due AS MATERIALIZED (
  SELECT * FROM (
    SELECT *, count(*) FILTER (WHERE is_first) OVER (ORDER BY n) AS starts FROM reached
  ) AS counted
  WHERE NOT is_first OR starts <= (SELECT {ROOM} FROM budget)
)"""
    recursive = "RECURSIVE " if more else ""
    return f"""
WITH {recursive}{NOW},
{more}{candidates},
{LOCK.format(skip=_skipping(waits))},
{due}{budget},
{MOVE.format(turn=f"({turn})::bigint", **told)}
{TOLD.format(last=last)}"""


def release_snipers() -> str:
    """Return the statement that releases the snipers `ids`, whose pools can be traded in."""
    watched = f"""w.pair = %(pair)s::text AND w.kind = 'p' AND NOT w.held
      AND w.expires_at > (SELECT at FROM clock) AND {TRADES}"""
    return _releasing(
        f"""cand AS MATERIALIZED (
  SELECT w.order_id, w.group_id FROM watches AS w
  WHERE w.order_id = ANY(%(ids)s::uuid[]) AND {watched}
)""",
        watched,
        order="array_position(%(ids)s::uuid[], w.order_id)",
        level="NULL::numeric",
        budgeted=True,
        waits=False,
        turn=TARGET_TURN,
        last="NULL::numeric, NULL::bigint",
        told={
            "triggered_at": "CASE WHEN m.goes THEN clock.at ELSE o.triggered_at END",
            "trigger_tick": "o.trigger_tick",
            "data": "jsonb_strip_nulls(%(pools)s::jsonb -> id::text)",
            "event": "triggered",
        },
    )


RELEASE_SNIPERS = release_snipers()


def become_limit(kind: Kind, *, waits: bool) -> str:
    """Return the statement that makes limit orders of what a price has reached.

    They are looked at as such in the same tick.
    """
    return _becoming(
        f"""{LOOKED_AT} AND w.act = 'l' AND NOT w.held
      AND {REACHED[kind]}
      AND {FENCE} AND {TRADES}""",
        kind,
        waits=waits,
        watch="""act = 's', wake_price = o.limit_price, check_at = NULL,
    line = CASE o.side WHEN 'sell' THEN 'b' ELSE 'a' END::"char",
    kind = CASE o.side WHEN 'sell' THEN '>' ELSE '<' END::"char\"""",
        order="phase = 'limit', triggered_at = clock.at, trigger_tick = %(tick)s::bigint",
        data=TRIGGER_DATA.format(level="level", watermark="NULL::numeric"),
        event="triggered",
    )


def arm(kind: Kind, *, waits: bool) -> str:
    """Return the statement that arms the trails whose activation price was reached.

    A held one is armed as well: its watermark counts from this tick on.
    """
    return _becoming(
        f"""{LOOKED_AT} AND w.act = 'a'
      AND {REACHED[kind]}
      AND {FENCE}""",
        kind,
        waits=waits,
        watch="kind = 't', act = 'f', armed_tick = %(tick)s::bigint, wake_price = NULL",
        order="phase = CASE o.phase WHEN 'held' THEN o.phase ELSE 'waiting' END",
        data="""jsonb_build_object(
      'tick', %(tick)s::bigint, 'price', trim_scale(%(price)s::numeric)::text,
      'line', %(line_name)s::text, 'activationPrice', trim_scale(level)::text)""",
        event="activated",
    )


def _becoming(
    watched: str, kind: Kind, *, waits: bool, watch: str, order: str, data: str, event: str
) -> str:
    """Return the statement that has orders watch something else from this tick on.

    `watch` and `order` say what their rows become. Nothing is released, so no group is claimed.
    """
    return f"""
WITH {NOW},
cand AS MATERIALIZED (
  SELECT w.order_id, w.wake_price FROM watches AS w
  WHERE {watched}
  ORDER BY {BY_PRICE[kind]} LIMIT %(most)s::bigint
),
{LOCK_ALONE.format(skip=_skipping(waits))},
due AS MATERIALIZED (SELECT w.order_id, w.wake_price AS level FROM locked AS w WHERE {watched}),
became AS (
  UPDATE watches AS w SET {watch}
  FROM due, orders AS o WHERE w.order_id = due.order_id AND o.id = due.order_id
),
moved AS (
  UPDATE orders AS o SET seq = o.seq + 1, {order}
  FROM due, clock WHERE o.id = due.order_id AND o.status = 'open'
  RETURNING o.id, o.owner_id, o.seq, o.status, o.attempts, due.level
),
logged AS (
  INSERT INTO order_events
    (order_id, owner_id, seq, status, attempt, message, data, at, event)
  SELECT id, owner_id, seq, status, attempts, %(message)s::text, {data}, clock.at, '{event}'
  FROM moved, clock
  RETURNING order_id::text, seq, status, attempt, message, at, data, event, owner_id
)
{TOLD.format(last=LAST_PRICE[kind] + ", NULL::bigint")}"""


# An order of width b that was armed at tick T has a watermark of at least H if and only if the last
# tick with a price of at least H is not before T. So each width has one tick (`cut`), and what was
# armed at or before it fires. `price_peaks` has the ticks before this one.
WIDTHS = """widths AS (
  (SELECT w.trail_bps, w.armed_tick FROM watches AS w
   WHERE w.pair = %(pair)s::text AND w.line = %(line)s::"char" AND w.kind = 't' AND NOT w.held
     AND (w.trail_bps, w.armed_tick) >= (%(start_bps)s::int, %(start_armed)s::bigint)
   ORDER BY w.trail_bps, w.armed_tick LIMIT 1)
  UNION ALL
  SELECT n.* FROM widths CROSS JOIN LATERAL (
    SELECT w.trail_bps, w.armed_tick FROM watches AS w
    WHERE w.pair = %(pair)s::text AND w.line = %(line)s::"char" AND w.kind = 't' AND NOT w.held
      AND w.trail_bps > widths.trail_bps
    ORDER BY w.trail_bps, w.armed_tick LIMIT 1) AS n
),
"""
CUT = """cut AS MATERIALIZED (
  SELECT o.trail_bps, o.armed_tick AS oldest, k.tick AS last_tick
  FROM widths AS o CROSS JOIN LATERAL (
    SELECT k.tick FROM price_peaks AS k
    WHERE k.pair = %(pair)s::text AND k.line = %(line)s::"char"
      AND {finds}
      AND {decides}
    ORDER BY {nearest} LIMIT 1
  ) AS k
  WHERE k.tick >= o.armed_tick
),
"""
# The first condition finds by the index, and is rounded generously; the second one decides.
CUT_OF = {
    "sell": CUT.format(
        finds="k.price >= %(price)s::numeric * 9999.999999 / (10000 - o.trail_bps)",
        decides="k.price * (10000 - o.trail_bps) >= %(price)s::numeric * 10000",
        nearest="k.price",
    ),
    "buy": CUT.format(
        finds="k.price <= %(price)s::numeric * 10000.000001 / (10000 + o.trail_bps)",
        decides="k.price * (10000 + o.trail_bps) <= %(price)s::numeric * 10000",
        nearest="k.price DESC",
    ),
}
TRAILS = f"""{LOOKED_AT} AND w.kind = 't' AND NOT w.held
      AND {FENCE} AND {TRADES}"""
WATERMARK = """(SELECT k.price FROM price_peaks AS k WHERE k.pair = w.pair AND k.line = w.line
      AND k.tick >= w.armed_tick ORDER BY k.tick LIMIT 1)"""
TRAIL_FACTOR = {"sell": "(10000 - w.trail_bps)", "buy": "(10000 + w.trail_bps)"}


def fire_trails(side: Literal["sell", "buy"], *, waits: bool) -> str:
    """Return the statement that releases the trailing stops which the price has fallen behind.

    `price` is the tick's low for sales, its high for purchases.
    """
    return _releasing(
        f"""cand AS MATERIALIZED (
  SELECT w.* FROM cut CROSS JOIN LATERAL (
    SELECT w.order_id, w.group_id, w.trail_bps, w.armed_tick FROM watches AS w
    WHERE {TRAILS} AND w.trail_bps = cut.trail_bps
      AND w.armed_tick BETWEEN cut.oldest AND cut.last_tick
    ORDER BY w.armed_tick, w.order_id LIMIT %(most)s::bigint
  ) AS w LIMIT %(most)s::bigint
)""",
        TRAILS,
        order="w.trail_bps, w.armed_tick, w.order_id",
        level=f"{WATERMARK} * {TRAIL_FACTOR[side]} / 10000",
        watermark=WATERMARK,
        budgeted=False,
        waits=waits,
        turn=PROTECTIVE_TURN,
        last="""(SELECT max(trail_bps) FROM cand)::numeric, (SELECT armed_tick FROM cand
    ORDER BY trail_bps DESC, armed_tick DESC LIMIT 1)""",
        told=TRIGGERED,
        more=WIDTHS + CUT_OF[side],
        only="""AND w.armed_tick
      <= (SELECT last_tick FROM cut WHERE cut.trail_bps = w.trail_bps)""",
    )


# Which passes would find anything: nearly always none.
_FOUND_LEVEL = """EXISTS (
  SELECT FROM watches AS w WHERE w.pair = %(pair)s::text AND w.line = '{line}'
    AND w.kind = '{kind}' AND w.act = '{act}' AND {held}
    AND w.wake_price {compares} %({price})s::numeric
    AND w.from_tick <= %(tick)s::bigint AND (w.expires_at > (SELECT at FROM clock)) IS TRUE)"""
_FOUND_TRAIL = """EXISTS (
  WITH RECURSIVE {widths}{cut}
  found AS (SELECT FROM cut CROSS JOIN LATERAL (
    SELECT FROM watches AS w
    WHERE w.pair = %(pair)s::text AND w.line = '{line}' AND w.kind = 't' AND NOT w.held
      AND w.trail_bps = cut.trail_bps AND w.armed_tick BETWEEN cut.oldest AND cut.last_tick
      AND w.from_tick <= %(tick)s::bigint AND (w.expires_at > (SELECT at FROM clock)) IS TRUE
    LIMIT 1) AS w LIMIT 1)
  SELECT FROM found)"""


def found_level(line: LiteralString, kind: Kind, act: LiteralString, price: str) -> str:
    """Return a condition: whether this pass would find a watch. `price` names its parameter."""
    held = "(NOT w.held OR w.act = 'a')" if act == "a" else "NOT w.held"
    compares = ">=" if kind == "<" else "<="
    return _FOUND_LEVEL.format(
        line=line, kind=kind, act=act, held=held, compares=compares, price=price
    )


def found_trail(line: LiteralString, side: str, price: str) -> str:
    whole = WIDTHS.replace("%(start_bps)s::int, %(start_armed)s::bigint", "0, 0")
    texts = [
        text.replace('%(line)s::"char"', f"'{line}'").replace("%(price)s", f"%({price})s")
        for text in (whole, CUT_OF[side])
    ]
    return _FOUND_TRAIL.format(widths=texts[0], cut=texts[1], line=line)


def finds(conditions: list[str]) -> str:
    columns = ",\n".join(conditions)
    return f"""
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS at)
SELECT {columns}
"""


# The candidates of a sized pass, in the order of their prices, then of time; nothing is locked.
def sized_candidates(kind: Kind) -> str:
    return f"""
WITH {NOW}
SELECT w.order_id::text, w.wake_price, o.side, o.amount_in, o.amount_out, o.min_out, o.max_in,
  o.limit_price, o.constraints, o.started_at IS NULL
FROM watches AS w JOIN orders AS o ON o.id = w.order_id
WHERE {LOOKED_AT} AND w.act = 's' AND NOT w.held
  AND {REACHED[kind]}
  AND {FENCE} AND {TRADES}
ORDER BY {BY_PRICE[kind]} LIMIT %(most)s::bigint
"""


# Raises the wake prices of those that missed, unless they were written anew meanwhile.
MISS = """
WITH missed AS (
  SELECT * FROM unnest(%(ids)s::uuid[], %(olds)s::numeric[], %(news)s::numeric[],
    %(delays)s::float8[]) AS missed(order_id, old, new, delay)
),
locked AS MATERIALIZED (
  SELECT w.order_id, missed.new, missed.delay FROM missed JOIN watches AS w
    ON w.order_id = missed.order_id AND w.wake_price = missed.old
  WHERE w.act = 's' AND NOT w.held ORDER BY w.order_id FOR UPDATE OF w SKIP LOCKED
)
UPDATE watches AS w SET wake_price = locked.new,
  check_at = clock_timestamp() + locked.delay * interval '1 second'
FROM locked WHERE w.order_id = locked.order_id
"""

# What each pair has to be evaluated for: its last evaluated tick, its first and its last one.
PAIRS = """
WITH RECURSIVE pairs AS (
  (SELECT pair FROM price_ticks ORDER BY pair LIMIT 1)
  UNION ALL
  SELECT (SELECT pair FROM price_ticks WHERE pair > pairs.pair ORDER BY pair LIMIT 1)
  FROM pairs WHERE pairs.pair IS NOT NULL
)
SELECT * FROM (
  SELECT pair,
    coalesce((SELECT evaluated_tick FROM pair_progress AS p WHERE p.pair = pairs.pair),
      (SELECT min(tick) - 1 FROM price_ticks AS t WHERE t.pair = pairs.pair)) AS evaluated,
    (SELECT max(tick) FROM price_ticks AS t
     WHERE t.pair = pairs.pair AND t.tick <= %(now)s::bigint) AS last
  FROM pairs WHERE pair IS NOT NULL
) AS known WHERE last > evaluated
"""
LOCK_PAIR = "SELECT pg_try_advisory_lock(hashtextextended('orders.triggers ' || %(pair)s::text, 0))"
BEGIN_PAIR = """
INSERT INTO pair_progress (pair, evaluated_tick)
VALUES (%(pair)s::text, %(evaluated)s::bigint) ON CONFLICT DO NOTHING
"""
TICKS = """
SELECT tick, bid_low, bid_high, ask_low, ask_high, reference_low, reference_high FROM price_ticks
WHERE pair = %(pair)s::text AND tick > %(evaluated)s::bigint AND tick <= %(last)s::bigint
ORDER BY tick LIMIT %(most)s::bigint
"""
# A row for every second up to the last tick: it waits for one that is just being stored, and no
# tick appears behind it.
CLOSE_GAPS = """
INSERT INTO price_ticks (pair, tick)
SELECT %(pair)s::text, tick
FROM generate_series(%(evaluated)s::bigint + 1, %(last)s::bigint) AS tick
ON CONFLICT DO NOTHING
"""

# Moves a pair on to a later tick, if it stands where this evaluator thinks it does. Also pushes the
# prices onto the peaks: a staircase of the evaluated ticks, on which later ticks have lower prices
# (of a, q: higher ones). Of the ticks passed at once only those stay that no later one has reached.
_STEPS = """{line}_passed AS (
  SELECT tick, price FROM (
    SELECT tick, {price} AS price, {beyond}({price}) OVER (
      ORDER BY tick DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS later
    FROM passed
  ) AS steps WHERE price IS NOT NULL AND (later IS NULL OR price {above} later)
),
{line}_gone AS (
  DELETE FROM price_peaks AS k USING done
  WHERE k.pair = %(pair)s::text AND k.line = '{line}'
    AND k.price {below} (SELECT {beyond}(price) FROM {line}_passed)
),
{line}_new AS (
  INSERT INTO price_peaks SELECT %(pair)s::text, '{line}', tick, price FROM {line}_passed, done
)"""


def _steps(line: LiteralString, price: LiteralString, *, is_high: bool) -> str:
    beyond, above, below = ("max", ">", "<=") if is_high else ("min", "<", ">=")
    return _STEPS.format(line=line, price=price, beyond=beyond, above=above, below=below)


ADVANCE_PAIR = f"""
WITH done AS (
  UPDATE pair_progress SET evaluated_tick = %(tick)s::bigint
  WHERE pair = %(pair)s::text AND evaluated_tick = %(before)s::bigint RETURNING 1
),
passed AS MATERIALIZED (
  SELECT tick, bid_high, ask_low, reference_high, reference_low FROM price_ticks
  WHERE pair = %(pair)s::text AND tick > %(before)s::bigint AND tick <= %(tick)s::bigint
),
{_steps("b", "bid_high", is_high=True)},
{_steps("a", "ask_low", is_high=False)},
{_steps("r", "reference_high", is_high=True)},
{_steps("q", "reference_low", is_high=False)}
SELECT (SELECT count(*) FROM passed) FROM done
"""
