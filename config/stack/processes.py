"""The engine's processes: web, worker, scheduler, and the release step before them."""

import hashlib
import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from config.environment.data_folder import PROJECT
from config.environment.listening import is_reachable
from config.environment.variables import read_environment
from config.runtime.sentences import WRONG
from config.stack.child import Child
from config.stack.identity import unprivileged
from config.stack.postgres import cluster_identifier
from config.stack.servers import uses_embedded_postgres
from config.stack.solana import without_secrets
from config.stack.supervisor import NotReadyError, Supervisor

ENGINE_LAYER = 2
WEB_OPTIONS = {
    "--http": "config.http.connection:Connection",
    "--ws": "config.http.websocket:WebSocket",
    "--ws-max-size": "65536",
    "--ws-max-queue": "4",
    "--ws-per-message-deflate": "false",  # it costs 115 KB a socket, for texts of 200 bytes
    "--ws-ping-interval": "5",  # a line that is silent for 15 s is cut
    "--ws-ping-timeout": "10",
    "--timeout-keep-alive": "80",  # proxies keep theirs for up to 75 s, and should close first
    "--timeout-graceful-shutdown": "10",
    "--lifespan": "on",
    "--log-level": "warning",
}
WEB_FLAGS = ("--no-access-log", "--no-proxy-headers")  # config/http/address.py reads the headers
# `manage.py release` makes Django's checks. They would take a third of a worker's start.
CELERY_OPTIONS = ("--quiet", "--skip-checks", "-A", "config")
WORKER_OPTIONS = ("--without-mingle", "--without-gossip", "--loglevel", "WARNING")
# Chosen because its memory stays flat while a client floods it. Its successor is not measured.
NO_WEBSOCKETS_WARNING = "ignore:The `websockets` implementation is deprecated"
# Celery warns root, and users without a name, of pickle. We accept no pickle.
NO_ROOT_WARNING = "ignore:You're running the worker with superuser"
NO_NAME_WARNING = "ignore:An entry for the specified gid or egid was not found"


def release(supervisor: Supervisor, data_dir: Path, environment: Mapping[str, str]) -> None:
    """Bring the database up to date. Skip it for our own database if that is known to be.

    :raises NotReadyError: it failed.
    """
    stamp = data_dir / "released"
    mark = _release_mark(data_dir, environment) if uses_embedded_postgres() else ""
    if mark and stamp.exists() and stamp.read_text() == mark:
        return
    own = without_secrets(environment)
    child = Child("release", manage("release"), own, layer=ENGINE_LAYER, folder=PROJECT)
    code = supervisor.run(child)
    if code == WRONG:
        raise NotReadyError  # the step itself has said why
    if code != 0:
        raise NotReadyError(f"The database was not brought up to date: release {child.ending()}.")
    stamp.write_text(mark)


def check_wallet(supervisor: Supervisor, environment: Mapping[str, str]) -> None:
    """Return if the wallet and its network may be used as things are set.

    :raises NotReadyError: they may not: nothing is started.
    """
    if read_environment().VENUES == "simulated":
        return
    child = Child(
        name="check_wallet",
        command=manage("check_wallet"),
        environment=environment,
        layer=ENGINE_LAYER,
        folder=PROJECT,
        identity=unprivileged(),
    )
    if supervisor.run(child) != 0:
        raise NotReadyError  # it has said why


def engine(
    environment: Mapping[str, str], listener: socket.socket, logs: Path | None = None
) -> list[Child]:
    """Return web, worker and scheduler. `logs` is a folder for their output, else it is ours."""
    web_options = [word for option in WEB_OPTIONS.items() for word in option]
    descriptor = listener.fileno()
    commands = {
        "web": [
            *(sys.executable, "-W", NO_WEBSOCKETS_WARNING, "-m", "uvicorn"),
            *("config.asgi:application", *web_options, *WEB_FLAGS),
            *("--fd", str(descriptor)),
        ],
        "worker": worker_command("worker"),
        "scheduler": manage("run_scheduler"),
    }
    signs_nothing = without_secrets(environment)
    # Each has somewhat more time than it needs to end by itself.
    graces = {"web": 12.0, "worker": worker_grace(), "scheduler": 5.0}
    return [
        Child(
            name=name,
            command=command,
            environment=environment if name == "worker" else signs_nothing,
            layer=ENGINE_LAYER,
            grace=graces[name],
            folder=PROJECT,
            identity=unprivileged(),
            log=logs / f"{name}.log" if logs else None,
            keeps=(descriptor,) if name == "web" else (),
        )
        for name, command in commands.items()
    ]


def another_worker(environment: Mapping[str, str]) -> Child:
    """Return a worker to run beside the workers of an engine that already runs."""
    return Child(
        name="worker",
        command=worker_command(f"worker-{os.getpid()}"),
        environment=environment,
        grace=worker_grace(),
        folder=PROJECT,
        identity=unprivileged(),
    )


def worker_grace() -> float:
    """Return how many seconds a worker has to end."""
    return read_environment().STOP_GRACE_SECONDS + 17


def worker_command(name: str) -> list[str]:
    return [
        *(sys.executable, "-W", NO_ROOT_WARNING, "-W", NO_NAME_WARNING),
        *("-m", "celery", *CELERY_OPTIONS),
        *("worker", "--hostname", f"{name}@%h", *WORKER_OPTIONS),
    ]


def manage(*arguments: str) -> list[str]:
    return [sys.executable, str(PROJECT / "manage.py"), *arguments]


def command_in_foreground(command: list[str], environment: Mapping[str, str]) -> Child:
    """Return a command that has the terminal, if there is one, and that gets our signals."""
    has_terminal = sys.stdin is not None and sys.stdin.isatty()
    return Child(
        name=command[0],
        command=command,
        environment=environment,
        layer=ENGINE_LAYER + 1,
        grace=30.0,
        orphan_signal=signal.SIGKILL,
        own_session=not has_terminal,
        is_group=True,
        reads_input=True,
    )


def _release_mark(data_dir: Path, environment: Mapping[str, str]) -> str:
    """Return a text that changes with the database, a migration or a version."""
    mark = hashlib.sha256(cluster_identifier(data_dir))
    for setting in ("DEMO_LOGIN", "DEFAULT_MARKET", "VENUES"):  # `release` depends on them
        mark.update(f"{setting}={environment.get(setting, '')};".encode())
    mark.update(f"is_reachable={is_reachable()};".encode())
    for path in [*sorted(PROJECT.glob("*/migrations/*.py")), PROJECT / "requirements.lock"]:
        mark.update(path.name.encode() + path.read_bytes())
    return mark.hexdigest()
