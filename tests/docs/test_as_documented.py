"""What the units of systemd, Compose and the guide of one process run, run as they say it.

No systemd and no Docker: their commands, with the variables that they and the guides give, and
no other. What differs is where Python, the servers and a free port are.
"""

import json
import re
import shlex
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from django.conf import settings
from psycopg.conninfo import conninfo_to_dict

from config.environment.data_folder import PROJECT
from config.stack.child import end_with_parent
from tests.support.accounts import make_account
from tests.support.confined import confined_as
from tests.support.engine import SELL, Engine, processes, wait_for
from tests.support.installed import free_port

UNITS = PROJECT / "docs/deployment/systemd"
COMPOSE = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())
DOCKERFILE = (PROJECT / "Dockerfile").read_text()
BARE = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "LANG": "C.UTF-8"}
SECRET = "of-nobody-and-long-enough-for-Django-to-be-content"


@dataclass
class Host:
    """A machine that runs an engine: its processes, and what each has in its environment."""

    folder: Path
    given: Mapping[str, str]
    port: int = field(default_factory=free_port)
    started: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def start(
        self,
        name: str,
        command: Sequence[str],
        confine: Callable[[], None] | None = None,
        **environment: str,
    ) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            self.started[name] = subprocess.Popen(
                command,
                cwd=PROJECT,
                env={**BARE, **self.given, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=end_with_parent(signal.SIGKILL, first=confine),
            )

    def run(
        self, command: Sequence[str], confine: Callable[[], None] | None = None, **environment: str
    ) -> None:
        """Run a command to its end, which has to be a good one."""
        self.start("once", command, confine, **environment)
        assert self.started.pop("once").wait(60) == 0, self.said("once")

    def said(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def is_ready(self) -> bool:
        for name, process in self.started.items():
            assert process.poll() is None, self.said(name)
        with suppress(OSError):
            return self.ask("/readyz")[0] == 200 and self.ask("/health")[1]["worker"] == "ok"
        return False

    def ask(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        headers["X-Forwarded-Proto"] = "https"  # as the proxy of the guides says
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def stop(self) -> None:
        """Stop all as a host does, with SIGTERM, which none may call a fault."""
        for process in self.started.values():
            process.send_signal(signal.SIGTERM)
        for name, process in self.started.items():
            assert process.wait(30) in (0, -signal.SIGTERM), self.said(name)

    def kill(self) -> None:
        for process in self.started.values():
            process.kill()
            process.wait()


@pytest.fixture
def given(process_database: str) -> dict[str, str]:
    """What the guides have in their files of settings, for servers that are here."""
    (shown,) = re.findall(
        r"```ini\n(.*?)```", (PROJECT / "docs/deployment/systemd.md").read_text(), re.DOTALL
    )
    names = set(re.findall(r"^([A-Z_]+)=", shown, re.MULTILINE))
    found = conninfo_to_dict(process_database)
    server = f"host={quote(str(found['host']), safe='')}&port={found['port']}"
    here = {
        "DATABASE_URL": f"postgresql://{found['user']}@/{found['dbname']}?{server}",
        "REDIS_URL": settings.REDIS_URL,
        "SECRET_KEY": SECRET,
        "ALLOWED_HOSTS": "orders.example.com",
        "HTTPS": "true",
    }
    assert names == set(here)
    return here


@pytest.fixture
def stored(process_database: str, tmp_path: Path) -> Iterator[Engine]:
    """Looks into the database of the processes, and leaves it empty."""
    with processes(process_database, tmp_path) as found:
        yield found
        found.empty()


@contextmanager
def host_in(folder: Path, given: Mapping[str, str]) -> Iterator[Host]:
    host = Host(folder, given)
    try:
        yield host
    finally:
        host.kill()


def follow_an_order(host: Host, stored: Engine) -> None:
    """Send an order as the guides end, have it executed, and stop the host in good order."""
    wait_for(host.is_ready, 60, "the engine is ready")
    account = make_account(stored.conninfo)
    typed = {"Content-Type": "application/json", "Host": "orders.example.com"}
    assert host.ask("/api/orders/execute", SELL, **typed)[0] == 401
    status, answer = host.ask("/api/orders/execute", SELL, **typed, **account.headers)
    assert status == 201, answer
    stored.wait_until_all_ended()
    assert stored.statuses() == {"confirmed": 1}
    host.stop()


@pytest.mark.parametrize("is_confined", [False, True], ids=["free", "confined"])
def test_the_commands_of_the_units_carry_an_order(
    given: dict[str, str], stored: Engine, tmp_path: Path, is_confined: bool
) -> None:
    """Confined: with the system calls that the unit leaves, and without making code of data."""
    with host_in(tmp_path, given) as host:
        for name in ("release", "web", "worker@", "scheduler"):
            unit = (UNITS / f"order-engine-{name}.service").read_text()
            command, variables = command_of(unit, host.port)
            confine = confined_as(unit) if is_confined else None
            if name == "release":
                host.run(command, confine, **variables)
            else:
                host.start(name, command, confine, **variables)
        follow_an_order(host, stored)
        said = [*host.said("web").splitlines(), *host.said("scheduler").splitlines()]
        assert [line for line in said if not line.startswith("{")] == []  # LOG_FORMAT=json


@pytest.mark.parametrize(
    "deed",
    [
        "os.chown('.', 1, 1)",
        "os.setpriority(os.PRIO_PROCESS, 0, 5)",
        "os.sched_setaffinity(0, {0})",
        "mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)",
    ],
)
def test_what_the_units_take_away_is_refused(deed: str, tmp_path: Path) -> None:
    for path in UNITS.glob("*.service"):
        ended = subprocess.run(
            [sys.executable, "-c", f"import mmap, os; {deed}"],
            cwd=tmp_path,  # where no harm is done if it is not refused
            preexec_fn=confined_as(path.read_text()),
            capture_output=True,
            text=True,
        )
        assert "PermissionError" in ended.stderr, path.name


def command_of(unit: str, port: int) -> tuple[list[str], dict[str, str]]:
    """Return what a unit starts, as systemd reads it for the instance 1, and its variables."""
    (line,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    line = line.replace("%i", "1").replace("%%", "%").replace("--port 8000", f"--port {port}")
    words = [word.replace("/srv/order-engine", str(PROJECT)) for word in shlex.split(line)]
    told = re.findall(r"^Environment=(.*)$", unit, re.MULTILINE)
    return words, dict(word.split("=", 1) for text in told for word in shlex.split(text))


def test_the_commands_of_compose_carry_an_order_and_its_health_checks_pass(
    given: dict[str, str], stored: Engine, tmp_path: Path
) -> None:
    with host_in(tmp_path, {**image(), **given}) as host:
        container = {"PORT": str(host.port), "HOSTNAME": "container-1"}
        services = COMPOSE["services"]
        host.run(services["migrate"]["command"], **container)
        (web,) = re.findall(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
        host.start("web", json.loads(web), **container)
        kind, *healthy = services["worker"]["healthcheck"]["test"]
        assert kind == "CMD"
        host.start("worker", services["worker"]["command"], **container)
        host.start("scheduler", services["scheduler"]["command"], **container)
        wait_for(host.is_ready, 60, "the engine is ready")
        (check,) = re.findall(r"HEALTHCHECK[^\n]*\\\n *CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
        host.run(json.loads(check), **container)
        host.run(healthy, **container)
        follow_an_order(host, stored)


def image() -> dict[str, str]:
    """Return the environment that the image has, but for its path."""
    (text,) = re.findall(r"^ENV ((?:.*\\\n)*.*)$", DOCKERFILE, re.MULTILINE)
    words = shlex.split(text.replace("\\\n", " "))
    found = dict(word.split("=", 1) for word in words)
    return {name: value for name, value in found.items() if name != "PATH"}


def test_one_process_for_a_platform_carries_an_order(
    given: dict[str, str], stored: Engine, tmp_path: Path
) -> None:
    """As Render and Railway start it, and the last part of the guide for a plain server."""
    own = {"ENGINE_DATA_DIR": str(tmp_path / "data"), "TRUSTED_PROXIES": "1"}
    with host_in(tmp_path, given) as host:
        command = [sys.executable, "-m", "config.stack", "up"]
        host.start("up", command, PORT=str(host.port), **own)
        follow_an_order(host, stored)
        shown = host.said("up")

    assert "create_api_key" in shown
    assert "kept in" not in shown
    assert not (tmp_path / "data/postgres").exists()
