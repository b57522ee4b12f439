"""The statements of the simulated network's ledger.

A row awaits its landing while it has a time to land and neither amounts nor a rejection.
"""

GATE = 0x6C656467
"""The advisory lock that recording shares, and that the proof of absence wants alone."""

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

# LATERAL keeps the planner to the primary key, also in a plan made while the table was empty.
FIND = """
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
SELECT extract(epoch FROM now)::float8, found.signature,
    coalesce(found.lands_at <= now, false),
    found.amount_in, found.amount_out, found.rejection, found.network_fee,
    CASE WHEN found.amount_out IS NULL AND found.rejection = '' THEN found.payload END
FROM clock LEFT JOIN unnest(%s::text[]) AS item (signature) ON true
LEFT JOIN LATERAL (
    SELECT * FROM simulated_network_transactions AS recorded
    WHERE recorded.signature = item.signature LIMIT 1
) AS found ON true
"""

DUE = """
SELECT signature, extract(epoch FROM lands_at)::float8, payload
FROM simulated_network_transactions
WHERE amount_out IS NULL AND rejection = '' AND lands_at IS NOT NULL
    AND lands_at <= (SELECT clock_timestamp())
ORDER BY lands_at, signature
LIMIT %s
"""

# The rows sorted, so that two batches with the same signatures cannot lock each other out.
WRITE = """
WITH recorded AS (
    INSERT INTO simulated_network_transactions (signature, expires_at_height, sent_at, lands_at,
        amount_in, amount_out, rejection, network_fee, payload)
    SELECT signature, expires_at_height, to_timestamp(%(now)s), to_timestamp(lands_at),
        amount_in, amount_out, rejection, network_fee, payload
    FROM json_to_recordset(%(entries)s::json) AS item (
        signature text, expires_at_height bigint, lands_at float8,
        amount_in bigint, amount_out bigint, rejection text, network_fee bigint, payload text)
    ORDER BY signature
    ON CONFLICT (signature) DO NOTHING RETURNING 1
), settled AS (
    UPDATE simulated_network_transactions AS found
    SET amount_in = item.amount_in, amount_out = item.amount_out, rejection = item.rejection,
        network_fee = item.network_fee
    FROM json_to_recordset(%(settled)s::json) AS item (
        signature text, amount_in bigint, amount_out bigint, rejection text, network_fee bigint)
    WHERE found.signature = item.signature
        AND found.amount_out IS NULL AND found.rejection = ''
    RETURNING 1
), moved AS (
    UPDATE simulated_pools AS pool
    SET state = item.state, tick = item.tick, version = item.version
    FROM json_to_recordset(%(pools)s::json) AS item (
        venue text, base text, quote text, state jsonb, tick bigint, version bigint)
    WHERE (pool.venue, pool.base, pool.quote) = (item.venue, item.base, item.quote)
        AND pool.version = item.version - 1
    RETURNING 1
)
SELECT (SELECT count(*) FROM recorded) + (SELECT count(*) FROM settled)
    + (SELECT count(*) FROM moved)
"""
