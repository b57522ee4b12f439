"""Servers of the distribution for one test, or for those of a file."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo

from config.environment.data_folder import DATABASE
from tests.support.engine import engine
from tests.support.installed import Servers, make_cluster, servers_in


@pytest.fixture(scope="session")
def reachable() -> Iterator[Path]:
    """A folder that an account without rights can reach, with a short path for sockets."""
    with tempfile.TemporaryDirectory(prefix="oee-s-", dir="/tmp") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.fixture(scope="session")
def migrated_cluster(reachable: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a stopped PostgreSQL with a migrated database, to be copied."""
    with servers_in(reachable / "template") as servers:
        template = servers.postgres("first", like=make_cluster(servers, "cluster"))
        template.start()
        server = make_conninfo(template.conninfo, dbname="postgres")
        template.ask(f"CREATE DATABASE {DATABASE}", server)
        with engine(template.url, tmp_path_factory.mktemp("migrated")) as found:
            found.manage("migrate", "--verbosity", "0")
        template.stop()
        return template.cluster


@pytest.fixture
def servers(reachable: Path, request: pytest.FixtureRequest) -> Iterator[Servers]:
    """Servers of one test; a PostgreSQL of them is migrated."""
    folder = Path(tempfile.mkdtemp(dir=reachable))
    with servers_in(folder, lambda: request.getfixturevalue("migrated_cluster")) as found:
        yield found
