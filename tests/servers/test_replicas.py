"""A Redis that is a replica for a while, or is promoted: orders start all the same."""

from pathlib import Path

import redis

from tests.support.engine import SELL, engine, wait_for
from tests.support.installed import Redis, Servers

AT_ONCE = 2.0  # seconds


def test_orders_start_at_once_while_redis_is_a_replica_and_when_it_is_none_again(
    servers: Servers, process_database: str, tmp_path: Path
) -> None:
    """Its master is gone, as after a switch over that the engine's address does not follow."""
    primary, other = Redis(servers, "redis"), Redis(servers, "other")
    url, _ = primary.start(), other.start()
    client = redis.Redis.from_url(url)
    with engine(process_database, tmp_path, REDIS_URL=url) as running:
        running.worker()
        running.scheduler()
        web = running.web()
        wait_for(lambda: web.request("/health").body["worker"] == "ok", what="the worker is up")
        for master in (("127.0.0.1", str(other.port)), ("NO", "ONE")):
            client.replicaof(*master)
            for _ in range(3):
                assert web.request("/api/orders/execute", SELL, timeout=AT_ONCE).status == 201
                running.wait_until_all_ended(AT_ONCE)
    client.close()


def test_orders_start_at_once_at_a_promoted_replica(
    servers: Servers, process_database: str, tmp_path: Path
) -> None:
    """The engine's address leads to it from then on; the old one is a replica that refuses."""
    primary, replica = Redis(servers, "redis"), Redis(servers, "replica")
    url, promoted = primary.start(), replica.start()
    with redis.Redis.from_url(promoted) as client:
        client.replicaof("127.0.0.1", primary.port)
        wait_for(lambda: client.info("replication")["master_link_status"] == "up")
        with engine(process_database, tmp_path, REDIS_URL=promoted) as running:
            running.worker()
            running.scheduler()
            web = running.web()
            web.post()  # a replica takes no bells: the scheduler is of no use either
            client.replicaof("NO", "ONE")
            running.wait_until_all_ended()
            wait_for(lambda: web.request("/health").body["worker"] == "ok")
            for _ in range(3):
                web.post()
                running.wait_until_all_ended(AT_ONCE)

    assert url
