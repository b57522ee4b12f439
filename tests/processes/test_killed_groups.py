"""Groups and brackets whose processes are killed between any two effects: one fill, no orphan.

Schedulers die when they have released, workers while they carry, web processes while they cancel.
What is drawn follows from the seed: which order of a group is on its way, and what the other is.
"""

import http.client
import random
import signal
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from threading import Event, Thread
from typing import Any, NamedTuple

import psycopg
import pytest

from config.celery import app
from orders.engine import bell
from orders.engine.moves import NewOrder
from orders.engine.submission import new_order_id
from tests.chaos.resting import TORN
from tests.support.checker import load, violations
from tests.support.engine import Engine, Process, engine, wait_for
from tests.support.resting import order_of_type

SEED = 7
RESTS_SECONDS = 6.0
NO_VENUE = {"SIMULATION_FAULTS": "quote_refused=1"}
NO_PRICE = {"SIMULATION_FAULTS": "price_moved=1"}
BUILT_LATE = {"SWITCHES": "look,build"}
EXITS = {"takeProfit": {"limitPrice": "50"}, "stopLoss": {"triggerPrice": "1"}}
RELEASED = {"after_release_written", "after_release"}
"""Where schedulers die."""


class Killed(NamedTuple):
    """The points at which workers die one after the other, and how their order stands then."""

    points: Sequence[str]
    status: str
    environment: Mapping[str, str] = {}


SENT = "after_send"
"""Whoever takes the order over makes its last move first."""
LEGS = {
    "claim": Killed(["after_claim"], "routing"),
    "quotes": Killed(["after_quotes"], "routing"),
    "building": Killed(["after_building"], "building", BUILT_LATE),
    "build": Killed(["after_build"], "routing"),
    "submission, moved": Killed(["after_moved"], "routing"),
    "submitted": Killed(["after_submitted"], "submitted"),
    "sent": Killed([SENT], "submitted"),
    "fill seen": Killed(["after_fill_seen"], "submitted"),
    "fill, moved": Killed([SENT, "after_moved"], "submitted"),
    "fill, sibling cancelled": Killed([SENT, "after_effects"], "submitted"),
    "confirmed": Killed(["after_confirmed"], "confirmed"),
    "fault": Killed(["after_fault"], "routing", NO_VENUE),
    "proof of death": Killed(["after_fault"], "submitted", NO_PRICE),
    "return, moved": Killed(["after_moved"], "routing", NO_VENUE),
    "return, sibling resumed": Killed(["after_effects"], "routing", NO_VENUE),
    "returned": Killed(["after_attempt"], "open", NO_VENUE),
}
ENTRIES = {
    "fill, moved": Killed([SENT, "after_moved"], "submitted"),
    "fill, exits made": Killed([SENT, "after_effects"], "submitted"),
    "confirmed": Killed(["after_confirmed"], "confirmed"),
}
CANCELS = {"after_moved": "open", "after_effects": "open", "after_cancel": "cancelled"}

ON_ITS_WAY = """
SELECT id::text FROM orders WHERE status = 'pending' AND group_id IS NOT NULL
"""
ALL_LOOKED_AT = """
SELECT max(from_tick) <= extract(epoch FROM clock_timestamp()) FROM watches
"""
LEASED = "SELECT 1 FROM orders WHERE id = %s AND lease_until > clock_timestamp()"
STATUSES = "SELECT id::text, status FROM orders"
GROUPS = """
SELECT array_agg(status ORDER BY status),
  array_agg(reason ORDER BY reason) FILTER (WHERE status = 'cancelled'),
  (SELECT count(*) FROM watches AS w WHERE w.group_id = o.group_id)
FROM orders AS o WHERE group_id IS NOT NULL GROUP BY group_id
"""
CHILDREN = "SELECT amount_in FROM orders WHERE parent_id = %s"


class Snapshots:
    """Looks for torn groups all the time, in a thread of its own."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._is_over = Event()
        self._thread = Thread(target=self._look)
        self.torn: set[tuple[Any, ...]] = set()
        self.looks = 0

    def _look(self) -> None:
        with closing(psycopg.connect(self._conninfo, autocommit=True)) as connection:
            while not self._is_over.wait(0.02):
                self.torn.update(connection.execute(TORN).fetchall())
                self.looks += 1

    def __enter__(self) -> "Snapshots":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()


class Scene:
    """The engine, and those of its processes that are to die."""

    def __init__(self, running: Engine, chance: random.Random) -> None:
        self.engine = running
        self.chance = chance
        self._queues = 0

    def oco(self, **changes: Any) -> tuple[NewOrder, NewOrder]:
        """Return an order that its price sets off at once, and the other one of its group."""
        group = changes | {"group_id": new_order_id()}
        target = order_of_type("limit", limit_price="50", **group)
        stop = order_of_type("stop", trigger_price="1000", slippage_bps=5000, **group)
        far = [
            order_of_type("stop", trigger_price="1", **group),
            order_of_type("trailingStop", trail_bps=5000, **group),
            order_of_type("trailingStop", trail_bps=100, activation_price="900", **group),
            order_of_type("stopLimit", trigger_price="1", limit_price="1", **group),
        ]
        if self.chance.random() < 0.5:
            return target, self.chance.choice(far)
        return stop, order_of_type("limit", limit_price="900", **group)

    def die_of(self, orders: Mapping[str, str], killed: Mapping[str, Killed]) -> None:
        """Have workers die over these orders, all those of a round at the same time."""
        for place in range(max(len(one.points) for one in killed.values())):
            dying = [
                self._worker(order_id, one.points[place], one.environment)
                for name, order_id in orders.items()
                if len((one := killed[name]).points) > place
            ]
            for process in dying:
                assert process.wait() == -signal.SIGKILL, process.output

    def _worker(self, order_id: str, point: str, environment: Mapping[str, str]) -> Process:
        wait_for(lambda: not self.engine.query(LEASED, order_id), what="the end of the lease")
        self._queues += 1
        queue = f"dying-{self._queues}"
        worker = self.engine.worker("-Q", queue, CRASH_AT=point, **environment)
        app.send_task(bell.EXECUTE_ONE, kwargs={"order_id": order_id}, queue=queue)
        return worker

    def scheduler_dies(self, point: str) -> None:
        """Orders are released by budget, so that this is a transaction of several statements."""
        scheduler = self.engine.scheduler(CRASH_AT=point, ORDER_RATE_LIMIT="10000/m")
        assert scheduler.wait() == -signal.SIGKILL, scheduler.output

    def cancel_and_die(self, order_id: str, point: str) -> None:
        web = self.engine.web(CRASH_AT=point)
        with suppress(http.client.RemoteDisconnected, ConnectionResetError):
            web.request(f"/api/orders/{order_id}/cancel", {})
        assert web.wait() == -signal.SIGKILL, web.output

    def statuses(self, orders: Mapping[str, str]) -> dict[str, str]:
        found = dict(self.engine.query(STATUSES))
        return {name: found[order_id] for name, order_id in orders.items()}


@pytest.fixture
def scene(process_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    # No worker looks for itself: each has the order it is rung for, and dies of that.
    deaf = {"DJANGO_SETTINGS_MODULE": "tests.chaos.settings", "SWITCHES": "look"}
    logs = tmp_path_factory.mktemp("groups")
    with engine(process_database, logs, LEASE_SECONDS="1", ORDER_ATTEMPTS="1", **deaf) as found:
        yield Scene(found, random.Random(SEED))


def test_kill_9_at_each_point_between_release_held_confirm_and_the_siblings_cancellation(
    scene: Scene,
) -> None:
    """15."""
    with Snapshots(scene.engine.conninfo) as snapshots:
        entries = enter_and_die(scene)
        legs = release_and_die(scene)
        scene.die_of(legs, LEGS)
        assert scene.statuses(legs) == {name: killed.status for name, killed in LEGS.items()}
        cancel_and_die(scene)
        # Each can be carried by those that are whole.
        scene.engine.worker(SWITCHES="")
        scene.engine.scheduler()
        scene.engine.wait_until_all_ended()
    assert snapshots.torn == set()
    assert snapshots.looks > 0

    facts = load(scene.engine.conninfo)
    assert violations(facts) == []
    for order_id in entries.values():
        assert facts[order_id].status == "confirmed"
        paid = scene.engine.value("SELECT filled_out FROM orders WHERE id = %s", order_id)
        assert scene.engine.query(CHILDREN, order_id) == [(paid,)] * 2
    ends = Counter(end_of(*row) for row in scene.engine.query(GROUPS))
    assert ends == {"filled": len(LEGS) + len(ENTRIES), "not filled": len(CANCELS)}


def end_of(statuses: list[str], reasons: list[str] | None, watches: int) -> str:
    """Return how a group ended, and whatever is strange about it."""
    if (statuses, reasons, watches) == (["cancelled", "confirmed"], ["sibling_filled"], 0):
        return "filled"
    is_over = set(statuses) <= {"cancelled", "expired"} and watches == 0
    return "not filled" if is_over else f"{statuses}, {reasons}, {watches} watches"


def enter_and_die(scene: Scene) -> dict[str, str]:
    """Store brackets, and kill the workers of their entries; return these by how they died."""
    terms = {"time_in_force": "ioc", "more": EXITS}
    buys = {"side": "buy", "amount_in": 150_000_000, "slippage_bps": 5000}
    orders = {name: order_of_type("market", **terms, **buys) for name in ENTRIES}
    scene.engine.store(*orders.values())
    entries = {name: order.id for name, order in orders.items()}
    scene.die_of(entries, ENTRIES)
    assert scene.statuses(entries) == {name: killed.status for name, killed in ENTRIES.items()}
    for name, order_id in entries.items():
        made = scene.engine.query(CHILDREN, order_id)
        assert len(made) == (2 if name == "confirmed" else 0)
    return entries


def release_and_die(scene: Scene) -> dict[str, str]:
    """Kill schedulers that release orders of groups; return those, by how they are to die."""
    pairs = {name: scene.oco() for name in LEGS}
    scene.engine.store(*(order for pair in pairs.values() for order in pair))
    legs = {name: live.id for name, (live, _) in pairs.items()}
    wait_for(lambda: scene.engine.value(ALL_LOOKED_AT), what="a tick at which all are looked at")
    scene.scheduler_dies("after_release")  # protective orders go first
    scene.scheduler_dies("after_release_written")  # then targets, by budget
    stops = {order_id for (order_id,) in scene.engine.query(ON_ITS_WAY)}
    assert stops == {live.id for live, _ in pairs.values() if live.type == "stop"}
    scene.scheduler_dies("after_release")
    released = {order_id for (order_id,) in scene.engine.query(ON_ITS_WAY)}
    assert set(legs.values()) < released, "those, and the exits of the bracket that was filled"
    return legs


def cancel_and_die(scene: Scene) -> None:
    """Kill web processes that cancel a group. Orders that they did not cancel expire."""
    for point, left in CANCELS.items():
        group = {"group_id": new_order_id(), "time_in_force": "gtd", "expires_in": RESTS_SECONDS}
        both = (
            order_of_type("limit", limit_price="900", **group),
            order_of_type("stop", trigger_price="1", **group),
        )
        scene.engine.store(*both)
        scene.cancel_and_die(scene.chance.choice(both).id, point)
        legs = {order.type: order.id for order in both}
        assert set(scene.statuses(legs).values()) == {left}
