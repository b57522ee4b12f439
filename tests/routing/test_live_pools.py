"""Real pools as rows: looked up before they are added, found by a command, known to the process."""

import asyncio
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.test import Client
from django.urls import reverse

from routing import registry
from routing.cluster.genesis.accounts import pools
from routing.models import LivePool, Market, VenueStop
from routing.operations import venue_stops
from routing.operations.live_pools import CLUSTER, NoNode, store_pools_of_cluster
from routing.solana.addresses import SYSTEM_PROGRAM
from tests.routing.test_admin_tokens import MINT, added, refused, text_of
from tests.support.local_cluster import cluster_beside

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("same_registry", "live")]
POOL_LIST = reverse("admin:routing_livepool_changelist")
ADD_POOL = reverse("admin:routing_livepool_add")
STOP_LIST = reverse("admin:routing_venuestop_changelist")
SOL_USDC, SOL_USDT, *_ = pools()
CPMM, PAIR = str(SOL_USDC.cpmm), str(SOL_USDC.pair)


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    with cluster_beside() as url:
        yield url


@pytest.fixture
def live(settings: Any, cluster: str) -> None:
    settings.VENUES, settings.SOLANA_RPC_URLS = "solana", (cluster,)


def form(address: str = CPMM, **changes: str) -> dict[str, str]:
    return {"market": str(row().pk), "address": address, "is_traded": "on"} | changes


def row() -> Market:
    return Market.objects.get(base="SOL", quote="USDC")


def found(*asked: str, **options: Any) -> list[list[str]]:
    told = StringIO()
    call_command("find_pools", *asked, stdout=told, **options)
    return [line.split(maxsplit=4) for line in told.getvalue().splitlines()]


# The admin


def test_a_pool_that_is_added_is_looked_up_and_known_at_once(
    admin_client: Client, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        added(admin_client, ADD_POOL, form(CPMM))
        added(admin_client, ADD_POOL, form(PAIR))

    market = SOL_USDC.market
    assert {*registry.live_pools()} == {
        ("raydium", market.base.mint, market.quote.mint, CPMM),
        ("meteora", market.base.mint, market.quote.mint, PAIR),
    }
    stored = LivePool.objects.get(address=CPMM)
    assert (stored.venue, stored.added_by) == ("raydium", "admin")
    assert CPMM in text_of(admin_client, POOL_LIST)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        (str(SOL_USDT.cpmm), "it trades other tokens"),
        (str(SYSTEM_PROGRAM), "neither program"),
        (MINT, "does not exist"),
        ("no address", "Letters and digits"),
    ],
)
def test_what_is_no_pool_of_the_market_is_refused(
    admin_client: Client, address: str, reason: str
) -> None:
    assert reason in refused(admin_client, ADD_POOL, form(address))["address"]
    assert not LivePool.objects.exists()


def test_a_pool_is_added_once(admin_client: Client) -> None:
    added(admin_client, ADD_POOL, form())

    assert refused(admin_client, ADD_POOL, form()) == {"address": "This pool is in the list."}


def test_without_an_answer_nothing_is_added(admin_client: Client, settings: Any) -> None:
    settings.SOLANA_RPC_URLS = ("http://127.0.0.1:1/key",)
    told = refused(admin_client, ADD_POOL, form())["address"]

    assert told.startswith("It could not be looked up: 127.0.0.1 did not answer")
    assert "key" not in told


def test_a_pool_is_switched_off_and_on_again(
    admin_client: Client, django_capture_on_commit_callbacks: Any
) -> None:
    added(admin_client, ADD_POOL, form())
    pool = LivePool.objects.get()
    for action, known in (("switch_off", 0), ("switch_on", 1)):
        with django_capture_on_commit_callbacks(execute=True):
            admin_client.post(POOL_LIST, {"action": action, "_selected_action": [pool.pk]})
        assert len(registry.live_pools()) == known
    assert [entry.get_change_message() for entry in LogEntry.objects.order_by("id")][1:] == [
        "Switched off.",
        "Switched on.",
    ]


def test_in_a_simulation_there_is_nothing_of_it(admin_client: Client, settings: Any) -> None:
    settings.VENUES = "simulated"
    index = admin_client.get(reverse("admin:index")).content.decode()

    assert POOL_LIST not in index
    assert STOP_LIST not in index
    for page in (POOL_LIST, ADD_POOL, STOP_LIST):
        assert admin_client.get(page).status_code == 403
    with pytest.raises(CommandError, match="VENUES=simulated"):
        found()
    LivePool.objects.create(venue="raydium", market=row(), address=CPMM)
    registry.read_registry()
    assert registry.live_pools() == ()


# The command, and the release


def test_pools_are_found_and_stored_when_told_to() -> None:
    (first, second) = found("SOL/USDC")

    assert (first[0], first[2], first[4]) == ("meteora", PAIR, "new")
    assert (second[0], second[2], second[4]) == ("raydium", CPMM, "new")
    assert 90 < float(first[3]) < 110
    assert not LivePool.objects.exists()
    assert [line[4] for line in found("SOL/USDC", store=True)] == ["added", "added"]
    assert [line[4] for line in found("SOL/USDC", store=True)] == ["traded in", "traded in"]
    assert {pool.added_by for pool in LivePool.objects.all()} == {"find_pools"}


def test_a_pool_that_is_switched_off_stays_so() -> None:
    LivePool.objects.create(venue="raydium", market=row(), address=CPMM, is_traded=False)

    assert [line[4] for line in found("SOL/USDC", store=True)] == ["added", "switched off"]
    registry.read_registry()
    assert [pool.address for pool in registry.live_pools()] == [PAIR]


def test_a_market_that_is_none_and_a_node_that_is_away_are_told(settings: Any) -> None:
    with pytest.raises(CommandError, match="JUP/RAY is no market here"):
        found("JUP/RAY")
    settings.SOLANA_RPC_URLS = ("http://127.0.0.1:1/key",)
    with pytest.raises(CommandError, match="did not answer"):
        found("SOL/USDC")


def test_a_release_stores_all_pools_of_a_local_cluster_once(cluster: str) -> None:
    assert len(store_pools_of_cluster([cluster])) == 2 * len(pools())
    assert store_pools_of_cluster([cluster]) == []
    registry.read_registry()
    assert {pool.address for pool in registry.live_pools()} == {
        str(address) for one in pools() for address in (one.cpmm, one.pair)
    }
    assert {pool.added_by for pool in LivePool.objects.all()} == {CLUSTER}
    with pytest.raises(NoNode):
        store_pools_of_cluster(["http://127.0.0.1:1/"])


# Venues that were stopped


def test_a_stopped_venue_is_known_until_a_person_resumes_it(
    admin_client: Client, django_capture_on_commit_callbacks: Any
) -> None:
    assert venue_stops.stop("raydium", "paid 1 instead of 2")
    assert not venue_stops.stop("raydium", "and again")
    assert registry.stopped_venues() == {"raydium": "paid 1 instead of 2"}
    stop = VenueStop.objects.get()
    assert "paid 1 instead of 2" in text_of(admin_client, STOP_LIST)
    asked = {"action": "resume", "_selected_action": [stop.pk]}
    for _ in range(2):
        with django_capture_on_commit_callbacks(execute=True):
            admin_client.post(STOP_LIST, asked)

    assert registry.stopped_venues() == {}
    stop.refresh_from_db()
    assert (stop.resumed_by, stop.resumed_at is not None) == ("admin", True)
    assert venue_stops.stop("raydium", "once more")


async def test_a_venue_is_stopped_as_soon_as_the_database_answers(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    outcomes = [OperationalError("it is away"), None]

    def stop(venue: str, why: str) -> None:
        if (outcome := outcomes.pop(0)) is not None:
            raise outcome
        loop.call_soon_threadsafe(ended.set)

    monkeypatch.setattr(venue_stops, "stop", stop)
    monkeypatch.setattr(venue_stops, "AGAIN_SECONDS", 0)
    venue_stops.stop_soon("raydium", "it paid less")
    async with asyncio.timeout(10):
        await ended.wait()

    assert "could not be stopped yet" in caplog.text


def test_who_may_only_look_resumes_nothing(client: Client) -> None:
    user = User.objects.create_user("looks", is_staff=True)
    names = ("view_venuestop", "view_livepool")
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    client.force_login(user)
    venue_stops.stop("raydium", "why")
    stop = VenueStop.objects.get()
    client.post(STOP_LIST, {"action": "resume", "_selected_action": [stop.pk]})

    assert registry.stopped_venues() == {"raydium": "why"}
    assert client.get(ADD_POOL).status_code == 403
