"""PostgreSQL, PgBouncer and Redis of the distribution, in folders of their own, on free ports."""

import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
import redis
from psycopg.conninfo import make_conninfo

from config.environment.data_folder import DATABASE
from config.stack.child import Child, end_with_parent
from config.stack.identity import Identity, postgres_identity
from tests.support.engine import wait_for

HANDED_TO_NOBODY = range(12_000, 32_000)  # as Linux is shipped, it begins at 32,768

QUICK = {
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "shared_buffers": "16MB",
    "max_connections": "60",
    "wal_keep_size": "64MB",
    "wal_receiver_status_interval": "1",
    "wal_retrieve_retry_interval": "100ms",
}


def postgres_programs() -> Path:
    """Return the folder of initdb and postgres; the newest, where there are several."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4])
    )
    if not found:
        pytest.skip("no PostgreSQL of the distribution is here: install postgresql")
    return found[-1].parent


def program(name: str, package: str) -> str:
    """Return where a program is, which may be outside of an ordinary user's path."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"{name} is not here: install {package}")
    return found


def free_port() -> int:
    """Return a port that is still free when a server takes it, seconds later.

    The system hands none of these out: of its own, a connection may get this one meanwhile.
    """
    while True:
        port = secrets.choice(HANDED_TO_NOBODY)
        with socket.socket() as found, suppress(OSError):
            found.bind(("0.0.0.0", port))
            return port


@dataclass
class Servers:
    """Starts servers below one folder; each ends with us, and at the latest when this is closed."""

    folder: Path
    template: Callable[[], Path] | None = None
    _children: list[Child] = field(default_factory=list)

    @property
    def identity(self) -> Identity:
        """As whom they run: PostgreSQL and PgBouncer refuse root."""
        return postgres_identity(self.folder / "none")

    def postgres(self, name: str, *, like: Path | None = None, **settings: str) -> "Postgres":
        """Return a server whose files are a copy of the template's, or of another stopped one."""
        cluster = self.folder / name
        source = like or (self.template() if self.template else None)
        assert source is not None
        self.run("cp", "-R", str(source), str(cluster))
        return Postgres(self, cluster, free_port(), settings)

    def standby_of(self, primary: "Postgres", name: str, **settings: str) -> "Postgres":
        """Return a standby of a primary that was not started yet: its files are the same."""
        standby = self.postgres(name, like=primary.cluster, **settings)
        source = make_conninfo(primary.conninfo, dbname="", application_name=name)
        standby.settings["primary_conninfo"] = source
        self.write(standby.cluster / "standby.signal", "")
        return standby

    def start(self, name: str, command: Sequence[str], **options: int) -> Child:
        child = Child(
            name,
            command,
            environment={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            folder=Path("/"),
            log=self.folder / f"{name}.log",
            identity=self.identity,
            **options,
        )
        child.start()
        self._children.append(child)
        return child

    def write(self, path: Path, text: str) -> Path:
        path.write_text(text)
        path.chmod(0o600)
        self.identity.own(path)
        return path

    def close(self) -> None:
        for child in reversed(self._children):
            child.ask_to_stop(signal.SIGQUIT if child.name in POSTGRES_NAMES else None)
        for child in self._children:
            with suppress(AssertionError):
                wait_for(lambda child=child: not child.is_running(), 3.0)
            child.kill()

    def run(self, *command: str) -> None:
        ended = subprocess.run(
            command,
            cwd="/",
            capture_output=True,
            text=True,
            preexec_fn=end_with_parent(signal.SIGKILL, first=self.identity.prepare),
            **self.identity.popen_arguments(),
        )
        assert ended.returncode == 0, ended.stderr


POSTGRES_NAMES: set[str] = set()


class Postgres:
    """A PostgreSQL on a port of 127.0.0.1, of the user postgres."""

    def __init__(
        self, servers: Servers, cluster: Path, port: int, settings: Mapping[str, str]
    ) -> None:
        self.cluster = cluster
        self.port = port
        self.settings = dict(settings)
        self._servers = servers
        self._child: Child | None = None
        POSTGRES_NAMES.add(cluster.name)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def conninfo(self) -> str:
        return make_conninfo(
            host="127.0.0.1", port=self.port, user="postgres", dbname=DATABASE, sslmode="disable"
        )

    @property
    def url(self) -> str:
        return f"postgresql://postgres@{self.host}/{DATABASE}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = QUICK | self.settings
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        options += ["-c", f"unix_socket_directories={self._servers.folder}"]
        options += ["-c", "listen_addresses=127.0.0.1", "-p", str(self.port)]
        self._child = self._servers.start(
            self.cluster.name,
            [str(postgres_programs() / "postgres"), "-D", str(self.cluster), *options],
            orphan_signal=signal.SIGQUIT,
        )
        wait_for(self._answers, what=f"{self.cluster.name} answers")

    def stop_at_once(self) -> None:
        """As `pg_ctl stop -m immediate`."""
        assert self._child is not None
        self._child.ask_to_stop(signal.SIGQUIT)
        wait_for(lambda: not self._child.is_running())

    def stop(self) -> None:
        assert self._child is not None
        self._child.ask_to_stop(signal.SIGINT)
        wait_for(lambda: not self._child.is_running())

    def ask(self, statement: str, conninfo: str = "") -> list[tuple]:
        with psycopg.connect(conninfo or self.conninfo, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def _answers(self) -> bool:
        assert self._child.is_running(), self._child.last_words()
        with suppress(psycopg.OperationalError):
            return bool(self.ask("SELECT 1", make_conninfo(self.conninfo, dbname="postgres")))
        return False


def make_cluster(servers: Servers, name: str) -> Path:
    """Make the files of a PostgreSQL with an empty database."""
    cluster = servers.folder / name
    cluster.mkdir(mode=0o700)
    servers.identity.own(cluster)
    programs = postgres_programs()
    servers.run(
        *(str(programs / "initdb"), "-D", str(cluster), "-U", "postgres", "-E", "UTF8"),
        *("--locale=C", "--auth=trust", "--no-instructions", "--no-sync", "--wal-segsize=1"),
    )
    return cluster


def pgbouncer(servers: Servers, behind: Postgres, mode: str, **settings: str) -> str:
    """Start a PgBouncer before a PostgreSQL, and return the URL that leads through it."""
    port = free_port()
    options = {
        "listen_addr": "127.0.0.1",
        "listen_port": str(port),
        "unix_socket_dir": "",
        "auth_type": "any",
        "pool_mode": mode,
        "max_client_conn": "100",
        "default_pool_size": "20",
        "ignore_startup_parameters": "extra_float_digits,options",
        **settings,
    }
    lines = [f"{name} = {value}" for name, value in options.items()]
    database = f"{DATABASE} = host=127.0.0.1 port={behind.port} user=postgres"
    text = "\n".join(["[databases]", database, "[pgbouncer]", *lines, ""])
    name = f"pgbouncer-{port}"
    path = servers.write(servers.folder / f"{name}.ini", text)
    child = servers.start(name, [program("pgbouncer", "pgbouncer"), str(path)])
    url = f"postgresql://postgres@127.0.0.1:{port}/{DATABASE}"

    def answers() -> bool:
        assert child.is_running(), child.last_words()
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    wait_for(answers, what="pgbouncer answers")
    return url


class Redis:
    """A redis-server on a port of 127.0.0.1; `options` are lines of its configuration."""

    def __init__(self, servers: Servers, name: str, *options: str, tls: bool = False) -> None:
        self.port = free_port()
        self._servers = servers
        self._name = name
        ports = ["port 0", f"tls-port {self.port}"] if tls else [f"port {self.port}"]
        lines = ["bind 127.0.0.1", *ports, 'save ""', f"dir {servers.folder}", *options, ""]
        self._path = servers.write(servers.folder / f"{name}.conf", "\n".join(lines))

    def start(self, url: str = "") -> str:
        """Start it, wait until it answers at this URL, and return it."""
        child = self._servers.start(
            self._name, [program("redis-server", "redis-server"), str(self._path)]
        )
        url = url or f"redis://127.0.0.1:{self.port}/0"
        client = redis.Redis.from_url(url)

        def answers() -> bool:
            assert child.is_running(), child.last_words()
            with suppress(redis.ConnectionError):
                return bool(client.ping())
            return False

        wait_for(answers, what="redis answers")
        client.close()
        return url


@dataclass(frozen=True)
class Certificates:
    """An authority, what it signed for localhost, and an authority that signed nothing."""

    folder: Path

    @property
    def authority(self) -> Path:
        return self.folder / "ca.crt"

    @property
    def stranger(self) -> Path:
        return self.folder / "stranger.crt"

    @property
    def certificate(self) -> Path:
        return self.folder / "server.crt"

    @property
    def key(self) -> Path:
        return self.folder / "server.key"


def make_certificates(servers: Servers) -> Certificates:
    openssl = program("openssl", "openssl")
    folder = servers.folder
    new = (openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
    new += ("-nodes", "-days", "2")
    for name in ("ca", "stranger"):
        own = ("-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.crt")
        servers.run(*new, "-subj", f"/CN={name}", *own)
    servers.run(
        *(*new, "-subj", "/CN=localhost", "-CA", f"{folder}/ca.crt", "-CAkey", f"{folder}/ca.key"),
        *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        *("-addext", "basicConstraints=critical,CA:FALSE"),
        *("-keyout", f"{folder}/server.key", "-out", f"{folder}/server.crt"),
    )
    servers.run("chmod", "600", f"{folder}/server.key")
    return Certificates(folder)


@contextmanager
def servers_in(folder: Path, template: Callable[[], Path] | None = None) -> Iterator[Servers]:
    """Servers below a folder, which their user may write to; none is left at the end."""
    with ExitStack() as stack:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = Servers(folder, template)
        found.identity.own(folder)
        stack.callback(found.close)
        yield found
