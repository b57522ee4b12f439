"""Landings written with one call, and those that are worked out beforehand sent with one, too.

And the bins of a pool as one text.

As functions, because each statement in one sees what was committed until it began: what is read
behind a lock is not older than the lock.
"""

from django.db import migrations

# The rows sorted, so that two batches with the same signatures cannot lock each other out.
WRITE = """
CREATE FUNCTION simulated_network_write(
    recorded_at timestamptz, entries json, settled json, pools json
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    written bigint;
BEGIN
    WITH recorded AS (
        INSERT INTO simulated_network_transactions (signature, expires_at_height, sent_at,
            lands_at, amount_in, amount_out, rejection, network_fee, payload)
        SELECT signature, expires_at_height, recorded_at,
            CASE WHEN lands_at IS NOT NULL THEN greatest(to_timestamp(lands_at), recorded_at) END,
            amount_in, amount_out, rejection, network_fee, payload
        FROM json_to_recordset(entries) AS item (
            signature text, expires_at_height bigint, lands_at float8,
            amount_in bigint, amount_out bigint, rejection text, network_fee bigint, payload text)
        ORDER BY signature
        ON CONFLICT (signature) DO NOTHING RETURNING 1
    ), landed AS (
        UPDATE simulated_network_transactions AS found
        SET amount_in = item.amount_in, amount_out = item.amount_out,
            rejection = item.rejection, network_fee = item.network_fee
        FROM json_to_recordset(settled) AS item (
            signature text, amount_in bigint, amount_out bigint, rejection text,
            network_fee bigint)
        WHERE found.signature = item.signature
            AND found.amount_out IS NULL AND found.rejection = ''
        RETURNING 1
    ), moved AS (
        UPDATE simulated_pools AS pool
        SET state = item.state, tick = item.tick, version = item.version
        FROM json_to_recordset(pools) AS item (
            venue text, base text, quote text, state jsonb, tick bigint, version bigint)
        WHERE (pool.venue, pool.base, pool.quote) = (item.venue, item.base, item.quote)
            AND pool.version = item.version - 1
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM recorded) + (SELECT count(*) FROM landed)
        + (SELECT count(*) FROM moved) INTO written;
    IF written <> json_array_length(entries) + json_array_length(settled)
        + json_array_length(pools) THEN
        RAISE EXCEPTION 'another process recorded or landed one of these transactions meanwhile'
            USING ERRCODE = 'serialization_failure';
    END IF;
END $$
"""

# Returns the clock at which it landed, or NULL: nothing was done, the guess was wrong. The pools
# are locked in the order of their keys, as ever; the clock is read behind all locks. A height
# that comes out too high by rounding only refuses. LATERAL keeps the planner to the primary key,
# also in a plan made while the table was empty.
GUESS = """
CREATE FUNCTION simulated_network_guess(
    gate bigint, guessed_at float8, block_seconds float8, known json, entries json, pools json
) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
    now timestamptz;
    epoch float8;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(gate);
    IF json_array_length(known) <> (
        SELECT count(*) FROM (
            SELECT FROM json_to_recordset(known) AS item (
                venue text, base text, quote text, version bigint)
            JOIN simulated_pools AS pool USING (venue, base, quote)
            WHERE pool.version = item.version
            ORDER BY venue, base, quote FOR UPDATE OF pool
        ) AS locked
    ) THEN
        RETURN NULL;
    END IF;
    now := clock_timestamp();
    epoch := extract(epoch FROM now);
    IF guessed_at NOT BETWEEN floor(epoch) AND epoch OR EXISTS (
        SELECT FROM json_to_recordset(entries) AS item (expires_at_height bigint)
        WHERE item.expires_at_height < floor(epoch / block_seconds)
    ) OR EXISTS (
        SELECT FROM json_to_recordset(entries) AS item (signature text)
        CROSS JOIN LATERAL (
            SELECT FROM simulated_network_transactions AS recorded
            WHERE recorded.signature = item.signature LIMIT 1
        ) AS found
    ) OR json_array_length(known) > 0 AND EXISTS (
        SELECT FROM simulated_network_transactions
        WHERE amount_out IS NULL AND rejection = '' AND lands_at IS NOT NULL AND lands_at <= now
    ) THEN
        RETURN NULL;
    END IF;
    PERFORM simulated_network_write(now, entries, '[]', pools);
    RETURN epoch;
END $$
"""

BINS_AS_TEXT = """
UPDATE simulated_pools
SET state = jsonb_set(state, '{pool,bins}', to_jsonb(state #>> '{pool,bins}'))
WHERE kind = 'liquidity_bins'
"""
BINS_AS_NUMBERS = """
UPDATE simulated_pools
SET state = jsonb_set(state, '{pool,bins}', (state #>> '{pool,bins}')::jsonb)
WHERE kind = 'liquidity_bins'
"""


class Migration(migrations.Migration):
    dependencies = [("routing", "0004_tokens_and_markets")]
    operations = [
        migrations.RunSQL(WRITE, "DROP FUNCTION simulated_network_write"),
        migrations.RunSQL(GUESS, "DROP FUNCTION simulated_network_guess"),
        migrations.RunSQL(BINS_AS_TEXT, BINS_AS_NUMBERS),
    ]
