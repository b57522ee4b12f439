"""The statements of the simulated network's ledger.

A row that still has to land has a time to land, and neither amounts nor a rejection.
"""

GATE = 0x6C656467
"""The advisory lock that recordings share, and that a proof of absence holds alone."""

# A clock travels as whole microseconds: a session's settings decide how a float is written.
CLOCK = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"

SHARE_GATE = "SELECT pg_advisory_xact_lock_shared(%s)"
CLOSE_GATE = "SELECT pg_advisory_xact_lock(%s)"

# In the order of the keys, so that two transactions cannot lock each other out.
LOCK_POOLS = """
SELECT pool.venue, pool.base, pool.quote, pool.kind, pool.tick, pool.version, pool.state::text
FROM simulated_pools AS pool
WHERE (pool.venue, pool.base, pool.quote) IN (
    SELECT item.venue, item.base, item.quote
    FROM unnest(%s::text[], %s::text[], %s::text[]) AS item (venue, base, quote))
ORDER BY pool.venue, pool.base, pool.quote
FOR UPDATE OF pool
"""

# LATERAL makes the planner use the primary key, also in a plan made while the table was empty.
FIND = """
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
SELECT (extract(epoch FROM now) * 1000000)::bigint, found.signature,
    coalesce(found.lands_at <= now, false),
    found.amount_in, found.amount_out, found.rejection, found.network_fee,
    CASE WHEN found.amount_out IS NULL AND found.rejection = '' THEN found.payload END,
    found.sent_at > now, found.lands_at IS NULL, found.expires_at_height
FROM clock LEFT JOIN unnest(%s::text[]) AS item (signature) ON true
LEFT JOIN LATERAL (
    SELECT * FROM simulated_network_transactions AS recorded
    WHERE recorded.signature = item.signature LIMIT 1
) AS found ON true
"""

DUE = """
SELECT signature, (extract(epoch FROM lands_at) * 1000000)::bigint, payload
FROM simulated_network_transactions
WHERE amount_out IS NULL AND rejection = '' AND lands_at IS NOT NULL
    AND lands_at <= (SELECT clock_timestamp())
ORDER BY lands_at, signature
LIMIT %s
"""

# No row is recorded in the future: such a row's clock was ahead and has been set back. The rows
# that are looked for, and all that still have to land, land now. For a row that never lands, see
# `Ledger._status`.
BRING_BACK = """
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
ahead AS (
    SELECT unnest(%s::text[]) AS signature
    UNION
    SELECT signature FROM simulated_network_transactions
    WHERE amount_out IS NULL AND rejection = '' AND lands_at IS NOT NULL
        AND lands_at > (SELECT now FROM clock)
)
UPDATE simulated_network_transactions AS recorded
SET sent_at = clock.now, lands_at = least(recorded.lands_at, clock.now)
FROM ahead, clock
WHERE recorded.signature = ahead.signature AND recorded.sent_at > clock.now
    AND recorded.lands_at IS NOT NULL
"""

# Functions of the migrations, which describe them.
WRITE = "SELECT simulated_network_write(to_timestamp(%(now)s), %(entries)s, %(settled)s, %(pools)s)"
GUESS = """
SELECT (simulated_network_guess(
    %(gate)s, %(now)s, %(block_seconds)s, %(known)s, %(entries)s, %(pools)s) * 1000000)::bigint
"""
