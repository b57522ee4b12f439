import asyncio
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from asgiref.sync import sync_to_async
from django.db import connection, transaction
from prometheus_client.parser import text_string_to_metric_families

from config.environment.data_folder import PROJECT
from config.runtime.counters import counts
from config.runtime.rate import Rate
from orders.engine.journal import Journal
from orders.engine.trading_state import change_trading_state
from orders.lifecycle import ACTIVE, Status
from orders.models import TradingState
from orders.monitoring import health, metrics
from orders.monitoring import metrics_sql as sql
from routing import registry
from tests.support.client import SELL_SOL, connected, database_away, get, post, submit
from tests.support.database import Database
from tests.support.resting import order_of_type
from tests.support.walker import Walker, cancel_in_silence, confirm

pytestmark = pytest.mark.usefixtures("engine_loop", "redis_client")

PAGE = (PROJECT / "docs/observability.md").read_text()
Figures = dict[tuple[str, frozenset[tuple[str, str]]], float]
WEB = {"kind": "web", "process": "a:1"}


@pytest.fixture(autouse=True)
def always_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "FRESH_SECONDS", -1.0)  # each scrape reads anew


async def scrape() -> Figures:
    """Read /metrics as Prometheus does."""
    answer = await get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found: Figures = {}
    for family in text_string_to_metric_families(answer.text):
        assert family.documentation
        assert family.type in ("gauge", "counter")
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found
            found[key] = sample.value
    return found


def figure(found: Figures, name: str, **labels: str) -> float | None:
    return found.get((f"engine_{name}", frozenset(labels.items())))


async def heartbeat(database: Database, process: str, kind: str, **told: float) -> None:
    await database.rows(
        "INSERT INTO heartbeats (process, kind, counts) VALUES (%s, %s, %s)"
        " ON CONFLICT (process) DO UPDATE SET counts = excluded.counts",
        *(process, kind, orjson.dumps(told).decode()),
    )


async def test_an_engine_without_orders_tells_zeros() -> None:
    found = await scrape()

    assert figure(found, "database_up") == 1
    for status in ACTIVE:
        assert figure(found, "orders_open", status=status) == 0
    for name in ("orders_waiting", "oldest_waiting_seconds", "orders_lost", "recent_seconds"):
        assert figure(found, name) == 0
    for kind in metrics.KINDS:
        assert figure(found, "processes_alive", kind=kind) == 0


async def test_orders_that_wait_are_the_backlog_and_the_oldest_tells_how_long(
    database: Database,
) -> None:
    oldest, _ = await submit(), await submit()
    await database.rows(
        "UPDATE orders SET next_check = next_check - interval '90 seconds' WHERE id = %s", oldest
    )
    found = await scrape()

    assert figure(found, "orders_open", status="pending") == 2
    assert figure(found, "orders_waiting") == 2
    assert 90 <= (figure(found, "oldest_waiting_seconds") or 0) < 120


async def test_an_order_on_its_way_is_no_backlog_and_its_lease_is_held(database: Database) -> None:
    order_id = await submit()
    await Walker(order_id).walk(Status.ROUTING)
    found = await scrape()

    assert figure(found, "orders_open", status="routing") == 1
    assert figure(found, "orders_waiting") == 0
    assert figure(found, "leases", state="held") == 1
    await database.expire_lease(order_id)
    await database.lose_leases(order_id, 1)
    found = await scrape()
    assert figure(found, "leases", state="held") == 0
    assert figure(found, "leases", state="expired") == 1
    assert figure(found, "orders_lost") == 1


async def test_the_newest_orders_are_told_by_status_venue_and_failure_code(
    database: Database,
) -> None:
    for _ in range(2):
        await confirm(await submit())
    await cancel_in_silence(await submit())
    failed = await submit()
    await Walker(failed).walk(Status.ROUTING)
    await database.rows(
        "UPDATE orders SET status = 'failed', seq = seq + 1, finished_at = now(),"
        " lease_until = NULL, failure_code = 'venues_unavailable' WHERE id = %s",
        failed,
    )
    found = await scrape()

    def recent(status: str, venue: str = "", failure_code: str = "") -> float | None:
        labels = {"status": status, "venue": venue, "failure_code": failure_code}
        return figure(found, "recent_orders", **labels)

    assert recent("confirmed", "meteora") == 2
    assert recent("cancelled") == 1
    assert recent("failed", failure_code="venues_unavailable") == 1
    assert sum(value for (name, _), value in found.items() if name == "engine_recent_orders") == 4


async def test_each_step_has_its_latencies(database: Database) -> None:
    for seconds in (1, 2, 3):
        order_id = await submit()
        await confirm(order_id)
        await database.rows("SET session_replication_role = replica")  # past the triggers
        await database.rows(
            "UPDATE order_events AS event SET at = orders.created_at"
            " + (event.seq - 1) * %s * interval '1 second'"
            " FROM orders WHERE orders.id = event.order_id AND orders.id = %s",
            *(seconds, order_id),
        )
    found = await scrape()
    for status, middle in (("pending", 2), ("routing", 2), ("submitted", 2), ("total", 8)):
        assert figure(found, "recent_steps", status=status) == 3
        got = figure(found, "recent_step_seconds", status=status, quantile="0.5")
        assert got == pytest.approx(middle)

    assert figure(found, "recent_steps", status="confirmed") is None


async def test_behind_a_long_queue_the_last_orders_that_were_reached_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sql, "MOST_RECENT", 3)
    for _ in range(2):
        await confirm(await submit())
    for _ in range(5):
        await submit()
    found = await scrape()
    told = {
        dict(labels)["status"]: value
        for (name, labels), value in found.items()
        if name == "engine_recent_orders"
    }

    assert told == {"confirmed": 2}


async def test_what_is_left_of_the_minute_is_told(settings: Any, database: Database) -> None:
    settings.ORDER_RATE_LIMIT = Rate.parse("100/m")
    await database.rows(
        "INSERT INTO order_starts (at, orders) VALUES (now(), 30), (now(), 5),"
        " (now() - interval '61 seconds', 100), (now() + interval '10 minutes', 100)"
    )
    found = await scrape()

    assert figure(found, "budget_window_seconds") == 60
    assert figure(found, "budget_used") == 35
    assert figure(found, "budget_left") == 65
    settings.ORDER_RATE_LIMIT = None
    assert figure(await scrape(), "budget_left") is None


async def test_every_process_tells_what_it_counted_by_its_heartbeat(database: Database) -> None:
    told = {"http_requests:2xx": 7, "orders_accepted": 5, "sockets_opened": 4, "sockets_closed": 1}
    told |= {"connections_refused": 6, "sockets_refused": 2}
    await heartbeat(database, "a:1", "web", **told)
    await heartbeat(
        database, "b:1", "worker", **{"log_lines:orders.engine.hints/warning": 3, "x:y": 1}
    )
    found = await scrape()

    assert figure(found, "processes_alive", kind="web") == 1
    assert figure(found, "processes_alive", kind="worker") == 1
    assert figure(found, "process_http_requests_total", code="2xx", **WEB) == 7
    assert figure(found, "process_orders_accepted_total", **WEB) == 5
    assert figure(found, "process_sockets_open", **WEB) == 3
    assert figure(found, "process_connections_refused_total", **WEB) == 6
    assert figure(found, "process_sockets_refused_total", **WEB) == 2
    assert figure(found, "process_events_resynced_total", **WEB) == 0
    worker = {"kind": "worker", "process": "b:1"}
    assert figure(found, "process_orders_carried_total", **worker) == 0
    assert figure(found, "process_orders_carried_total", **WEB) is None
    lines = {"logger": "orders.engine.hints", "level": "warning"}
    assert figure(found, "process_log_lines_total", **lines, **worker) == 3


async def test_a_silent_process_is_not_alive_and_later_not_shown(
    database: Database,
) -> None:
    await heartbeat(database, "a:1", "web")
    for seconds, is_told in ((20, True), (90, False)):
        await database.rows(
            "UPDATE heartbeats SET seen_at = clock_timestamp() - %s * interval '1 second'", seconds
        )
        found = await scrape()
        assert figure(found, "processes_alive", kind="web") == 0
        assert (figure(found, "process_heartbeat_age_seconds", **WEB) is not None) == is_told


async def test_this_process_beats_with_its_counts_and_its_use_of_the_machine() -> None:
    counts["orders_accepted"] += 1

    def beat() -> None:
        health.beat("web")
        connection.close()

    await asyncio.to_thread(beat)
    first = await scrape()
    counts["orders_accepted"] += 2
    await asyncio.to_thread(beat)
    second = await scrape()
    (process,) = {dict(labels)["process"] for _, labels in first if "process" in dict(labels)}
    mine = {"kind": "web", "process": process}
    accepted = [figure(one, "process_orders_accepted_total", **mine) for one in (first, second)]
    assert (accepted[1] or 0) - (accepted[0] or 0) == 2
    assert (figure(first, "process_cpu_seconds_total", **mine) or 0) > 0
    assert (figure(first, "process_resident_memory_bytes", **mine) or 0) > 1e6


async def test_counters_never_go_down(database: Database) -> None:
    await heartbeat(database, "a:1", "web", orders_accepted=1)
    before = await scrape()
    await confirm(await submit())
    await heartbeat(database, "a:1", "web", orders_accepted=2)
    after = await scrape()
    for (name, labels), value in before.items():
        if name.endswith("_total"):
            assert after[name, labels] >= value


async def test_sockets_hints_and_what_the_resync_finds_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = counts.copy()
    order_id = await submit()
    async with connected(f"/ws/orders/{order_id}") as socket:
        await socket.message()
        opened = counts - before
        assert (opened["sockets_opened"], opened["sockets_closed"]) == (1, 0)
        await confirm(order_id)
        await socket.rest()
    order_id = await submit()
    monkeypatch.setattr("orders.streams.resync.RESYNC_SECONDS", 0.02)
    async with connected(f"/ws/orders/{order_id}") as socket:
        await socket.message()
        await cancel_in_silence(order_id)
        await socket.rest()
    found = counts - before

    assert found["sockets_opened"] == found["sockets_closed"] == 2
    assert found["hints_received"] >= 1
    assert found["events_resynced"] >= 1


async def test_without_the_database_only_that_is_told() -> None:
    with database_away():
        found = await scrape()
    assert found == {("engine_database_up", frozenset()): 0}
    assert figure(await scrape(), "database_up") == 1


async def test_many_scrapes_are_one_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    readings: list[int] = []
    read: Callable[[], Any] = metrics.read

    def counted() -> Any:
        readings.append(1)
        return read()

    monkeypatch.setattr(metrics, "read", counted)
    monkeypatch.setattr(metrics, "FRESH_SECONDS", 60.0)
    collector = metrics.EngineCollector()

    def collect() -> list[Any]:
        try:
            return list(collector.collect())
        finally:
            connection.close()

    one, *others = await asyncio.gather(*(asyncio.to_thread(collect) for _ in range(8)))
    assert all(other == one for other in others)
    assert readings == [1]


@pytest.mark.parametrize("name", ["OPEN", "WAITING", "LEASES", "RECENT", "RECENT_SPAN", "STEPS"])
async def test_no_question_reads_a_whole_table(name: str) -> None:
    """Held to PostgreSQL's plan, which names the index of every table it reads."""
    await post("/execute", SELL_SOL)

    def plan() -> str:
        parameters = {"most": 10, "window": 600, "quantiles": [0.5]}
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(sql.PLANS)
            cursor.execute(f"EXPLAIN {getattr(sql, name)}", parameters)
            found = "\n".join(row[0] for row in cursor.fetchall())
        connection.close()
        return found

    found = await asyncio.to_thread(plan)
    assert "Limit" in found
    for line in found.splitlines():
        if " on orders" in line or " on order_events" in line:
            assert "Index" in line, found


async def test_the_page_explains_every_figure_and_alarms_by_no_other(settings: Any) -> None:
    settings.ORDER_RATE_LIMIT = Rate.parse("100/m")
    explained = re.findall(r"^\| `(engine_\w+)` \|", PAGE, re.MULTILINE)
    text = (await get("/metrics")).text
    named = re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE)

    assert sorted(explained) == sorted(named)
    (rules,) = (
        found for found in re.findall(r"```yaml\n(.*?)```", PAGE, re.S) if "alert:" in found
    )
    alarms = [rule["expr"] for rule in yaml.safe_load(rules)["groups"][0]["rules"]]
    assert len(alarms) > 5
    assert set(re.findall(r"engine_\w+", " ".join(alarms))) <= set(named)


async def test_orders_that_rest_are_told_by_type_and_market_and_are_no_backlog(
    journal: Journal, database: Database
) -> None:
    for order in (
        order_of_type("limit", limit_price="112"),
        order_of_type("limit", limit_price="113"),
        order_of_type("stop", trigger_price="90"),
        order_of_type("limit", base="JUP", limit_price="0.6"),
    ):
        await journal.accept(order)
    await submit()
    found = await scrape()

    assert figure(found, "orders_resting", type="limit", market="SOL/USDC") == 2
    assert figure(found, "orders_resting", type="stop", market="SOL/USDC") == 1
    assert figure(found, "orders_resting", type="limit", market="JUP/USDC") == 1
    assert figure(found, "orders_open", status="open") == 4
    assert figure(found, "orders_open", status="pending") == 1
    assert figure(found, "orders_waiting") == 1


async def test_an_order_that_rested_says_nothing_of_how_quick_the_engine_is(
    journal: Journal,
) -> None:
    await journal.accept(order_of_type("limit", limit_price="112"))
    await confirm(await submit())
    found = await scrape()

    assert figure(found, "recent_steps", status="total") == 1
    recent = [labels for name, labels in found if name == "engine_recent_orders"]
    assert [dict(labels)["status"] for labels in recent] == ["confirmed"]


async def test_the_age_of_prices_and_how_far_behind_them_triggers_are_is_told(
    database: Database,
) -> None:
    await database.rows(
        "INSERT INTO price_ticks (pair, tick)"
        " SELECT 'SOL/USDC', floor(extract(epoch FROM clock_timestamp()))::bigint - 20 - n"
        " FROM generate_series(0, 9) AS n"
    )
    await database.rows(
        "INSERT INTO pair_progress SELECT 'SOL/USDC', max(tick) - 7 FROM price_ticks"
    )
    found = await scrape()

    assert figure(found, "ticks_behind", market="SOL/USDC") == 7
    assert 20 <= (figure(found, "tick_age_seconds", market="SOL/USDC") or 0) < 60


async def test_a_halt_is_told() -> None:
    assert figure(await scrape(), "trading_halted") == 0
    await sync_to_async(halt)()
    assert figure(await scrape(), "trading_halted") == 1


async def test_a_stopped_venue_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert figure(await scrape(), "venue_stopped", venue="raydium") is None
    stopped = registry._copy._replace(stopped={"raydium": "it paid less"})
    monkeypatch.setattr(registry, "_copy", stopped)
    assert figure(await scrape(), "venue_stopped", venue="raydium") == 1


def halt() -> None:
    change_trading_state(TradingState.State.HALTED, "ada")
    connection.close()


async def test_what_the_watcher_and_the_carriers_counted_is_told(database: Database) -> None:
    told = {"ticks_evaluated": 5, "orders_released:trail": 3, "trigger_late_ms": 900}
    await heartbeat(database, "a:1", "scheduler", **told)
    await heartbeat(database, "b:1", "worker", **{"orders_returned:slippage_exceeded": 2})
    found = await scrape()
    scheduler = {"kind": "scheduler", "process": "a:1"}
    worker = {"kind": "worker", "process": "b:1"}

    assert figure(found, "process_ticks_evaluated_total", **scheduler) == 5
    assert figure(found, "process_ticks_skipped_total", **scheduler) == 0
    assert figure(found, "process_orders_released_total", step="trail", **scheduler) == 3
    assert figure(found, "process_trigger_late_ms_total", **scheduler) == 900
    returned = {"failure_code": "slippage_exceeded"}
    assert figure(found, "process_orders_returned_total", **returned, **worker) == 2


COUNTED = re.compile(r'counts\[f?"([a-z_]+)[":]')


def test_all_that_a_process_counts_is_told() -> None:
    of_sockets = {"sockets_closed"}  # told as those that are open
    sources = [path.read_text() for room in ("config", "orders") for path in python_files(room)]
    counted = {name for source in sources for name in COUNTED.findall(source)}
    assert len(counted) > 20
    assert counted - of_sockets <= set(metrics.COUNTS)


def python_files(room: str) -> Iterator[Path]:
    return (PROJECT / room).rglob("*.py")
