"""A backup restored under the engine, as docs/backup.md says; with PostgreSQL's own programs."""

import importlib.util
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.environment.data_folder import PROJECT
from config.stack.postgres import PACKAGE, VERSION
from tests.support.checker import load, violations
from tests.support.database import as_owner
from tests.support.engine import Engine, engine, wait_for

MANY = 6
GUIDE = PROJECT / "docs/backup.md"


@pytest.fixture
def running(process_database: str, tmp_path: Path) -> Iterator[Engine]:
    slow = {"SIMULATION_LANDING_LATENCY": "1", "LEASE_SECONDS": "2"}
    with engine(process_database, tmp_path, **slow) as found:
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


def run(name: str, running: Engine, folder: Path) -> None:
    """Type the guide's line with this program, as the owner of the tables."""
    (line,) = re.findall(rf"^{name} .*$", GUIDE.read_text(), re.MULTILINE)
    words = shlex.split(line.replace("$DATABASE_URL", as_owner(running.conninfo)))
    command = [program(name), *words[1:]]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr


def test_after_a_backup_was_restored_all_its_orders_end_once_and_new_ones_go(
    running: Engine, tmp_path: Path
) -> None:
    """Web stays; the workers are stopped in the middle of their orders, and started again."""
    web, worker, scheduler = running.web(), running.worker(), running.scheduler()
    ended = [web.post() for _ in range(MANY)]
    running.wait_until_all_ended()
    fills = running.query("SELECT id, filled_out FROM orders ORDER BY id")
    under_way = [web.post() for _ in range(MANY)]
    wait_for(lambda: "submitted" in running.statuses(), what="one is submitted")
    run("pg_dump", running, tmp_path)
    later = [web.post() for _ in range(MANY)]
    running.wait_until_all_ended()
    worker.kill()
    scheduler.kill()

    run("pg_restore", running, tmp_path)
    assert running.statuses()["submitted"] > 0
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
