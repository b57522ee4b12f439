"""A primary that is gone, and its standby promoted: the engine goes on there by itself."""

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from orders.sockets.protocol import Close
from tests.support.accounts import Account, make_account
from tests.support.checker import load, violations
from tests.support.engine import PATIENCE, SELL, Answer, Engine, Web, listen, processes, wait_for
from tests.support.installed import Postgres, Servers
from tests.support.machine import Watch

ON_WITHIN = 10.0  # seconds after the promotion
IN_STEP = {"synchronous_standby_names": "standby", "synchronous_commit": "on"}
LOST = 3
SENDERS = 3
UNDER_LOAD = 6  # orders that are answered before something is done to the primary
ORDERS = "SELECT id::text FROM orders"
SIGNED = "SELECT count(*) FROM orders WHERE signature IS NOT NULL"
KEPT_KEYS = "SELECT idempotency_key, id::text FROM orders WHERE idempotency_key IS NOT NULL"


def address_of(*servers: Postgres) -> str:
    hosts = ",".join(server.host for server in servers)
    return f"postgresql://postgres@{hosts}/engine?target_session_attrs=read-write"


def hears(primary: Postgres) -> bool:
    return bool(primary.ask("SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'"))


def pair(servers: Servers, **settings: str) -> tuple[Postgres, Postgres]:
    """Return a primary and its standby, which hears it."""
    primary = servers.postgres("primary", **settings)
    standby = servers.standby_of(primary, "standby")
    primary.start()
    standby.start()
    wait_for(lambda: hears(primary), what="the standby hears the primary")
    return primary, standby


def start_all(running: Engine) -> Web:
    running.worker()
    running.scheduler()
    return running.web()


def promote(standby: Postgres) -> None:
    standby.ask("SELECT pg_promote()")


def lives(web: Web) -> bool:
    with suppress(OSError):
        return web.request("/livez").status == 200
    return False


def is_taken(web: Web) -> str:
    """Send an order; return its id if it was accepted."""
    answer = web.request("/api/orders/execute", SELL)
    assert answer.status in (201, 503), answer
    return answer.body["orderId"] if answer.status == 201 else ""


def goes_on(web: Web) -> str:
    watch = Watch()
    found: str = wait_for(lambda: is_taken(web), what="orders are taken again")
    watch.assert_within(ON_WITHIN, "the way back to orders")
    return found


@pytest.mark.parametrize("first", ["primary", "standby"])
def test_orders_go_on_at_a_promoted_standby_and_none_is_lost_or_doubled(
    servers: Servers, tmp_path: Path, first: str
) -> None:
    primary, standby = pair(servers, **IN_STEP)
    hosts = (primary, standby) if first == "primary" else (standby, primary)
    with processes(address_of(*hosts), tmp_path, LEASE_SECONDS="2") as running:
        web = start_all(running)
        ids = [web.post() for _ in range(20)]
        primary.stop_at_once()
        promote(standby)

        ids += [goes_on(web) for _ in range(5)]
        running.wait_until_all_ended()

        facts = load(standby.conninfo, ids)
        assert violations(facts) == []
        assert {facts[order_id].status for order_id in ids} == {"confirmed"}
        assert web.request("/readyz").status == 200


def test_orders_go_on_at_a_standby_that_had_not_heard_the_last_ones(
    servers: Servers, tmp_path: Path
) -> None:
    primary, standby = pair(servers)
    with processes(address_of(primary, standby), tmp_path, LEASE_SECONDS="2") as running:
        web = start_all(running)
        ids = [web.post()]
        running.wait_until_all_ended()
        standby.stop()
        lost = [web.post() for _ in range(5)]
        wait_for(lambda: running.value(SIGNED), what="one of them is under way")
        primary.stop_at_once()
        standby.start()
        promote(standby)

        ids += [goes_on(web) for _ in range(5)]
        running.wait_until_all_ended()

        assert violations(load(standby.conninfo, ids)) == []
        known = {found for (found,) in standby.ask(ORDERS)}
        assert set(ids) <= known
        assert not set(lost) <= known, "the standby had heard everything: this shows nothing"


class Load:
    """Senders of orders under keys, each of which sends one until it is answered with its id."""

    def __init__(self, web: Web, owner: Account) -> None:
        self.answered: dict[str, str] = {}
        """The ids by their keys."""
        self.other: list[Answer] = []
        self.waiting = threading.Event()
        self._web, self._owner = web, owner
        self._is_over = threading.Event()

    @contextmanager
    def sent(self) -> Iterator[None]:
        senders = [threading.Thread(target=self._send, args=[one]) for one in range(SENDERS)]
        for sender in senders:
            sender.start()
        try:
            yield
        finally:
            self._is_over.set()
            for sender in senders:
                sender.join()

    def wait_for_more(self, orders: int) -> None:
        """Wait until so many more are answered than there are now."""
        wanted = len(self.answered) + orders
        wait_for(lambda: len(self.answered) >= wanted, what="orders are answered")

    def _send(self, sender: int) -> None:
        for number in count():
            key = f"{sender}-{number}"
            wait_for(lambda key=key: self._is_settled(key), what="an order is answered")
            if self._is_over.wait(0.02):
                return

    def _is_settled(self, key: str) -> bool:
        """Send the order once, and return whether that was the last time."""
        answer = self._web.request(
            "/api/orders/execute", SELL, idempotency_key=key, **self._owner.headers
        )
        if answer.status in (200, 201):
            self.answered[key] = answer.body["orderId"]
        elif answer.status == 503:
            self.waiting.set()
        else:
            self.other.append(answer)
        return answer.status != 503


def test_under_load_orders_go_on_at_a_standby_that_had_not_heard_the_last_moment(
    servers: Servers, tmp_path: Path
) -> None:
    """Those that were answered in that moment are gone; no other, and none is stored twice."""
    primary, standby = pair(servers)
    with processes(address_of(primary, standby), tmp_path, LEASE_SECONDS="2") as running:
        web = start_all(running)
        load_of = Load(web, make_account(primary.conninfo))
        with load_of.sent():
            load_of.wait_for_more(UNDER_LOAD)
            heard = dict(load_of.answered)
            wait_for(lambda: set(heard.values()) <= ids_at(standby), what="the standby heard these")
            standby.stop()
            load_of.wait_for_more(UNDER_LOAD)
            primary.stop_at_once()
            load_of.waiting.wait(PATIENCE)
            standby.start()
            unheard = set(load_of.answered) - set(heard)
            promote(standby)  # while POSTs are under way
            wait_for(lambda: set(load_of.answered) - set(heard) - unheard, ON_WITHIN, "it goes on")
            load_of.wait_for_more(UNDER_LOAD)
        running.wait_until_all_ended()

        stored = dict(standby.ask(KEPT_KEYS))
        assert load_of.other == []
        lost = set(load_of.answered) - set(stored)
        assert lost, "the standby had heard everything: this shows nothing"
        assert lost <= unheard
        assert {key: load_of.answered[key] for key in stored} == stored
        facts = load(standby.conninfo)
        assert violations(facts) == []
        assert {one.status for one in facts.values()} == {"confirmed"}
        assert web.request("/readyz").status == 200


def ids_at(server: Postgres) -> set[str]:
    return {found for (found,) in server.ask(ORDERS)}


def test_whose_order_was_lost_by_a_failover_is_told_so_and_may_send_it_again(
    servers: Servers, tmp_path: Path
) -> None:
    """Watched and asked for; under its key it is placed anew, and once."""
    primary, standby = pair(servers)
    with processes(address_of(primary, standby), tmp_path) as running, ExitStack() as sockets:
        web = running.web()
        owner = make_account(primary.conninfo)
        wait_for(lambda: standby.ask("SELECT 1 FROM api_keys"), what="the standby knows the key")
        standby.stop()
        keys = [f"key-{number}" for number in range(LOST)]
        lost = [sent(web, key, owner) for key in keys]
        watching = [
            sockets.enter_context(
                connect(web.stream_url(order_id), additional_headers=owner.headers)
            )
            for order_id in lost
        ]
        assert [json.loads(stream.recv(PATIENCE))["status"] for stream in watching] == [
            "pending"
        ] * LOST
        primary.stop_at_once()
        standby.start()
        promote(standby)
        goes_on(web)

        for order_id, stream in zip(lost, watching, strict=True):
            assert json.loads(stream.recv(PATIENCE))["error"] == "order_not_found"
            with pytest.raises(ConnectionClosed):
                stream.recv(PATIENCE)
            assert stream.close_code == Close.NO_SUCH_ORDER
            assert web.request(f"/api/orders/{order_id}", **owner.headers).status == 404
        again = [sent(web, key, owner) for key in keys]
        assert [sent(web, key, owner) for key in keys] == again
        running.worker()
        running.wait_until_all_ended()

        assert violations(load(standby.conninfo, again)) == []
        owned = {found for (found,) in standby.ask(f"{ORDERS} WHERE owner_id IS NOT NULL")}
        assert owned == set(again)
        assert owned.isdisjoint(lost)


def sent(web: Web, key: str, owner: Account) -> str:
    """Send an order under a key, and return its id."""
    answer = web.request("/api/orders/execute", SELL, idempotency_key=key, **owner.headers)
    assert answer.status in (200, 201), answer
    order_id: str = answer.body["orderId"]
    return order_id


def test_an_engine_that_finds_a_standby_alone_serves_once_it_is_promoted(
    servers: Servers, tmp_path: Path
) -> None:
    primary, standby = pair(servers)
    primary.stop_at_once()
    with processes(standby.url, tmp_path) as running:
        with listen() as listener:
            web = running.web_on(listener)
        wait_for(lambda: lives(web), what="web answers")
        running.worker()
        running.scheduler()
        refused = web.request("/api/orders/execute", SELL)
        assert (refused.status, refused.body["error"]) == (503, "database_unavailable")
        assert web.request("/readyz").status == 503
        promote(standby)

        order_id = goes_on(web)
        running.wait_until_all_ended()

        assert load(standby.conninfo, [order_id])[order_id].status == "confirmed"
        wait_for(lambda: web.request("/readyz").status == 200, what="ready")
