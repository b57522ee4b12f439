"""Run the engine from one terminal: `python -m config.stack up | run | demo | worker | clean`."""

import argparse
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from config.environment.data_folder import (
    EmbeddedError,
    hold_data_folder,
    is_alive,
    temporary_data_directory,
)
from config.environment.first_cause import (
    NEW_CLUSTER,
    PROCESSES,
    ROOM,
    SERVERS,
    CannotStart,
    check_disk,
    check_servers,
    check_threads,
    sentence_of,
)
from config.environment.listening import (
    LOOPBACK,
    PortTakenError,
    is_healthy,
    listen,
    listen_host,
    reached_at,
    url_of,
)
from config.environment.variables import WrongSettings, data_directory, environment_or_end
from config.runtime.sentences import WRONG, end_with, say
from config.stack import solana
from config.stack.banner import banner
from config.stack.clean import clean
from config.stack.postgres import cluster_location
from config.stack.processes import (
    another_worker,
    check_wallet,
    command_in_foreground,
    engine,
    manage,
    release,
)
from config.stack.servers import (
    READY_SECONDS,
    engine_environment,
    has_demo_login,
    start_servers,
    uses_embedded_postgres,
    uses_embedded_redis,
    welcome_everybody,
)
from config.stack.supervisor import NotReadyError, StopRequestedError, Supervisor


class Started(NamedTuple):
    """Where what was started listens."""

    port: int
    solana_port: int | None = None
    """Of a Solana cluster of our own."""

    @property
    def rpc_url(self) -> str:
        """The address of that cluster; empty if there is none."""
        return "" if self.solana_port is None else url_of(LOOPBACK, self.solana_port)


class NoEngineError(Exception):
    """The command wants an engine that runs on this data folder, and none does."""


def up() -> int:
    """Run everything until somebody stops it."""
    data_dir = data_directory()
    with hold_data_folder(data_dir) as lock, Supervisor() as supervisor, listen() as listener:
        started = start_engine(supervisor, data_dir, lock, listener)
        port = started.port
        with announce(data_dir, started):
            login = "  (demo / demo)" if has_demo_login(open_environment(data_dir)) else ""
            cluster = cluster_location(data_dir) if uses_embedded_postgres() else ""
            url = url_of(listen_host(), port)
            text = banner(url, login, cluster, reached_at(port), started.rpc_url)
            print(text, flush=True)
            supervisor.watch()
            say("Stopping.")
            supervisor.stop_all()
    return 0


def run(command: list[str], *, temporary: bool, durable: bool) -> int:
    """Run a command beside the two servers, and return its exit code."""
    with ExitStack() as stack:
        data_dir = (
            stack.enter_context(temporary_data_directory()) if temporary else data_directory()
        )
        lock = stack.enter_context(hold_data_folder(data_dir))
        supervisor = stack.enter_context(Supervisor())
        start_servers(supervisor, data_dir, lock, durable=durable or not temporary)
        return run_in_foreground(supervisor, command, engine_environment(data_dir))


def demo() -> int:
    """Show the demo on the engine of this folder if it runs, else on one made for it."""
    if running := running_url(data_directory()):
        with Supervisor() as supervisor:
            return show_demo(supervisor, running, engine_environment(data_directory()))
    if uses_embedded_postgres():
        os.environ.update(HOST=LOOPBACK)  # only this machine reaches it: orders need no account
    with (
        temporary_data_directory() as data_dir,
        hold_data_folder(data_dir) as lock,
        Supervisor() as supervisor,
        listen() as listener,
    ):
        started = start_engine(supervisor, data_dir, lock, listener, durable=False, logs=data_dir)
        url = url_of(listen_host(), started.port)
        return show_demo(supervisor, url, open_environment(data_dir))


def worker() -> int:
    """Be one more worker of the engine of this folder until somebody stops it."""
    data_dir = data_directory()
    if not running_url(data_dir):
        raise NoEngineError("No engine of this folder is running: start it with `make up` first.")
    with Supervisor() as supervisor:
        child = another_worker(engine_environment(data_dir) | running_solana(data_dir))
        supervisor.start(child)
        say("One more worker for the engine of this folder (Ctrl-C stops it).")
        supervisor.watch(until=child)
        supervisor.stop([child])
    return 0 if supervisor.stop_signal else child.exit_code()


def start_engine(
    supervisor: Supervisor,
    data_dir: Path,
    lock: int,
    listener: socket.socket,
    *,
    durable: bool = True,
    logs: Path | None = None,
) -> Started:
    """Start servers and processes, and wait until /health answers."""
    environment = open_environment(data_dir)
    check_threads(SERVERS + PROCESSES if uses_embedded_postgres() else PROCESSES)
    check_servers(
        "" if uses_embedded_postgres() else environment["DATABASE_URL"],
        "" if uses_embedded_redis() else environment["REDIS_URL"],
    )
    if uses_embedded_postgres():
        is_new = not (data_dir / "postgres").exists()
        check_disk(data_dir, NEW_CLUSTER if is_new else ROOM)
    start_servers(supervisor, data_dir, lock, durable=durable)
    solana_port = start_cluster(supervisor, data_dir, lock)
    if solana_port is not None:
        environment |= solana.settings_for(data_dir, solana_port)
    release(supervisor, data_dir, environment)
    check_wallet(supervisor, environment)
    children = engine(environment, listener, logs)
    for child in children:
        supervisor.start(child)
    port: int = listener.getsockname()[1]
    host = listen_host()
    supervisor.wait_until(lambda: is_healthy(port, host), children[0], READY_SECONDS)
    return Started(port, solana_port)


def start_cluster(supervisor: Supervisor, data_dir: Path, lock: int) -> int | None:
    """Start a Solana cluster if the engine needs one of its own, and return its port."""
    if not solana.uses_own_cluster():
        return None
    listener = solana.listen_for_cluster()
    port: int = listener.getsockname()[1]
    child = solana.cluster(data_dir, listener, lock)
    supervisor.start(child)
    supervisor.wait_until(lambda: solana.is_ready(port), child, READY_SECONDS)
    return port


def run_in_foreground(
    supervisor: Supervisor, command: list[str], environment: dict[str, str]
) -> int:
    """Run a command to its end, pass on our signals, and return its exit code."""
    child = command_in_foreground(command, environment)
    supervisor.start(child)
    supervisor.watch(until=child)
    if supervisor.stop_signal is not None:
        was_typed = supervisor.stop_signal == signal.SIGINT and not child.own_session
        child.stop_signal = 0 if was_typed else supervisor.stop_signal  # a typed one reached it
        supervisor.stop([child])
    return child.exit_code()


def open_environment(data_dir: Path) -> dict[str, str]:
    environment = engine_environment(data_dir)
    welcome_everybody(environment)
    return environment


def show_demo(supervisor: Supervisor, url: str, environment: dict[str, str]) -> int:
    """Show the demo of an engine; Ctrl-C ends it without an error."""
    code = run_in_foreground(supervisor, manage("demo", "--url", url), environment)
    return 0 if supervisor.stop_signal == signal.SIGINT else code


@contextmanager
def announce(data_dir: Path, started: Started) -> Iterator[None]:
    """Let other commands find this stack. A file that outlives us names a dead process."""
    path = data_dir / "stack.json"
    draft = path.with_suffix(".new")
    told = {"pid": os.getpid(), "host": listen_host()} | started._asdict()
    draft.write_text(json.dumps(told))
    draft.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def running_solana(data_dir: Path) -> dict[str, str]:
    """Return the settings of the cluster that the running stack has started, if it has."""
    port = json.loads((data_dir / "stack.json").read_text()).get("solana_port")
    return {} if port is None else solana.settings_for(data_dir, int(port))


def running_url(data_dir: Path) -> str | None:
    """Return the address of the stack that runs on a data folder; None if none answers."""
    try:
        stack = json.loads((data_dir / "stack.json").read_text())
        process_id, port, host = int(stack["pid"]), int(stack["port"]), str(stack["host"])
    except (OSError, ValueError, KeyError):
        return None
    return url_of(host, port) if is_alive(process_id) and is_healthy(port, host) else None


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m config.stack")
    commands = parser.add_subparsers(dest="command", required=True)
    for action in (up, demo, worker, clean):
        commands.add_parser(action.__name__, help=action.__doc__).set_defaults(action=action)
    runner = commands.add_parser("run", help=run.__doc__)
    runner.add_argument(
        "--temporary", action="store_true", help="fresh servers, removed at the end"
    )
    runner.add_argument("--durable", action="store_true", help="with --temporary: keep fsync on")
    runner.add_argument("argv", nargs="+", metavar="COMMAND")
    chosen = parser.parse_args(arguments)
    # `run` starts a command that has settings of its own.
    environment_or_end(for_engine=chosen.command not in ("run", "clean"))
    try:
        if chosen.command == "run":
            return run(chosen.argv, temporary=chosen.temporary, durable=chosen.durable)
        code: int = chosen.action()
    except (EmbeddedError, CannotStart, NotReadyError, NoEngineError, PortTakenError) as error:
        if sentence := str(error):  # an empty one was said before
            say(sentence)
        return WRONG
    except WrongSettings as error:
        end_with(error.sentences)
    except OSError as error:
        if not (fault := sentence_of(error)):
            raise
        say(fault)
        return WRONG
    except StopRequestedError:  # Ctrl-C during the start is no fault either
        return 128 + signal.SIGINT if chosen.command == "run" else 0
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
