"""The watcher in a scheduler's process: it makes ticks whatever the servers do."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.accounts import execute
from tests.support.engine import Engine, Server, engine, own_postgres, wait_for
from tests.support.machine import Watch

STOPPED_WITHIN = 5.0
WATCH = """
INSERT INTO watches (order_id, pair, line, kind, act, from_tick, queued_at, expires_at, wake_price)
VALUES (gen_random_uuid(), 'JUP/RAY', 'b', '<', 'f', 0, now(), now() + interval '1 day', 0.0001)
"""
LAST = "SELECT coalesce(max(tick), 0) FROM price_ticks WHERE bid < ask OR bid >= ask"


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[tuple[Server, Engine]]:
    with own_postgres() as (server, database), engine(database, tmp_path) as running:
        running.manage("migrate", "--verbosity", "0")
        execute(running.conninfo, WATCH)
        yield server, running


def test_a_watcher_makes_ticks_again_after_postgresql_restarts_and_stops_with_its_scheduler(
    postgres: tuple[Server, Engine],
) -> None:
    server, running = postgres
    scheduler = running.scheduler()
    wait_for(lambda: running.value(LAST) > 0, what="the first tick")
    before = running.value(LAST)

    server.kill()
    server.start()
    wait_for(lambda: running.value(LAST) > before, what="a tick after the restart")

    watch = Watch()
    scheduler.send(signal.SIGTERM)
    assert scheduler.wait() == 0, scheduler.output
    watch.assert_within(STOPPED_WITHIN, "the end of the scheduler")
    assert "Traceback" not in scheduler.output
