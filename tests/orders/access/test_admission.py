"""Too much is answered, never with 500; what was let in is executed."""

import asyncio
import socket
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from django.conf import settings
from django.test import override_settings

from config.runtime.rate import Rate
from orders.access import admission
from orders.access.accounts import Principal
from orders.access.admission import KEY, Backlog, Limiter, Overloaded, OwnCount, name_of
from tests.support.accounts import make_account
from tests.support.client import SELL_SOL, connected, count_stored, database_away, get, post, submit
from tests.support.engine import SELL, Engine, engine, own_postgres, wait_for
from tests.support.machine import Watch
from tests.support.walker import confirm

pytestmark = pytest.mark.usefixtures("engine_loop", "redis_client")

NO_REDIS = "redis://127.0.0.1:1/0"
RATE = Rate(5, 60)


@override_settings(ACCOUNT_RATE_LIMIT=RATE)
async def test_an_account_that_sends_too_much_is_told_when_to_come_again() -> None:
    owner, other = make_account(), make_account()
    answers = [await post("/execute", SELL_SOL, **owner.headers) for _ in range(5)]

    assert {answer.status for answer in answers} == {201}
    assert [answer.headers["ratelimit-remaining"] for answer in answers] == [*"43210"]
    stored = count_stored()
    for sent in (SELL_SOL, {"junk": 1}):
        refused = await post("/execute", sent, **owner.headers)
        assert (refused.status, refused.json["error"]) == (429, "too_many_requests")
        assert 1 <= int(refused.headers["retry-after"]) <= 12
        assert refused.json["retryAfter"] == int(refused.headers["retry-after"])
        assert refused.headers["ratelimit-limit"] == "5"
        assert refused.headers["ratelimit-remaining"] == "0"
        assert 48 <= int(refused.headers["ratelimit-reset"]) <= 60
    assert count_stored() == stored
    assert (await get("/api/orders", **owner.headers)).status == 200
    assert (await post("/execute", SELL_SOL, **other.headers)).status == 201


@override_settings(ACCOUNT_RATE_LIMIT=RATE)
async def test_sockets_and_keys_of_an_account_share_its_limit() -> None:
    owner = make_account()
    another = {"authorization": f"Bearer {owner.another_key()}"}
    async with connected("/execute", **owner.headers) as stream:
        for _ in range(3):
            await stream.send(SELL_SOL)
            assert (await stream.message())["status"] == "pending"
        for _ in range(2):
            assert (await post("/execute", SELL_SOL, **another)).status == 201
        await stream.send(SELL_SOL)
        refused = await stream.message()
        assert (refused["type"], refused["error"]) == ("error", "too_many_requests")
        assert 1 <= refused["retryAfter"] <= 12


@override_settings(ACCOUNT_RATE_LIMIT=RATE)
async def test_anonymous_orders_are_counted_by_address() -> None:
    answers = [await post("/execute", SELL_SOL) for _ in range(6)]
    assert [answer.status for answer in answers] == [201] * 5 + [429]
    assert (await post("/execute", SELL_SOL, **make_account().headers)).status == 201


@pytest.mark.parametrize(
    ("one", "other", "are_one"),
    [
        ("10.0.0.1", "10.0.0.2", False),
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("", "/run/socket", True),
    ],
)
def test_addresses_are_counted_as_their_holders(one: str, other: str, are_one: bool) -> None:
    names = [name_of(Principal(), client) for client in (one, other)]
    assert (names[0] == names[1]) is are_one
    assert name_of(Principal(7, key=1), one) == name_of(Principal(7, session="s"), other)


async def test_a_limit_holds_over_all_processes() -> None:
    limiters = [Limiter(settings.REDIS_URL, Rate(50, 60)) for _ in range(4)]
    try:
        found = await asyncio.gather(
            *(limiters[place % 4].take("one") for place in range(100)), limiters[0].take("other")
        )
    finally:
        for limiter in limiters:
            await limiter.close()

    assert sum(one.wait == 0 for one in found[:100]) == 50
    assert sorted(one.left for one in found[:100] if one.wait == 0) == list(range(50))
    assert found[100].wait == 0


async def test_a_limit_that_was_reached_by_a_clock_since_set_back_is_over(
    redis_client: redis.Redis,
) -> None:
    limiter = Limiter(settings.REDIS_URL, Rate(2, 60))
    redis_client.set(f"{admission.KEY}one", f"{time.time() + 600:.6f}")
    found = [await limiter.take("one") for _ in range(3)]
    await limiter.close()
    assert [one.wait == 0 for one in found] == [True, True, False]


async def test_requests_that_come_together_share_one_command(redis_client: redis.Redis) -> None:
    limiter = Limiter(settings.REDIS_URL, Rate(1000, 60))
    await limiter.take("warm")
    before = commands(redis_client)
    await asyncio.gather(*(limiter.take(f"account:{place % 3}") for place in range(300)))
    await limiter.close()

    assert commands(redis_client) - before <= 2


def commands(client: redis.Redis) -> int:
    found: Any = client.info("commandstats")
    return int(found.get("cmdstat_evalsha", {}).get("calls", 0))


@pytest.mark.parametrize("where", ["shared", "own"])
async def test_what_was_used_comes_back_with_time(where: str) -> None:
    rate = Rate(20, 1)  # one each 0.05 seconds
    limiter, own = Limiter(settings.REDIS_URL, rate), OwnCount(rate)

    async def take() -> admission.Allowance:
        return own.take("one") if where == "own" else await limiter.take("one")

    start = time.monotonic()
    passed = [await take() for _ in range(20)]
    while not (refused := await take()).wait:
        assert time.monotonic() - start < 60  # a slow machine gives back while it is used up
    while (await take()).wait:
        assert time.monotonic() - start < 60
    waited = time.monotonic() - start
    await limiter.close()
    assert {one.wait for one in passed} == {0.0}
    assert 0 < refused.wait <= 0.05
    assert waited >= 0.045


async def test_without_redis_each_process_counts_by_itself_and_nobody_waits_long() -> None:
    limiter = Limiter(NO_REDIS, RATE)
    found = [await limiter.take("one") for _ in range(7)]
    await limiter.close()
    assert [one.wait == 0 for one in found] == [True] * 5 + [False] * 2


async def test_a_redis_that_hangs_costs_a_moment_and_no_order() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        limiter = Limiter(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", Rate(100, 60))
        watch = Watch()
        first = await limiter.take("one")
        watch.assert_within(2)
        watch = Watch()
        rest = await asyncio.gather(*(limiter.take("one") for _ in range(50)))
        watch.assert_within(admission.REDIS_SECONDS)
        await limiter.close()

    assert {one.wait for one in (first, *rest)} == {0.0}


@override_settings(MAX_BACKLOG=5, SENDER_BACKLOG_SHARE=1.0)
async def test_a_full_backlog_lets_no_order_in_until_it_is_worked_off() -> None:
    ids = []
    while (refused := await post("/execute", SELL_SOL)).status == 201:
        ids.append(refused.json["orderId"])

    assert 2 <= len(ids) <= 5  # one that was counted and stored just now counts twice
    stored = count_stored()
    assert (refused.status, refused.json["error"]) == (503, "overloaded")
    assert refused.headers["retry-after"] == "5"
    async with connected("/execute") as stream:
        await stream.send(SELL_SOL)
        assert (await stream.message())["error"] == "overloaded"
    assert count_stored() == stored
    for order_id in ids[:-1]:
        await confirm(order_id)
    deadline = time.monotonic() + 60
    while (await post("/execute", SELL_SOL)).status == 503:
        assert time.monotonic() < deadline
    assert count_stored() > stored


async def test_a_backlog_counts_what_others_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "BACKLOG_SECONDS", 0.0)
    for _ in range(3):
        await submit()
    backlog = Backlog(4)
    async with backlog.room(1):  # and looks, while it goes on
        await backlog.close()  # when that look has ended
        with pytest.raises(Overloaded):
            await fail_within(backlog)
    await backlog.close()


async def test_an_order_that_was_not_stored_takes_no_room() -> None:
    backlog = Backlog(1)
    for _ in range(3):
        with pytest.raises(ValueError, match="refused"):
            await fail_within(backlog)
    async with backlog.room(1):
        pass
    await backlog.close()


async def fail_within(backlog: Backlog) -> None:
    async with backlog.room(1):
        raise ValueError("refused")


async def test_a_backlog_that_cannot_be_counted_refuses_no_order() -> None:
    with database_away():
        backlog = Backlog(100)
        async with backlog.room(1):
            pass
        await backlog.close()


def test_a_crowd_is_answered_and_all_that_was_let_in_is_executed(
    process_database: str, tmp_path: Path
) -> None:
    limits = {"ACCOUNT_RATE_LIMIT": "60/h", "MAX_BACKLOG": "60", "SENDER_BACKLOG_SHARE": "1"}
    urls = {"REDIS_URL": settings.REDIS_URL, **limits}
    with engine(process_database, tmp_path, **urls) as running:
        webs = [running.web(), running.web()]
        owners = [make_account(running.conninfo) for _ in range(3)]

        async def crowd() -> list[Any]:
            return await asyncio.gather(
                *(
                    asyncio.to_thread(
                        webs[place % 2].request, "/execute", SELL, **owners[place % 3].headers
                    )
                    for place in range(240)
                )
            )

        answers = asyncio.run(crowd())
        found = Counter((answer.status, answer.body.get("error")) for answer in answers)
        assert set(found) == {(201, None), (429, "too_many_requests"), (503, "overloaded")}
        assert all("Retry-After" in answer.headers for answer in answers if answer.status != 201)
        accepted = {answer.body["orderId"] for answer in answers if answer.status == 201}
        assert 60 <= len(accepted) <= 120
        running.worker()
        running.scheduler()
        running.wait_until_all_ended()
        assert running.statuses() == {"confirmed": len(accepted)}
        stored = {str(row[0]) for row in running.query("SELECT id FROM orders")}
        assert stored == accepted


def test_when_the_database_takes_no_connection_more_it_is_503_and_never_500(
    tmp_path: Path,
) -> None:
    with own_postgres() as (_, url):
        urls = {"DATABASE_URL": url, "REDIS_URL": settings.REDIS_URL}
        running = Engine({"DJANGO_SETTINGS_MODULE": "tests.settings", **urls}, tmp_path)
        try:
            running.manage("migrate", "--verbosity", "0")
            owner = make_account(url)
            web = running.web()
            order_id = web.post()
            web.kill()
            web = running.web()
            full = hold_all_connections(url)
            try:
                answers = [
                    web.request(path, body, **headers)
                    for headers in (owner.headers, {})
                    for path, body in (
                        ("/execute", SELL),
                        (f"/api/orders/{order_id}", None),
                        (f"/api/orders/{order_id}/cancel", {}),
                    )
                ]
            finally:
                for connection in full:
                    connection.close()
            assert {answer.status for answer in answers} <= {201, 200, 409, 503}, answers
            assert 503 in {answer.status for answer in answers}
            wait_for(lambda: web.request("/execute", SELL, **owner.headers).status == 201)
        finally:
            running.close()


def hold_all_connections(url: str) -> list[psycopg.Connection[Any]]:
    held = []
    try:
        while True:
            held.append(psycopg.connect(url))
    except psycopg.OperationalError:
        return held


@pytest.mark.parametrize("junk", ["hello", "", "nan", "inf", "-inf", "1e300", "0x7fffffffffff"])
async def test_what_is_no_time_under_a_limit_counts_for_nothing(
    junk: str, redis_client: redis.Redis
) -> None:
    redis_client.set(f"{KEY}a", junk)
    await assert_counted_anew(redis_client)


async def test_a_limit_whose_key_has_another_type_counts_anew(redis_client: redis.Redis) -> None:
    redis_client.lpush(f"{KEY}a", "hello")
    await assert_counted_anew(redis_client)


async def assert_counted_anew(redis_client: redis.Redis) -> None:
    limiter = Limiter(settings.REDIS_URL, Rate(2, 60))
    allowances = [await limiter.take("a") for _ in range(3)]
    await limiter.close()
    assert [one.wait > 0 for one in allowances] == [False, False, True]
    assert [one.left for one in allowances] == [1, 0, 0]
    assert all(one.headers() for one in allowances)
    assert float(str(redis_client.get(f"{KEY}a"), "ascii")) > 0
