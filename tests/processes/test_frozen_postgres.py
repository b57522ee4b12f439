"""A PostgreSQL whose processes hang: whoever asks the engine is answered all the same, in time."""

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.engine import SELL, Answer, Engine, Web, engine, wait_for
from tests.support.machine import Watch

PROMISED = {"orders": 2.5, "reads": 3.0, "readiness": 1.0}  # seconds
ON_TOP = 1.5  # for a machine that has more to do
ORDERS = 10
ON_WITHIN = 10.0  # seconds after PostgreSQL
AS_SERVED = {  # with Django's pool of connections, which the settings of the tests do without
    "DJANGO_SETTINGS_MODULE": "config.settings",
    "SECRET_KEY": "not-a-secret-in-tests",
    "ALLOW_ANONYMOUS_ORDERS": "1",
    "ACCOUNT_RATE_LIMIT": "unlimited",
}
SESSIONS = """
SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
BUSY = f"{SESSIONS} AND state <> 'idle'"


@pytest.fixture(scope="module")
def running(process_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with engine(process_database, tmp_path_factory.mktemp("frozen")) as found:
        found.worker()
        yield found


@pytest.fixture(scope="module")
def web(running: Engine) -> Web:
    web = running.web(**AS_SERVED)
    web.post()
    running.wait_until_all_ended()
    return web


def sessions(conninfo: str) -> list[int]:
    """Return the server's processes that somebody speaks to; new ones work."""
    with psycopg.connect(conninfo) as connection:
        return [pid for (pid,) in connection.execute(SESSIONS)]


def whole_server(conninfo: str) -> list[int]:
    with psycopg.connect(conninfo) as connection:
        own = Path(f"/proc/{connection.info.backend_pid}/stat").read_text()
    postmaster = own.rpartition(")")[2].split()[1]
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    return [int(postmaster), *map(int, children)]


@contextmanager
def frozen(processes: list[int]) -> Iterator[None]:
    try:
        send(processes, signal.SIGSTOP)
        yield
    finally:
        send(processes, signal.SIGCONT)


def send(processes: list[int], number: int) -> None:
    for process in processes:
        try:
            os.kill(process, number)
        except ProcessLookupError:
            continue  # it has ended by itself


def asked(web: Web, path: str, body: Any, promise: str) -> Answer:
    watch = Watch()
    answer = web.request(path, body)
    watch.assert_within(PROMISED[promise] + ON_TOP, f"{path}, promised in {PROMISED[promise]} s,")
    return answer


@pytest.mark.parametrize(
    ("of_it", "is_away"), [(whole_server, True), (sessions, False)], ids=["server", "sessions"]
)
def test_a_request_while_postgres_is_frozen_is_answered_in_time_and_with_the_truth(
    running: Engine, web: Web, of_it: Callable[[str], list[int]], is_away: bool
) -> None:
    running.empty()
    kept = web.post()
    running.wait_until_all_ended()
    reads = [f"/api/orders/{kept}", f"/api/orders/{kept}/events", "/health"]
    with ThreadPoolExecutor(ORDERS + len(reads) + 1) as clients:
        for path in reads:  # so that the web process has connections of all kinds
            assert web.request(path).status == 200
        with frozen(of_it(running.conninfo)):
            ready = clients.submit(asked, web, "/readyz", None, "readiness")
            posts = [
                clients.submit(asked, web, "/api/orders/execute", SELL, "orders")
                for _ in range(ORDERS)
            ]
            found = [clients.submit(asked, web, path, None, "reads") for path in reads]
            answers = [post.result() for post in posts]
            statuses = {one.result().status for one in [*found, ready]}
    assert statuses == ({503} if is_away else {200})
    assert {answer.status for answer in answers} == ({503} if is_away else {201})

    wait_for(lambda: not running.query(BUSY), what="what was frozen has ended")
    stored = {order_id for (order_id,) in running.query("SELECT id::text FROM orders")}
    told = {answer.body.get("orderId"): answer.body.get("error") for answer in answers}
    assert stored <= {kept, *told}, "nothing was to be stored of the others"
    assert set(told.values()) <= {None, "outcome_unknown", "database_unavailable"}
    web.post()
    watch = Watch()
    running.wait_until_all_ended()
    watch.assert_within(ON_WITHIN, "an order after PostgreSQL was back")
