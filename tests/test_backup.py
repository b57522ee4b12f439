"""A backup restored under the engine, as docs/backup.md says; with PostgreSQL's own programs."""

import importlib.util
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.embedded_postgres import PACKAGE, VERSION
from tests.checker import load, violations
from tests.engine import Engine, engine, migrated_database

MANY = 6


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Engine]:
    with (
        migrated_database(tmp_path) as database,
        engine(database, tmp_path, SIMULATION_LANDING_LATENCY="0.2") as found,
    ):
        yield found


def program(name: str) -> str:
    """Return where a program of the server's own version is."""
    found = importlib.util.find_spec(PACKAGE)
    assert found is not None
    assert found.submodule_search_locations is not None
    path = Path(found.submodule_search_locations[0]) / VERSION / "bin" / name
    if not path.exists():
        pytest.skip(f"the embedded PostgreSQL comes without {name}")
    return str(path)


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 0, done.stderr


def back_up(running: Engine, file: Path) -> None:
    run(program("pg_dump"), "--format=custom", f"--file={file}", f"--dbname={running.conninfo}")


def restore(running: Engine, file: Path) -> None:
    running.query("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    options = ("--no-owner", "--exit-on-error", "--single-transaction")
    run(program("pg_restore"), *options, f"--dbname={running.conninfo}", str(file))


def test_after_a_backup_was_restored_all_its_orders_end_once_and_new_ones_go(
    running: Engine, tmp_path: Path
) -> None:
    """Web stays; the workers are stopped in the middle of their orders, and started again."""
    file = tmp_path / "engine.dump"
    web, worker, scheduler = running.web(), running.worker(), running.scheduler()
    ended = [web.post() for _ in range(MANY)]
    running.wait_until_all_ended()
    fills = running.query("SELECT id, filled_out FROM orders ORDER BY id")
    under_way = [web.post() for _ in range(MANY)]
    back_up(running, file)
    later = [web.post() for _ in range(MANY)]
    running.wait_until_all_ended()
    worker.kill()
    scheduler.kill()

    restore(running, file)
    stored = {str(row[0]) for row in running.query("SELECT id FROM orders")}
    worker, scheduler = running.worker(), running.scheduler()
    new = [web.post() for _ in range(MANY)]
    running.wait_until_all_ended()

    assert stored == {*ended, *under_way}
    assert {web.request(f"/api/orders/{order_id}").status for order_id in later} == {404}
    assert running.statuses() == {"confirmed": 3 * MANY}
    assert {str(row[0]) for row in running.query("SELECT id FROM orders")} == stored | {*new}
    kept = "SELECT id, filled_out FROM orders WHERE id = ANY(%s::uuid[]) ORDER BY id"
    assert running.query(kept, ended) == fills
    assert violations(load(running.conninfo)) == []
