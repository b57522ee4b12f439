"""Servers that want TLS and passwords: each connection of the engine has what its URL says."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlencode

import psycopg
import pytest
import redis

from tests.support.engine import engine, processes, wait_for
from tests.support.installed import (
    Certificates,
    Postgres,
    Redis,
    Servers,
    make_certificates,
    servers_in,
)

PASSWORD = "p@ss:w/rd%20 #?&=ä'\\"
HBA = "hostssl all engine 127.0.0.1/32 scram-sha-256\nhost all postgres 127.0.0.1/32 trust\n"
OF_LIBPQ = {
    "options": "-csearch_path=public,simple",
    "tcp_user_timeout": "5000",
    "connect_timeout": "2",
    "target_session_attrs": "read-write",
}
CLEAR = """
SELECT application_name FROM pg_stat_activity JOIN pg_stat_ssl USING (pid)
WHERE usename = 'engine' AND NOT ssl
"""
ENCRYPTED = """
SELECT count(*) FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) WHERE usename = 'engine' AND ssl
"""
ACCEPTED = "SELECT count(*) FROM orders"
TELL = """
import asyncio
from django.db import connection
from config.runtime.postgres import Link
from config.database.conninfo import conninfo

def tell(info, path):
    found = info.get_parameters()
    names = ("tcp_user_timeout", "target_session_attrs", "sslmode")
    print(*(found.get(name) for name in names), path.replace(" ", ""))

async def of_the_journal():
    link = Link(conninfo(), "test")
    async with link.connection() as found:
        cursor = await found.execute("SHOW search_path")
        tell(found.info, (await cursor.fetchone())[0])
    await link.close()

with connection.cursor() as cursor:
    cursor.execute("SHOW search_path")
    tell(connection.connection.info, cursor.fetchone()[0])
asyncio.run(of_the_journal())
"""


@pytest.fixture(scope="module")
def shared(reachable: Path, request: pytest.FixtureRequest) -> Iterator[Servers]:
    """Servers of this file."""
    folder = reachable / "encrypted"
    with servers_in(folder, lambda: request.getfixturevalue("migrated_cluster")) as found:
        yield found


@pytest.fixture(scope="module")
def certificates(shared: Servers) -> Certificates:
    return make_certificates(shared)


@pytest.fixture(scope="module")
def encrypted(shared: Servers, certificates: Certificates) -> Postgres:
    """A PostgreSQL that takes the user `engine` by password and over TLS alone."""
    found = shared.postgres(
        "encrypted",
        ssl="on",
        ssl_cert_file=str(certificates.certificate),
        ssl_key_file=str(certificates.key),
    )
    shared.write(found.cluster / "pg_hba.conf", HBA)
    found.start()
    word = PASSWORD.replace("'", "''")
    found.ask("SET standard_conforming_strings = on; CREATE ROLE engine LOGIN SUPERUSER")
    found.ask(f"ALTER ROLE engine PASSWORD '{word}'")
    return found


def url_of(server: Postgres, authority: Path, **more: str) -> str:
    query = urlencode(
        {"sslmode": "verify-full", "sslrootcert": str(authority), **more}, quote_via=quote
    )
    user = f"engine:{quote(PASSWORD, safe='')}"
    return f"postgresql://{user}@127.0.0.1:{server.port}/engine?{query}"


def test_every_connection_is_encrypted_and_has_the_password_and_all_that_the_url_says(
    encrypted: Postgres, certificates: Certificates, tmp_path: Path
) -> None:
    """Two hosts, of which the first is not there; and what only libpq itself knows of."""
    url = url_of(encrypted, certificates.authority, keepalives_idle="7", **OF_LIBPQ).replace(
        "@127.0.0.1:", "@127.0.0.1:1,127.0.0.1:"
    )
    with processes(url, tmp_path) as running:
        running.worker()
        running.scheduler()
        web = running.web()
        ids = [web.post() for _ in range(3)]
        running.wait_until_all_ended()

        assert running.statuses() == {"confirmed": len(ids)}
        assert web.request("/readyz").status == 200
        assert encrypted.ask(CLEAR) == []
        assert encrypted.ask(ENCRYPTED)[0][0] >= 3


def test_what_the_url_says_reaches_the_journal_and_djangos_connections(
    encrypted: Postgres, certificates: Certificates, tmp_path: Path
) -> None:
    url = url_of(encrypted, certificates.authority, **OF_LIBPQ)
    with processes(encrypted.url, tmp_path) as running:
        ended = running.command("shell", "--verbosity", "0", "-c", TELL, DATABASE_URL=url)

    assert ended.stdout.splitlines() == ["5000 read-write verify-full public,simple"] * 2, ended


def test_a_database_with_a_certificate_of_a_stranger_is_refused_with_a_sentence(
    encrypted: Postgres, certificates: Certificates, tmp_path: Path
) -> None:
    before = encrypted.ask(ACCEPTED)
    url = url_of(encrypted, certificates.stranger)
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        psycopg.connect(url)
    with processes(encrypted.url, tmp_path) as running:
        ended = running.command("release", DATABASE_URL=url)
        assert ended.returncode == 2
        assert "certificate verify failed" in ended.stderr
        assert PASSWORD not in ended.stderr

    assert encrypted.ask(ACCEPTED) == before


@pytest.fixture
def secured(servers: Servers, certificates: Certificates) -> Redis:
    """A Redis over TLS, whose user `engine` has a password of all kinds of characters."""
    users = servers.write(servers.folder / "users.acl", acl())
    return Redis(
        servers,
        "secured",
        f"tls-cert-file {certificates.certificate}",
        f"tls-key-file {certificates.key}",
        f"tls-ca-cert-file {certificates.authority}",
        "tls-auth-clients no",
        f"aclfile {users}",
        tls=True,
    )


def acl() -> str:
    """Say who may connect: the file separates by spaces, so that it has to have a digest."""
    digest = hashlib.sha256(PASSWORD.encode()).hexdigest()
    return f"user default off\nuser engine on #{digest} ~* &* +@all\n"


def redis_url_of(server: Redis, authority: Path, scheme: str = "rediss") -> str:
    user = f"engine:{quote(PASSWORD, safe='')}"
    tls = f"?ssl_ca_certs={quote(str(authority), safe='')}" if scheme == "rediss" else ""
    return f"{scheme}://{user}@127.0.0.1:{server.port}/0{tls}"


def test_orders_start_at_once_with_a_redis_that_wants_tls_and_a_password(
    secured: Redis, certificates: Certificates, process_database: str, tmp_path: Path
) -> None:
    url = secured.start(redis_url_of(secured, certificates.authority))
    with engine(process_database, tmp_path, REDIS_URL=url) as running:
        worker = running.worker()
        web = running.web()
        wait_for(lambda: web.request("/health").body["worker"] == "ok", what="the worker is up")
        for _ in range(3):
            web.post()
        running.wait_until_all_ended(5.0)  # nobody but the bell has told the worker

        assert web.request("/health").body["redis"] == "ok"
        assert "Traceback" not in web.output + worker.output


def test_a_redis_with_a_certificate_of_a_stranger_is_used_by_nobody(
    secured: Redis, certificates: Certificates, process_database: str, tmp_path: Path
) -> None:
    known = secured.start(redis_url_of(secured, certificates.authority))
    url = redis_url_of(secured, certificates.stranger)
    client = redis.Redis.from_url(known)
    with client, engine(process_database, tmp_path, REDIS_URL=url) as running:
        before = passwords_told(client)
        web = running.web()
        running.scheduler()
        worker = running.worker()
        web.post()
        wait_for(lambda: "certificate verify failed" in worker.output, what="the worker says why")

        assert web.request("/health").body["redis"] == "down"
        assert passwords_told(client) == before
        assert client.keys("*") == []
        assert PASSWORD not in web.output + worker.output


def passwords_told(client: redis.Redis) -> int:
    """How often somebody trusted this server: it is the first thing that a client then sends."""
    found: int = client.info("commandstats")["cmdstat_auth"]["calls"]
    return found
