"""`manage.py release`, which each of many hosts runs before it starts anything."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg

from tests.engine import Engine, database_like

HOSTS = 3
MIGRATIONS = "SELECT app, name FROM django_migrations ORDER BY app, name"


def read(conninfo: str, query: str) -> list[tuple]:
    with psycopg.connect(conninfo) as connection:
        return connection.execute(query).fetchall()


def test_releases_of_many_hosts_at_once_bring_an_empty_database_to_this_version(
    process_database: str, tmp_path: Path
) -> None:
    urls = {"DJANGO_SETTINGS_MODULE": "tests.settings", "DEMO_LOGIN": "1"}
    with (
        database_like("template1", name="test_release") as empty,
        ThreadPoolExecutor(HOSTS) as hosts,
    ):
        host = Engine({**urls, "DATABASE_URL": empty}, tmp_path)
        ended = list(hosts.map(host.command, ["release"] * HOSTS))

        assert [(one.returncode, one.stderr) for one in ended] == [(0, "")] * HOSTS
        assert read(empty, MIGRATIONS) == read(process_database, MIGRATIONS)
        assert read(empty, "SELECT username FROM auth_user") == []  # demo / demo is no row
