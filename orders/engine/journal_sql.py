"""The statements that write orders. All times are the database's; one parameter carries many.

Every statement is one transaction by itself: the status, its event and its transaction row stand
or fall together.
"""

from orders.lifecycle import IS_BEGUN, IS_HALTED, IS_WAITING

IN_LINE = "turn, next_check, id"
"""The order in which waiting orders start: senders take turns, then the oldest goes first."""

# How many orders may start now, of all senders and of all that did not start in the window.
FREE = "CASE WHEN %(is_limited)s THEN %(limit)s - coalesce(sum(orders), 0) ELSE 1000000 END"
_BUDGET = """
recent AS MATERIALIZED (
  SELECT starts.orders, starts.senders
  FROM clock JOIN order_starts AS starts  -- by the very time that is stored below
    ON starts.at > clock.at - %(window)s * interval '1 second'
    AND starts.at <= clock.at  -- the clock may have been set back
),
budget AS MATERIALIZED (
  SELECT greatest(free, 0) AS free, greatest(free - %(kept)s, 0) AS for_all
  FROM (SELECT {free} AS free FROM recent) AS counted
)
"""
BUDGET = _BUDGET.format(free=FREE)

# Orders that were released have turns below 0 (`orders/engine/triggers`), before all of these.
FIRST_TURN = f"""(SELECT CASE WHEN turn >= 0 THEN turn ELSE
      (SELECT min(turn) FROM orders WHERE {IS_WAITING} AND turn >= 0) END FROM line)"""

# While trading is halted nothing is stored, and so nothing comes back.
# Each order gets its turn here. It is the turn after the sender's last waiting order; if none of
# the sender waits, it is the next turn in line. Nothing is counted or kept for this: the waiting
# orders alone decide it, after any breakdown and whatever the clock says.
STORE = f"""
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS at),
new AS MATERIALIZED (
  SELECT * FROM json_to_recordset(%(orders)s::json) AS new(
    id uuid, owner int, sender bigint, behind bigint, client_order_id text, idempotency_key text,
    type text, side text, base text, quote text, amount_in bigint, amount_out bigint,
    slippage_bps int, constraints jsonb, message text, data jsonb)
  WHERE NOT {IS_HALTED}
),
line AS MATERIALIZED (SELECT turn FROM orders WHERE {IS_WAITING} ORDER BY {IN_LINE} LIMIT 1),
turns AS MATERIALIZED (
  SELECT sender, greatest(
    {FIRST_TURN},
    (SELECT max(turn) + 1 FROM orders
     WHERE orders.sender = new.sender AND {IS_WAITING} AND turn >= 0),  -- as its index says
    0) AS turn
  FROM new WHERE behind = 0
),
{{starts}}
stored AS (
  INSERT INTO orders (id, owner_id, sender, turn, client_order_id, idempotency_key, type, side,
    base, quote, amount_in, amount_out, slippage_bps, constraints, status, seq, attempts,
    lease_token, lease_until, started_at, lost_leases, needs_attention, next_check, created_at)
  SELECT id, owner, sender, turns.turn + behind, client_order_id, idempotency_key, type, side,
    base, quote, amount_in, amount_out, slippage_bps, constraints, {{stands}},
    0, false, clock.at, clock.at
  FROM new JOIN turns USING (sender), clock {{on_conflict}}
  RETURNING id, owner_id, sender
),
logged AS (
  INSERT INTO order_events (order_id, owner_id, seq, status, attempt, message, data, at)
  SELECT id, owner, 1, 'pending', 0, message, data, clock.at FROM new, clock {{only_stored}}
  {{and_logged}}
)
SELECT stored.id::text, clock.at, {{is_claimed}} FROM stored, clock
"""
# Accepting is also the claim, where a carrier lingers that takes the order at once. Only orders
# that would start at once are claimed: nobody waits in line, and the budget allows for all.
CLAIMED = "(SELECT is_claimed FROM start)"
AT_ONCE = f"CASE WHEN {CLAIMED} THEN clock.at END"
STANDS_BEGUN = f"""CASE WHEN {CLAIMED} THEN 'routing' ELSE 'pending' END,
    1 + {CLAIMED}::int, {CLAIMED}::int, {CLAIMED}::int,
    {AT_ONCE} + %(lease)s * interval '1 second', {AT_ONCE}"""
STARTS = f"""{BUDGET.strip()},
start AS MATERIALIZED (
  SELECT NOT EXISTS (SELECT FROM line) AND (SELECT count(*) FROM new) <= for_all AS is_claimed
  FROM budget
),"""
START = """UNION ALL
  SELECT stored.id, stored.owner_id, 2, 'routing', 1, %(comparing)s, '{}'::jsonb, clock.at
  FROM stored, clock, start WHERE is_claimed
),
counted AS (
  INSERT INTO order_starts (at, orders, senders)
  SELECT clock.at, count(*), array_agg(DISTINCT sender) FROM stored, clock, start
  WHERE %(is_limited)s AND is_claimed GROUP BY clock.at"""


def accepting(*, keyed: bool, claiming: bool) -> str:
    """Return the statement that stores orders, and claims them if they may start at once.

    Orders with keys may be known already. Orders without keys do not pay for the search for
    conflicts. `IS TRUE` keeps the planner from comparing every order with every other.
    """
    return STORE.format(
        on_conflict="ON CONFLICT DO NOTHING" if keyed else "",
        only_stored="WHERE (id IN (SELECT id FROM stored)) IS TRUE" if keyed else "",
        starts=STARTS if claiming else "",
        stands=STANDS_BEGUN if claiming else "'pending', 1, 0, 0, NULL, NULL",
        and_logged=START if claiming else "",
        is_claimed=CLAIMED if claiming else "false",
    )


ACCEPT = {
    (keyed, claiming): accepting(keyed=keyed, claiming=claiming)
    for keyed in (False, True)
    for claiming in (False, True)
}
"""By whether some of the orders have keys, and whether they may start at once."""

# The same for orders of which some have terms: those that rest get their watch, and a group. A
# resting order may start at once instead if nothing waits and the budget is free. Times that are
# given in seconds are told to the client as the database's clock makes them.
# During a halt, an order that has a parent is stored all the same: an entry was filled, and its
# exits must exist from that moment on.
ASSET = "CASE {0} WHEN 'WSOL' THEN 'SOL' ELSE {0} END"
PAIR = f"{ASSET.format('base')} || '/' || {ASSET.format('quote')}"
"""`Market.pair` of an order: the name under which its prices are kept."""
SHOWN_TIME = """to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
_STORE_WIDE = f"""
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS at),
asked AS MATERIALIZED (
  SELECT * FROM json_to_recordset(%(orders)s::json) AS new(
    id uuid, owner int, sender bigint, behind bigint, client_order_id text, idempotency_key text,
    type text, side text, base text, quote text, amount_in bigint, amount_out bigint,
    slippage_bps int, constraints jsonb, message text, data jsonb,
    time_in_force text, expires_at timestamptz, expires_in float8, limit_price numeric,
    trigger_price numeric, trigger_by text, trail_bps int, activation_price numeric,
    min_out bigint, max_in bigint, terms jsonb, tags jsonb, group_id uuid, parent_id uuid,
    slice int, replaces uuid, attempts_allowed int, may_skip_rest bool, phase text,
    pair text, line "char", kind "char", act "char", wake_price numeric, watch_bps int,
    check_at timestamptz, check_in float8)
  WHERE NOT {IS_HALTED} OR parent_id IS NOT NULL
),
line AS MATERIALIZED (SELECT turn FROM orders WHERE {IS_WAITING} ORDER BY {IN_LINE} LIMIT 1),
{BUDGET.strip()},
new AS MATERIALIZED (
  SELECT asked.*,
    coalesce(asked.expires_at, clock.at + asked.expires_in * interval '1 second') AS ends_at,
    asked.kind IS NOT NULL AND NOT (
      coalesce(asked.may_skip_rest, false) AND NOT EXISTS (SELECT FROM line)
      AND for_all >= (SELECT count(*) FROM asked)) AS rests
  FROM asked, clock, budget
),
turns AS MATERIALIZED (
  SELECT sender, greatest(
    {FIRST_TURN},
    (SELECT max(turn) + 1 FROM orders
     WHERE orders.sender = new.sender AND {IS_WAITING} AND turn >= 0),
    0) AS turn
  FROM new WHERE behind = 0
),
stored AS (
  INSERT INTO orders (id, owner_id, sender, turn, client_order_id, idempotency_key, type, side,
    base, quote, amount_in, amount_out, slippage_bps, constraints, time_in_force, expires_at,
    limit_price, trigger_price, trigger_by, trail_bps, activation_price, min_out, max_in, terms,
    tags, group_id, parent_id, slice, replaces, attempts_allowed, status, resting, phase, releases,
    seq, attempts, lease_token, lost_leases, needs_attention, next_check, created_at)
  SELECT id, owner, sender, turns.turn + behind, client_order_id, idempotency_key, type, side,
    base, quote, amount_in, amount_out, slippage_bps, constraints, time_in_force, ends_at,
    limit_price, trigger_price, trigger_by, trail_bps, activation_price, min_out, max_in, terms,
    tags, group_id, parent_id, slice, replaces, attempts_allowed,
    CASE WHEN rests THEN 'open' ELSE 'pending' END, rests, CASE WHEN rests THEN phase END,
    CASE WHEN terms IS NOT NULL THEN 0 END, 1, 0, 0, 0, false, clock.at, clock.at
  FROM new JOIN turns USING (sender), clock ON_CONFLICT
  RETURNING id, status, expires_at
),
logged AS (
  INSERT INTO order_events (order_id, owner_id, seq, status, attempt, message, data, at)
  SELECT id, owner, 1, stored.status, 0,
    CASE WHEN new.rests THEN %(rests)s ELSE message END,
    CASE WHEN new.expires_in IS NULL THEN data ELSE jsonb_set(data, '{{order,expiresAt}}',
      to_jsonb({SHOWN_TIME.format("stored.expires_at")})) END, clock.at
  FROM stored JOIN new USING (id), clock
),
watched AS (
  INSERT INTO watches (order_id, pair, line, kind, act, trail_bps, owner_id, from_tick, armed_tick,
    queued_at, check_at, expires_at, group_id, wake_price)
  SELECT id, coalesce(pair, {PAIR}), line, kind, act, watch_bps, owner,
    floor(extract(epoch FROM clock.at))::bigint + 1,
    CASE WHEN kind = 't' THEN floor(extract(epoch FROM clock.at))::bigint + 1 END,
    clock.at, coalesce(check_at, clock.at + check_in * interval '1 second'),
    coalesce(stored.expires_at, clock.at + %(most_days)s * interval '1 day'), group_id, wake_price
  FROM stored JOIN new USING (id), clock WHERE new.rests
),
grouped AS (
  INSERT INTO order_groups (id, owner_id)
  SELECT DISTINCT group_id, owner FROM stored JOIN new USING (id)
  WHERE group_id IS NOT NULL ON CONFLICT DO NOTHING
)
SELECT stored.id::text, clock.at, false, stored.status,
  {SHOWN_TIME.format("stored.expires_at")}
FROM stored, clock
"""

STORE_WIDE = _STORE_WIDE.replace("ON_CONFLICT", "ON CONFLICT DO NOTHING")
# A key that is taken is an error here, so all orders are stored or none.
STORE_TOGETHER = _STORE_WIDE.replace("ON_CONFLICT", "")

ACCEPTED = """
SELECT order_id::text, at, status, data #>> '{order,expiresAt}' FROM order_events
WHERE order_id = ANY(%(id)s::uuid[]) AND seq = 1
"""

# The first events of an order and of the other order of its group.
STORED_WITH = """
SELECT event.order_id::text, event.status, event.attempt, event.message, event.at, event.data
FROM (
  SELECT id FROM orders WHERE id = %(id)s
  UNION
  SELECT other.id FROM orders AS first JOIN orders AS other USING (group_id) WHERE first.id = %(id)s
) AS found
JOIN order_events AS event ON event.order_id = found.id AND event.seq = 1
"""

# Finds the orders whose keys kept new orders from being stored. It is a separate statement, because
# ACCEPT does not see an order that was committed while it waited. The first event has all
# that was asked for.
ACCEPTED_BEFORE = """
SELECT late.ordinal, found.by_idempotency_key, found.id::text, event.status, event.attempt,
  event.message, event.at, event.data
FROM json_to_recordset(%(keys)s::json) AS late(
  ordinal int, owner int, idempotency_key text, client_order_id text)
CROSS JOIN LATERAL (
  (SELECT id, true AS by_idempotency_key FROM orders
   WHERE owner_id = late.owner
     AND idempotency_key IN (late.idempotency_key, late.idempotency_key || ' 0'))
  UNION ALL
  (SELECT id, true FROM orders  -- of a browser without an account
   WHERE late.owner IS NULL AND owner_id IS NULL
     AND idempotency_key IN (late.idempotency_key, late.idempotency_key || ' 0'))
  UNION ALL
  (SELECT id, false FROM orders
   WHERE owner_id = late.owner AND client_order_id = late.client_order_id)
  ORDER BY by_idempotency_key DESC LIMIT 1
) AS found
JOIN order_events AS event ON event.order_id = found.id AND event.seq = 1
"""

# What a move is, as JSON has it, and what becomes of its transaction.
MOVE = """    ordinal int, order_id uuid, lease_token bigint, seq int, status text, message text,
    data jsonb, is_final bool, delay float8, venue text, min_out bigint, max_in bigint,
    signature text, payload text, expires_at_height bigint, outcome text, filled_in bigint,
    filled_out bigint, failure_code text, failure_reason text, needs_attention bool,
    steps int, passed text, passed_message text, passed_data jsonb"""
TRANSACTIONS = """opened AS (
  INSERT INTO order_transactions
    (order_id, attempt, signature, payload, expires_at_height, created_at)
  SELECT order_id, attempts, signature, decode(payload, 'base64'), expires_at_height, clock.at
  FROM moved, clock WHERE payload IS NOT NULL
),
settled AS (
  UPDATE order_transactions AS tx SET outcome = moved.outcome, settled_at = clock.at
  FROM moved, clock
  WHERE tx.order_id = moved.order_id AND tx.attempt = moved.attempts
    AND moved.outcome IS NOT NULL AND tx.outcome IS NULL
)"""

# Compare-and-set on token and seq together. One batch may have an order's old and current holder:
# if only the id were compared, both would read success.
ADVANCE = f"""
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS at),
moves AS (
  SELECT * FROM json_to_recordset(%(moves)s::json) AS move(
{MOVE})
),
moved AS (
  UPDATE orders SET
    status = move.status,
    seq = orders.seq + move.steps,
    lost_leases = 0,
    lease_until = CASE WHEN move.is_final OR move.delay IS NOT NULL THEN NULL
                       ELSE clock.at + %(lease)s * interval '1 second' END,
    lease_token = orders.lease_token
                + CASE WHEN move.is_final OR move.delay IS NOT NULL THEN 1 ELSE 0 END,
    next_check = CASE WHEN move.delay IS NULL THEN orders.next_check
                      ELSE clock.at + move.delay * interval '1 second' END,
    venue = coalesce(move.venue, orders.venue),
    min_out = coalesce(orders.min_out, move.min_out),
    max_in = coalesce(orders.max_in, move.max_in),
    signature = coalesce(move.signature, orders.signature),
    filled_in = move.filled_in,
    filled_out = move.filled_out,
    failure_code = coalesce(move.failure_code, orders.failure_code),
    failure_reason = coalesce(move.failure_reason, orders.failure_reason),
    needs_attention = orders.needs_attention OR move.needs_attention,
    finished_at = CASE WHEN move.is_final THEN clock.at END
  FROM moves AS move, clock
  WHERE orders.id = move.order_id
    AND orders.lease_token = move.lease_token
    AND orders.seq = move.seq
  RETURNING move.*, orders.owner_id, orders.seq AS new_seq, orders.attempts AS attempts
),
logged AS (
  INSERT INTO order_events (order_id, owner_id, seq, status, attempt, message, data, at)
  SELECT order_id, owner_id, new_seq, status, attempts, message, data, clock.at FROM moved, clock
  UNION ALL
  SELECT order_id, owner_id, new_seq - 1, passed, attempts, passed_message, passed_data, clock.at
  FROM moved, clock WHERE passed IS NOT NULL
),
{TRANSACTIONS}
SELECT moved.ordinal, moved.attempts, clock.at, moved.owner_id FROM moved, clock
"""

# Which moves had been committed before the connection was lost: their events are in the log. The
# next holder may have written the same seq, so the event must be the move's own.
ADVANCED = """
SELECT move.ordinal, event.attempt, event.at, event.owner_id
FROM json_to_recordset(%(moves)s::json) AS move(
  ordinal int, order_id uuid, seq int, steps int, status text, message text, data jsonb)
JOIN order_events AS event ON event.order_id = move.order_id AND event.seq = move.seq + move.steps
  AND event.status = move.status AND event.message = move.message AND event.data = move.data
"""

RENEW = """
UPDATE orders SET lease_until = clock_timestamp() + %(lease)s * interval '1 second'
FROM unnest(%(order_id)s::uuid[], %(lease_token)s::bigint[]) AS held(order_id, lease_token)
WHERE orders.id = held.order_id AND orders.lease_token = held.lease_token
  AND orders.lease_until IS NOT NULL
RETURNING orders.id::text
"""

RELEASE = """
UPDATE orders SET lease_until = NULL, lease_token = orders.lease_token + 1
FROM unnest(%(order_id)s::uuid[], %(lease_token)s::bigint[]) AS held(order_id, lease_token)
WHERE orders.id = held.order_id AND orders.lease_token = held.lease_token
  AND orders.lease_until IS NOT NULL
RETURNING orders.id::text
"""

SUSPECT_AFTER = 2  # when so many leases in a row were lost, the order is carried alone
GIVEN_UP_AFTER = 7  # of which the last five alone
GIVEN_UP_SECONDS = 60.0  # after which an order that took down its workers is looked at again

IS_FREE = "(lease_until IS NULL OR lease_until < statement_timestamp())"
IS_DUE = f"""finished_at IS NULL AND NOT resting
    AND next_check <= statement_timestamp() AND {IS_FREE}"""
# While trading is halted, only what was submitted is carried: it may have filled. The others have
# no budget then, so no claim reads all that wait.
TRADING = f"trading AS MATERIALIZED (SELECT {IS_HALTED} AS is_halted)"
FREE_IF_NOT_HALTED = f"CASE WHEN (SELECT is_halted FROM trading) THEN 0 ELSE {FREE} END"
MAY_GO_ON = "(status = 'submitted' OR NOT (SELECT is_halted FROM trading))"
CANDIDATE = f"""
  SELECT id, sender, status = 'pending' AS was_pending, started_at IS NOT NULL AS was_started
  FROM orders WHERE status = ANY(%(statuses)s) AND lost_leases < {SUSPECT_AFTER}
"""
LOOK_AHEAD = 500

# Chooses the orders to claim: first the due orders that have begun, then the waiting ones in line;
# or one named order whenever its lease is free. The first start of an order takes budget. A resumed
# order takes none. Each part reads an index of its own, and no more rows than there is room for.
# A part of the budget is kept for senders without a start in the window. Their orders are at the
# head of the line, so the first LOOK_AHEAD orders are searched for them, and only when the rest of
# the budget is used up.
DUE = f"""
resumed AS MATERIALIZED (
  {CANDIDATE} AND {IS_DUE} AND started_at IS NOT NULL AND {MAY_GO_ON}
  ORDER BY next_check, id LIMIT %(room)s FOR UPDATE SKIP LOCKED
),
fresh AS MATERIALIZED (
  {CANDIDATE} AND {IS_WAITING} ORDER BY {IN_LINE}
  LIMIT least(%(room)s - (SELECT count(*) FROM resumed), (SELECT for_all FROM budget))
  FOR UPDATE SKIP LOCKED
),
newcomers AS MATERIALIZED (
  SELECT DISTINCT ON (sender) id, turn, next_check FROM (
    SELECT id, sender, turn, next_check FROM orders WHERE {IS_WAITING} ORDER BY {IN_LINE}
    LIMIT (SELECT CASE WHEN for_all = (SELECT count(*) FROM fresh) AND free > for_all
      THEN {LOOK_AHEAD} ELSE 0 END FROM budget)
  ) AS first
  WHERE sender NOT IN (SELECT unnest(senders) FROM recent UNION ALL SELECT sender FROM fresh)
  ORDER BY sender, {IN_LINE}
),
kept AS MATERIALIZED (
  {CANDIDATE} AND {IS_WAITING} AND id = ANY(ARRAY(
    SELECT id FROM newcomers ORDER BY {IN_LINE} LIMIT least(
      %(room)s - (SELECT count(*) FROM resumed) - (SELECT count(*) FROM fresh),
      (SELECT free - for_all FROM budget))
  ))
  FOR UPDATE SKIP LOCKED
),
due AS (
  SELECT * FROM resumed UNION ALL SELECT * FROM fresh UNION ALL SELECT * FROM kept
)
"""

NAMED = f"""
due AS (
  SELECT id, status = 'pending' AS was_pending, started_at IS NOT NULL AS was_started FROM orders
  WHERE id = %(only)s AND finished_at IS NULL AND NOT resting AND {IS_FREE} AND {MAY_GO_ON}
    AND (started_at IS NOT NULL OR (SELECT free FROM budget) > 0)
  FOR UPDATE SKIP LOCKED
)
"""

# The claim also moves pending orders to routing: a separate statement would cost every order one
# more commit. An order that took down all the workers that carried it is flagged, and is due again
# only after a while.
RULES = """CASE WHEN orders.terms IS NOT NULL THEN json_build_object(
    'type', orders.type, 'owner', orders.owner_id, 'time_in_force', orders.time_in_force,
    'limit_price', orders.limit_price::text, 'trigger_price', orders.trigger_price::text,
    'trigger_by', orders.trigger_by, 'trail_bps', orders.trail_bps,
    'activation_price', orders.activation_price::text,
    'attempts_allowed', orders.attempts_allowed, 'releases', orders.releases,
    'group_id', orders.group_id, 'parent_id', orders.parent_id, 'slice', orders.slice,
    'more', orders.terms, 'tags', orders.tags, 'sender', orders.sender,
    'is_over', coalesce(orders.expires_at <= clock.at, false)) END"""
CLAIM = f"""
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS at),
{TRADING},
{_BUDGET.strip().format(free=FREE_IF_NOT_HALTED)},
{{candidates}},
claimed AS (
  UPDATE orders SET
    lease_token = orders.lease_token + 1,
    lease_until = clock.at + %(lease)s * interval '1 second',
    lost_leases = orders.lost_leases + (orders.lease_until IS NOT NULL)::int,
    needs_attention = orders.needs_attention
      OR orders.lease_until IS NOT NULL AND orders.lost_leases + 1 >= {GIVEN_UP_AFTER},
    next_check = CASE
      WHEN orders.lease_until IS NOT NULL AND orders.lost_leases + 1 >= {GIVEN_UP_AFTER}
      THEN clock.at + {GIVEN_UP_SECONDS} * interval '1 second' ELSE orders.next_check END,
    status = CASE orders.status WHEN 'pending' THEN 'routing' ELSE orders.status END,
    seq = orders.seq + (orders.status = 'pending')::int,
    attempts = orders.attempts + (orders.status = 'pending')::int,
    started_at = coalesce(orders.started_at, clock.at)
  FROM due, clock
  WHERE orders.id = due.id
  RETURNING orders.id, orders.lease_token, orders.seq, orders.status, orders.attempts,
    orders.lost_leases, orders.side, orders.base, orders.quote, orders.amount_in,
    orders.amount_out, orders.slippage_bps, orders.venue, orders.min_out, orders.max_in,
    orders.constraints, orders.owner_id, orders.sender, orders.next_check, {RULES} AS rules,
    due.was_pending, due.was_started
),
logged AS (
  INSERT INTO order_events (order_id, owner_id, seq, status, attempt, message, data, at)
  SELECT id, owner_id, seq, 'routing', attempts, %(message)s, %(data)s::jsonb, clock.at
  FROM claimed, clock WHERE was_pending
),
counted AS (
  INSERT INTO order_starts (at, orders, senders)
  SELECT clock.at, count(*), array_agg(DISTINCT sender) FROM claimed, clock
  WHERE %(is_limited)s AND NOT was_started GROUP BY clock.at
)
SELECT claimed.id::text, claimed.lease_token, claimed.seq, claimed.status, claimed.attempts,
  claimed.lost_leases, claimed.side, claimed.base, claimed.quote, claimed.amount_in,
  claimed.amount_out, claimed.slippage_bps, claimed.venue, claimed.min_out, claimed.max_in,
  claimed.constraints, claimed.owner_id,
  tx.signature, tx.payload, tx.expires_at_height, claimed.rules, claimed.was_pending, clock.at
FROM clock, claimed
LEFT JOIN order_transactions AS tx
  ON claimed.status = 'submitted' AND tx.order_id = claimed.id AND tx.attempt = claimed.attempts
ORDER BY claimed.next_check, claimed.id
"""
CLAIM_DUE = CLAIM.format(candidates=DUE.strip())
CLAIM_NAMED = CLAIM.format(candidates=NAMED.strip())

LAST_DATA = """
SELECT data FROM order_events WHERE order_id = %s AND status = %s ORDER BY seq DESC LIMIT 1
"""

# Two claims at the same moment must not both see the same free budget. The lock is a separate
# statement, because the claim's snapshot has to be younger than the lock.
LOCK_BUDGET = "SELECT pg_advisory_xact_lock(20261121)"
TRY_BUDGET = "SELECT pg_try_advisory_xact_lock(20261121)"

# Asks three things: is an order due that is not in `submitted`, is one due that is, and which
# suspect is due. Begun orders have an index of their own, so a long queue hides none of them.
DUE_KINDS = f"""
WITH {TRADING}
SELECT NOT (SELECT is_halted FROM trading) AND EXISTS (SELECT FROM orders WHERE {IS_WAITING})
    OR coalesce(bool_or(status <> 'submitted' AND lost_leases < {SUSPECT_AFTER}), false),
  coalesce(bool_or(status = 'submitted' AND lost_leases < {SUSPECT_AFTER}), false),
  (array_agg(id::text) FILTER (WHERE lost_leases >= {SUSPECT_AFTER}))[1]
FROM orders WHERE {IS_DUE} AND started_at IS NOT NULL AND {MAY_GO_ON}
"""

# Also deletes starts in the future: the clock was set back, and would reach their times again.
PRUNE_STARTS = """
DELETE FROM order_starts
WHERE at < statement_timestamp() - %(window)s * interval '1 second'
  OR at > statement_timestamp() + interval '1 second'  -- others may commit meanwhile
"""

# The rules limit how far ahead an order's next check and lease can be. A later time was written
# before the clock was set back, and is corrected. An order that never began is due whatever the
# clock says. The holder of a corrected lease has a full lease's time to renew it.
BRING_BACK = f"""
WITH begun AS MATERIALIZED (
  SELECT id, next_check > statement_timestamp() + %(delay)s * interval '1 second' AS is_check,
    lease_until > statement_timestamp() + 2 * %(lease)s * interval '1 second' AS is_lease
  FROM orders
  WHERE {IS_BEGUN}
    AND (next_check > statement_timestamp() + %(delay)s * interval '1 second'
      OR lease_until > statement_timestamp() + 2 * %(lease)s * interval '1 second')
  ORDER BY next_check DESC, id DESC LIMIT %(most)s FOR UPDATE SKIP LOCKED
)
UPDATE orders SET
  next_check = CASE WHEN ahead.is_check THEN statement_timestamp() ELSE orders.next_check END,
  lease_until = CASE WHEN ahead.is_lease
    THEN statement_timestamp() + %(lease)s * interval '1 second' ELSE orders.lease_until END
FROM begun AS ahead
WHERE orders.id = ahead.id
"""

# Two halves, so that each uses its own partial index: one condition for both would use neither.
OPEN = f"""
(SELECT id, seq FROM orders WHERE {IS_BEGUN} ORDER BY next_check, id LIMIT %(most)s)
UNION ALL
(SELECT id, seq FROM orders WHERE {IS_WAITING} ORDER BY {IN_LINE} LIMIT %(most)s)
LIMIT %(most)s
"""
