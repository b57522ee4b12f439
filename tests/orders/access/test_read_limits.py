"""What is read is limited by account and by address, and a list costs more than an order."""

from collections.abc import Iterator

import pytest
from django.conf import settings
from django.test import override_settings

from config.runtime.counters import counts
from config.runtime.rate import Rate
from orders.access import read_limits
from orders.access.accounts import Principal
from orders.access.read_limits import ReadLimit, cost_of_list, limit_of_this_process
from tests.support.accounts import make_account
from tests.support.client import SELL_SOL, get, post

pytestmark = pytest.mark.usefixtures("engine_loop", "redis_client")

NO_REDIS = "redis://127.0.0.1:1/0"


@pytest.fixture
def forty() -> Iterator[None]:
    """Forty units an hour."""
    with override_settings(READ_RATE_LIMIT=Rate(40, 3600)):
        limit_of_this_process.cache_clear()
        yield
    limit_of_this_process.cache_clear()


@pytest.mark.usefixtures("forty")
async def test_a_reader_of_too_much_is_told_when_to_come_again_and_no_other() -> None:
    owner, other, before = make_account(), make_account(), counts.copy()
    answers = [await get("/api/orders", **owner.headers) for _ in range(3)]

    assert [answer.status for answer in answers] == [200, 200, 429]
    refused = answers[2]
    assert (refused.json["error"], refused.headers["ratelimit-limit"]) == (
        "too_many_requests",
        "40",
    )
    assert refused.json["retryAfter"] == int(refused.headers["retry-after"]) > 0
    assert "stored" not in refused.json["detail"]
    assert (await get("/api/orders/1", **owner.headers)).status == 404, "an order is cheaper"
    assert (await get("/api/orders", **other.headers)).status == 200
    assert (await get("/api/orders")).status == 200, "nobody has a limit of its address"
    assert (await post("/execute", SELL_SOL, **owner.headers)).status == 201
    assert (counts - before)["security_events:limit_hit"] == 1


@pytest.mark.usefixtures("forty")
async def test_anonymous_reads_are_counted_by_address_on_every_path() -> None:
    paths = ("/api/orders", "/api/schema", "/api/schema?format=yaml")  # 15, 10, 10

    assert [(await get(path)).status for path in paths] == [200] * 3
    assert (await get("/api/schema")).status == 429
    statuses = [(await get(path)).status for path in ["/api/markets"] * 6]
    assert statuses == [200] * 5 + [429]
    for path in ("/health", "/livez", "/readyz", "/metrics"):
        assert (await get(path)).status == 200, "who watches is not counted"


@pytest.mark.parametrize(
    ("query", "cost"),
    [
        ({}, 15),
        ({"limit": "1"}, 10),
        ({"limit": "200"}, 50),
        ({"limit": "999999"}, 10),
        ({"limit": "junk"}, 10),
        ({"venue": "meteora", "limit": "200"}, 80),
        ({"clientOrderId": "a", "cursor": "x"}, 15),
    ],
)
def test_a_list_costs_what_it_has_to_look_at(query: dict[str, str], cost: int) -> None:
    assert cost_of_list(query) == cost


@pytest.mark.parametrize("url", [settings.REDIS_URL, NO_REDIS], ids=["redis", "no redis"])
def test_dear_and_cheap_reads_come_out_of_one_purse(url: str) -> None:
    limit = ReadLimit(url, Rate(20, 3600))
    found = [limit.take("a", cost) for cost in (15, 3, 1, 15, 1, 1)]
    assert [one.wait == 0 for one in found] == [True, True, True, False, True, False]
    assert [one.left for one in found] == [5, 2, 1, 1, 0, 0]
    assert limit.take("b", 20).wait == 0


def test_a_read_dearer_than_the_limit_takes_all_of_it() -> None:
    for url in (settings.REDIS_URL, NO_REDIS):
        limit = ReadLimit(url, Rate(5, 3600))
        assert [limit.take("a", cost).wait == 0 for cost in (80, 1)] == [True, False]


def test_what_one_process_counted_holds_for_another() -> None:
    one, other = (ReadLimit(settings.REDIS_URL, Rate(2, 3600)) for _ in range(2))
    assert [limit.take("a", 1).wait == 0 for limit in (one, other, one)] == [True, True, False]


def test_without_a_limit_nothing_is_counted() -> None:
    with override_settings(READ_RATE_LIMIT=None):
        limit_of_this_process.cache_clear()
        assert read_limits.allowance_of_read(Principal(), "127.0.0.1", 80) is None
    limit_of_this_process.cache_clear()


async def test_the_schema_is_written_once_for_each_form() -> None:
    first = [await get("/api/schema"), await get("/api/schema?format=yaml")]
    again = [await get("/api/schema"), await get("/api/schema?format=yaml")]
    assert [one.body for one in first] == [one.body for one in again]
    assert first[0].body != first[1].body
