"""The queries of the operators' page. Each reads a bounded number of rows, through an index."""

from orders.lifecycle import IS_BEGUN

MOST_COUNTED = 10_000  # orders of each count; more says no more to a person
MOST_AGED = 1_000  # orders under way whose last event is looked up
MOST_RECENT = 10_000
MOST_FAILED = 20_000  # of the last day
MOST_FLAGGED = 50
MOST_HAPPENED = 12

# How long each order under way has stood at its step: since its last event. Those whose lease has
# less than half of its time left were not renewed: their worker is silent.
STEPS = f"""
SELECT begun.status, count(*), max(extract(epoch FROM statement_timestamp() - event.at)::float8),
  min(extract(epoch FROM begun.next_check - statement_timestamp())::float8)
FROM (
  SELECT id, seq, status, next_check FROM orders
  WHERE {IS_BEGUN} ORDER BY next_check, id LIMIT %(aged)s
) AS begun
LEFT JOIN LATERAL (
  SELECT at FROM order_events WHERE order_id = begun.id AND seq = begun.seq
) AS event ON true
GROUP BY begun.status
"""  # noqa: S608  # our own words
LEASES = f"""
SELECT count(*) FILTER (WHERE lease_until < statement_timestamp()),
  count(*) FILTER (WHERE lease_until >= statement_timestamp()
    AND lease_until < statement_timestamp() + %(half)s * interval '1 second'),
  min(extract(epoch FROM lease_until - statement_timestamp())::float8)
    FILTER (WHERE lease_until >= statement_timestamp()),
  count(*) FILTER (WHERE lost_leases > 0)
FROM (
  SELECT lease_until, lost_leases FROM orders
  WHERE {IS_BEGUN} ORDER BY next_check, id LIMIT %(most)s
) AS begun
"""  # noqa: S608
# What became of the last hour's orders, by venue.
RECENT = """
SELECT coalesce(venue, ''), status, coalesce(failure_code, ''), count(*)
FROM (
  SELECT venue, status, failure_code FROM orders
  WHERE created_at > statement_timestamp() - interval '1 hour'
  ORDER BY created_at DESC, id DESC LIMIT %(recent)s
) AS recent GROUP BY 1, 2, 3
"""
FAILED = """
SELECT failure_code,
  count(*) FILTER (WHERE created_at > statement_timestamp() - interval '1 hour'), count(*)
FROM (
  SELECT failure_code, created_at FROM orders
  WHERE failure_code IS NOT NULL AND created_at > statement_timestamp() - interval '1 day'
  ORDER BY created_at DESC, id DESC LIMIT %(failed)s
) AS failed GROUP BY 1 ORDER BY 2 DESC, 3 DESC, 1
"""
FLAGGED = """
SELECT flagged.id, seen.seen_by, extract(epoch FROM statement_timestamp() - seen.at)::float8
FROM (
  SELECT id, created_at FROM orders WHERE needs_attention
  ORDER BY created_at DESC, id DESC LIMIT %(flagged)s
) AS flagged LEFT JOIN seen_orders AS seen ON seen.order_id = flagged.id
ORDER BY seen.at IS NOT NULL, flagged.created_at DESC, flagged.id DESC
"""
POSTGRES = """
SELECT current_setting('server_version'),
  extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())::float8,
  (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
  current_setting('max_connections')::int,
  (SELECT extract(epoch FROM clock_timestamp() - min(xact_start))::float8 FROM pg_stat_activity
   WHERE backend_type = 'client backend' AND pid <> pg_backend_pid())
"""
TICKS = """
SELECT max(tick_age), max(behind) FROM (
  SELECT greatest(extract(epoch FROM clock_timestamp()) - last.tick, 0)::float8 AS tick_age,
    greatest(last.tick - progress.evaluated_tick, 0) AS behind
  FROM (SELECT pair, evaluated_tick FROM pair_progress ORDER BY pair LIMIT 1000) AS progress
  CROSS JOIN LATERAL (
    SELECT tick FROM price_ticks WHERE price_ticks.pair = progress.pair ORDER BY tick DESC LIMIT 1
  ) AS last
) AS ticks
"""
HAPPENED = """
SELECT log.action_time, users.username, types.model, log.object_repr,
  log.change_message, log.action_flag
FROM (SELECT * FROM django_admin_log ORDER BY id DESC LIMIT %(happened)s) AS log
LEFT JOIN auth_user AS users ON users.id = log.user_id
LEFT JOIN django_content_type AS types ON types.id = log.content_type_id
ORDER BY log.id DESC
"""
CHANGED = """
SELECT at, changed_by, state, why FROM trading_states ORDER BY id DESC LIMIT %(happened)s
"""
