"""Workers that get one task many times, freeze, die of an order, or live in another time."""

import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis

from config.celery import app
from orders.engine import bell
from orders.engine.journal_sql import GIVEN_UP_AFTER, SUSPECT_AFTER
from tests.chaos.switches import POISON
from tests.orders.engine.test_journal import most_in_a_window
from tests.support.checker import load, violations
from tests.support.engine import OPEN, Engine, Process, engine, wait_for
from tests.support.samples import new_order

LIMIT = 40  # orders a second
COPIES = 20
HEALTHY = "healthy"  # a queue of its own: that worker takes nothing of the other tests
SKEW = 300  # seconds
STATUS = "SELECT status FROM orders WHERE id = %s"
TOKEN = "SELECT lease_token FROM orders WHERE id = %s"
EXPIRE = (
    "UPDATE orders SET lease_until = clock_timestamp() - interval '1 second'"
    " WHERE id = %s RETURNING 1"
)
WORKERS_SEEN = "SELECT count(*) FROM heartbeats WHERE kind = 'worker'"
WAS_CARRIED_ALONE = f"SELECT lost_leases > {SUSPECT_AFTER} FROM orders WHERE id = %s"
DEADLY = "UPDATE orders SET lost_leases = %s WHERE id = %s"
HAS_ENDED = "SELECT finished_at IS NOT NULL FROM orders WHERE id = %s"
IS_FREE = "SELECT coalesce(lease_until < clock_timestamp(), true) FROM orders WHERE id = %s"
STARTS = "SELECT started_at FROM orders WHERE id = ANY(%s::uuid[])"
LOST = "SELECT max(lost_leases) FROM orders WHERE id = ANY(%s::uuid[])"
LONGEST_LEASE = "SELECT max(extract(epoch FROM lease_until - clock_timestamp())) FROM orders"

# A clock that is wrong, for processes that are started with it before all other libraries.
WRONG_CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
int clock_gettime(clockid_t id, struct timespec *at) {
  int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
  const char *skew = getenv("CLOCK_SKEW");
  int failed = real(id, at);
  if (!failed && skew && id == CLOCK_REALTIME) at->tv_sec += atol(skew);
  return failed;
}
int gettimeofday(struct timeval *at, void *zone) {
  struct timespec now;
  int failed = clock_gettime(CLOCK_REALTIME, &now);
  at->tv_sec = now.tv_sec;
  at->tv_usec = now.tv_nsec / 1000;
  return failed;
}
time_t time(time_t *at) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (at) *at = now.tv_sec;
  return now.tv_sec;
}
"""


@pytest.fixture(scope="module")
def running(process_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    # No worker looks for itself: each has what it is rung for.
    deaf = {"DJANGO_SETTINGS_MODULE": "tests.chaos.settings", "SWITCHES": "look"}
    with engine(process_database, tmp_path_factory.mktemp("workers"), **deaf) as found:
        found.worker("-Q", HEALTHY)
        yield found


def ring_for(order_id: str, queue: str, **options: str) -> None:
    app.send_task(bell.EXECUTE_ONE, kwargs={"order_id": order_id}, queue=queue, **options)


def has_ended(running: Engine, order_id: str) -> bool:
    """Ring for an order that nobody carries."""
    if running.value(IS_FREE, order_id):
        ring_for(order_id, HEALTHY)
    return bool(running.value(HAS_ENDED, order_id))


def test_a_task_that_arrives_twenty_times_at_four_workers_is_one_claim_and_one_landing(
    running: Engine,
) -> None:
    order = new_order()
    slow = {"SIMULATION_LANDING_LATENCY": "0.5"}
    workers = [running.worker("-Q", "copies", **slow) for _ in range(4)]
    wait_for(lambda: running.value(WORKERS_SEEN) >= 5, what="all workers have started")
    running.store(order)
    with ThreadPoolExecutor(COPIES) as pool:
        for _ in range(COPIES):
            pool.submit(ring_for, order.id, "copies", task_id="the-same-task")
    running.wait_until_all_ended()
    with app.connection_for_read() as connection:
        # What is left of the copies finds the order ended.
        wait_for(
            lambda: connection.default_channel.client.llen("copies") == 0, what="all are taken"
        )
    for worker in workers:
        worker.send(signal.SIGTERM)
    assert [worker.wait() for worker in workers] == [0] * 4

    facts = load(running.conninfo, [order.id])
    assert running.value(TOKEN, order.id) == 2, "one claim, and the end"
    assert violations(facts) == []
    assert facts[order.id].landings == 1
    assert [event.seq for event in facts[order.id].log] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("status", "slow"),
    [
        ("routing", {"SIMULATION_QUOTE_LATENCY": "1", "QUOTE_TIMEOUT": "5"}),
        ("submitted", {"SIMULATION_LANDING_LATENCY": "1"}),
    ],
)
def test_a_worker_that_was_frozen_beyond_its_lease_moves_nothing_when_it_wakes(
    running: Engine, status: str, slow: dict[str, str]
) -> None:
    order = new_order()
    # Long, so that the frozen one does not learn from renewing that it has lost the order.
    frozen = running.worker("-Q", f"frozen-{status}", LEASE_SECONDS="60", **slow)
    running.store(order)
    ring_for(order.id, f"frozen-{status}")
    wait_for(lambda: running.value(STATUS, order.id) == status, what=status)
    frozen.send(signal.SIGSTOP)
    try:
        assert running.value(STATUS, order.id) == status
        assert running.query(EXPIRE, order.id)
        # Rung for again if given back: the frozen one may hold the network's lock for a while.
        wait_for(lambda: has_ended(running, order.id), what="another worker has carried it on")
        ended = load(running.conninfo, [order.id])
    finally:
        frozen.send(signal.SIGCONT)
    wait_for(lambda: f"order {order.id} is no longer at seq" in frozen.output)
    frozen.kill()  # else it may linger, and claim the next test's order

    assert load(running.conninfo, [order.id]) == ended
    assert violations(ended) == []
    assert (ended[order.id].status, ended[order.id].landings) == ("confirmed", 1)


def test_an_order_that_kills_its_workers_ends_alone_and_takes_no_other_with_it(
    process_database: str, tmp_path: Path
) -> None:
    poison = new_order(amount_in=POISON)
    good = [new_order() for _ in range(100)]
    orders = [*good[:50], poison, *good[50:]]
    switched_on = {
        "DJANGO_SETTINGS_MODULE": "tests.chaos.settings",
        "SWITCHES": "poison",
        "LEASE_SECONDS": "0.5",
        "ORDER_CONCURRENCY": "3",  # few are suspected with it, and carried alone for that
    }
    with engine(process_database, tmp_path, **switched_on) as running:
        workers = [running.worker() for _ in range(3)]
        running.scheduler()
        running.store(*orders)

        def is_so(query: str) -> bool:
            for place, worker in enumerate(workers):
                if worker.exit_code is not None:  # as the supervisor does
                    assert worker.exit_code == -signal.SIGKILL, worker.output
                    workers[place] = running.worker()
            return bool(running.value(query, poison.id))

        wait_for(lambda: is_so(WAS_CARRIED_ALONE), what="it has killed a worker that was its own")
        running.query(DEADLY, GIVEN_UP_AFTER - 1, poison.id)  # the deaths between are like it
        wait_for(lambda: is_so(HAS_ENDED), what="it has ended")
        running.wait_until_all_ended()
        facts = load(running.conninfo, [order.id for order in orders])
        codes = running.query("SELECT id::text, failure_code FROM orders WHERE status = 'failed'")

    assert violations(facts) == []
    ends = Counter(order.status for order in facts.values())
    assert ends == {"confirmed": 100, "failed": 1}
    assert codes == [(poison.id, "worker_lost")]
    assert f"{GIVEN_UP_AFTER} workers in a row" in facts[poison.id].log[-1].message


def test_a_worker_outlives_a_redis_that_is_full(
    process_database: str, tmp_path: Path, redis_client: redis.Redis
) -> None:
    order = new_order()
    with engine(process_database, tmp_path) as running:
        redis_client.config_set("maxmemory", 1)
        try:
            worker = running.worker()
            wait_for(lambda: "used memory > 'maxmemory'" in worker.output)
            running.store(order)
        finally:
            redis_client.config_set("maxmemory", 0)
        running.scheduler()
        wait_for(lambda: running.value(HAS_ENDED, order.id), what="the order has ended")

        assert worker.exit_code is None, worker.output
        assert running.value(STATUS, order.id) == "confirmed"


@pytest.fixture
def wrong_clock(tmp_path: Path) -> str:
    """A library for LD_PRELOAD that adds CLOCK_SKEW seconds to the time of day."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler: install one (apt install gcc) to run a worker on a wrong clock")
    source, library = tmp_path / "clock.c", tmp_path / "clock.so"
    source.write_text(WRONG_CLOCK)
    command = [compiler, "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
    subprocess.run(command, check=True)
    return str(library)


def test_only_the_clock_of_the_database_decides(
    process_database: str, tmp_path: Path, wrong_clock: str
) -> None:
    """One worker lives five minutes ahead, one five minutes behind, the scheduler ahead."""
    orders = [new_order() for _ in range(60)]

    def in_time(seconds: int) -> dict[str, str]:
        return {"LD_PRELOAD": wrong_clock, "CLOCK_SKEW": str(seconds)}

    ids = [order.id for order in orders]
    with engine(
        process_database,
        tmp_path,
        ORDER_RATE_LIMIT=f"{LIMIT}/s",
        ORDER_CONCURRENCY="4",  # one cannot carry them all
        LEASE_SECONDS="3",
        SIMULATION_LANDING_LATENCY="0.2",
        SIMULATION_FAULTS="quote_refused=0.3",  # so that pauses between attempts count, too
    ) as running:
        # A queue of its own for each, beside the usual one: both are rung for.
        ahead = running.worker("-Q", "bells,ahead", **in_time(SKEW))
        behind = running.worker("-Q", "bells,behind", **in_time(-SKEW))
        running.scheduler(**in_time(SKEW))
        wait_for(lambda: running.value(WORKERS_SEEN) == 2, what="both workers have started")
        before = datetime.now(UTC)
        running.store(*orders)
        for queue in ("ahead", "behind"):
            app.send_task(bell.ROUTE_AND_EXECUTE, queue=queue)
        leases: list[float] = []

        def have_ended() -> bool:
            if (longest := running.value(LONGEST_LEASE)) is not None:
                leases.append(float(longest))
            return bool(running.value(OPEN) == 0)

        wait_for(have_ended, what="all orders ended")
        after = datetime.now(UTC)
        facts = load(running.conninfo, ids)
        starts = [row[0] for row in running.query(STARTS, ids)]
        lost = running.value(LOST, ids)

    assert violations(facts) == []
    times = [event.at for order in facts.values() for event in order.log]
    assert before <= min(times) <= max(times) <= after
    assert most_in_a_window(starts, 1.0) <= LIMIT
    assert leases
    assert max(leases) <= 3
    assert lost == 0
    assert {order.status for order in facts.values()} <= {"confirmed", "failed"}
    # Both had a share of the work, and their logs show what time they thought it was.
    assert all(abs(ago - SKEW) < 60 for ago in errors_of(ahead, after))
    assert all(abs(ago + SKEW) < 60 for ago in errors_of(behind, after))


def errors_of(worker: Process, now: datetime) -> list[float]:
    """Return by how many seconds each line of its log is ahead of the time."""
    lines = [line for line in worker.output.splitlines() if "[orders." in line]
    assert lines, worker.output
    found = [datetime.fromisoformat(line.split()[0]) for line in lines]
    return [(at - now) / timedelta(seconds=1) for at in found]
