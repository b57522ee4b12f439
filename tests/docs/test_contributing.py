"""What CONTRIBUTING.md and the files around it say is what there is."""

import os
import re
import subprocess
import sys

import pytest
import yaml

from config.environment.data_folder import PROJECT

PAGE = (PROJECT / "CONTRIBUTING.md").read_text()
LOCK = (PROJECT / "requirements-dev.lock").read_text()


def test_the_files_of_the_table_exist() -> None:
    named = re.findall(r"`(tests/[\w/.]+)`", PAGE)
    assert len(named) > 20
    assert [path for path in named if not (PROJECT / path).exists()] == []


def test_each_room_has_its_tests() -> None:
    rooms = [
        path.parent.relative_to(PROJECT)
        for house in ("config", "orders", "routing")
        for path in (PROJECT / house).glob("*/__init__.py")
    ]
    untested = {str(room) for room in rooms if not (PROJECT / "tests" / room).is_dir()}

    assert untested <= ELSEWHERE.keys()
    assert [path for path in ELSEWHERE.values() if not (PROJECT / path).exists()] == []


ELSEWHERE = {
    "config/database": "tests/servers/test_poolers.py",
    "orders/admin_pages": "tests/orders/admin",
    "orders/logins": "tests/logins",
    "orders/migrations": "tests/orders/engine/test_history.py",
    "orders/models": "tests/orders/test_lifecycle.py",
    "routing/admin": "tests/routing/test_admin_tokens.py",
    "routing/management": "tests/routing/pools",
    "routing/operations": "tests/routing/test_launches.py",
    "routing/migrations": "tests/routing/test_registry_tables.py",
    "routing/venues": "tests/routing/simulation/test_venues.py",
}
"""Where the tests of a room stand that no folder of the same name has."""


@pytest.mark.parametrize("name", ["abuse", "chaos"])
def test_a_long_run_begins_without_servers_and_without_django(name: str) -> None:
    """Both start servers of their own: no setting is there when they are imported."""
    bare = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    command = [sys.executable, "-m", f"tests.{name}", "--help"]
    run = subprocess.run(command, cwd=PROJECT, env=bare, capture_output=True, text=True)

    assert run.returncode == 0, run.stderr
    assert f"make {name}" in run.stdout


def test_what_formats_before_a_commit_is_what_make_check_asks() -> None:
    hooks = yaml.safe_load((PROJECT / ".pre-commit-config.yaml").read_text())["repos"]
    (ruff,) = [repo["rev"] for repo in hooks if "ruff" in repo["repo"]]
    assert f"ruff=={ruff.removeprefix('v')} " in LOCK


def test_the_workflow_runs_what_ci_runs_on_every_python_that_is_served() -> None:
    jobs = yaml.safe_load((PROJECT / ".github/workflows/tests.yml").read_text())["jobs"]
    assert {"run": ".ci/run"} in jobs["tests"]["steps"]
    assert jobs["tests"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13", "3.14"]
