"""Paths of simulated prices: they move as told, without a jump, and alike in all processes."""

import time
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from routing.models import SimulatedPricePath
from routing.operations import price_paths
from routing.pools.pool import Direction
from routing.simulation.arbitrage import Arbitrage
from routing.simulation.pool import PoolKey, Price, SimulatedPool
from routing.simulation.pools import SimulatedPools, paths_of
from routing.simulation.price import MILLION, deviation, seeded_walk
from routing.simulation.price_path import (
    RETURN_SECONDS,
    PricePath,
    PricePaths,
    Step,
    following,
    read_path,
    read_paths,
    read_steps,
    text_of,
)
from routing.simulation.seeding import constant_product
from routing.simulation.settings import Simulation
from routing.tokens import REGISTRY, SOL, USDC
from routing.venues import price_ranges, simulated_exchange
from tests.support.database import Database

NOW = 1_760_000_000
FALLS = PricePath("sol", read_steps("-8%/60"), NOW)
WALK = seeded_walk("7", 200)
RANGE = 980_000, 1_020_000

steps = st.lists(
    st.builds(Step, st.integers(-200_000, 200_000), st.integers(1, 100)), min_size=1, max_size=4
).map(tuple)
paths = st.lists(
    st.builds(PricePath, st.sampled_from(["sol", "jup"]), steps, st.integers(NOW, NOW + 500)),
    max_size=4,
)


def price_along(*own: PricePath) -> Callable[[int], int]:
    price = following(WALK, PricePaths(own))
    return lambda now: price("sol", now)


def distance_along(*own: PricePath) -> Callable[[int], int]:
    known = PricePaths(own)
    return lambda now: known.deviation(("sol", "usdc"), wander, now)


def wander(now: int) -> int:
    return deviation("7:raydium", *RANGE, now)


# The price


def test_a_token_falls_as_far_and_as_fast_as_its_path_says() -> None:
    price, before = price_along(FALLS), WALK("sol", NOW)
    assert price(NOW) == before
    assert price(NOW + 30) == before * 960_000 // MILLION
    assert price(NOW + 60) == before * 920_000 // MILLION


def test_steps_follow_one_another() -> None:
    price = price_along(PricePath("sol", read_steps("-10%/10 +0%/5 +50%/10"), NOW))
    before = WALK("sol", NOW)
    assert [price(NOW + second) * MILLION // before for second in (10, 15, 25)] == pytest.approx(
        [900_000, 900_000, 1_350_000], abs=1
    )


def test_before_its_path_and_when_that_is_long_over_a_token_walks_by_itself() -> None:
    price = price_along(FALLS)
    for now in (NOW - 1, NOW + 60 + RETURN_SECONDS, NOW + 5_000):
        assert price(now) == WALK("sol", now)


def test_another_token_walks_on() -> None:
    price = following(WALK, PricePaths([FALLS]))
    assert [price("jup", NOW + n) for n in range(60)] == [WALK("jup", NOW + n) for n in range(60)]


def test_the_path_that_begins_later_holds() -> None:
    rises = PricePath("sol", read_steps("+5%/10"), NOW + 30)
    price = price_along(FALLS, rises)
    assert price(NOW + 30) == WALK("sol", NOW) * 960_000 // MILLION
    assert price(NOW + 40) == price(NOW + 30) * 1_050_000 // MILLION


@given(paths, st.integers(NOW - 10, NOW + 1_200))
def test_prices_and_venues_never_jump(own: list[PricePath], now: int) -> None:
    """In a second by no more than the steepest step, or the way back, takes them."""
    price, distance = price_along(*own), distance_along(*own)
    for value in (price, distance):
        before, after = value(now), value(now + 1)
        steepest = max(
            [abs(step.change) / step.seconds for path in own for step in path.steps] or [0]
        )
        back = abs(WALK("sol", now) - before) + abs(wander(now) - before)
        assert abs(after - before) <= before * steepest / MILLION * 3 + back / 40 + 1_500


@given(paths, st.integers(NOW, NOW + 1_200))
def test_the_order_in_which_paths_were_read_changes_nothing(own: list[PricePath], now: int) -> None:
    unlike = list({(path.mint, path.begins_at): path for path in own}.values())
    assert price_along(*unlike)(now) == price_along(*reversed(unlike))(now)
    assert distance_along(*unlike)(now) == distance_along(*reversed(unlike))(now)


# The venues' distance


def test_while_a_path_is_in_force_venues_keep_their_distance() -> None:
    distance = distance_along(FALLS)
    assert {distance(NOW + second) for second in range(61)} == {wander(NOW)}
    assert distance(NOW + 60 + RETURN_SECONDS) == wander(NOW + 60 + RETURN_SECONDS)
    assert distance(NOW - 1) == wander(NOW - 1)


def test_a_short_path_of_one_token_ends_no_other_tokens_hold() -> None:
    short = PricePath("usdc", read_steps("-1%/5"), NOW + 10)
    assert {distance_along(FALLS, short)(NOW + second) for second in range(61)} == {wander(NOW)}


def test_a_path_that_took_the_place_of_a_longer_one_ends_the_hold() -> None:
    ended = PricePath("sol", read_steps("+0%/1"), NOW + 10)
    distance = distance_along(FALLS, ended)
    assert distance(NOW + 11 + RETURN_SECONDS) == wander(NOW + 11 + RETURN_SECONDS)


def test_venues_follow_a_path_with_their_distance_held() -> None:
    """Both pools fall by 8 %, as near as bins and the trades of others allow."""
    known = PricePaths([PricePath(SOL.mint, FALLS.steps, NOW)])
    walk = following(WALK, known)
    ranges = {"raydium": RANGE, "meteora": RANGE}
    still = Arbitrage("7", walk, ranges, flow=0, paths=known)
    pool = constant_product(3_000)(10**14, 10**13)
    for venue in ranges:
        held = SimulatedPool(PoolKey(venue, SOL.mint, USDC.mint), Price(1, 10), pool, NOW - 1)
        spots = []
        for now in (NOW, NOW + 60):
            spot = still.pool_at(held, now).pool.spot(Direction.X_TO_Y)
            spots.append(spot.atoms_out / spot.atoms_in)
        # Arbitrage stops where the fee takes its gain, wherever it came from.
        moved = spots[1] / spots[0] * WALK(USDC.mint, NOW + 60) / WALK(USDC.mint, NOW)
        assert moved == pytest.approx(0.92, abs=0.001)


# The text


@given(steps)
def test_steps_are_read_as_they_are_written(given_steps: tuple[Step, ...]) -> None:
    whole = tuple(Step(step.change // 100 * 100, step.seconds) for step in given_steps)
    try:
        assert read_steps(text_of(whole)) == whole
    except ValueError as fault:
        assert "tenth" in str(fault)  # noqa: PT017


def test_a_path_may_say_when_it_begins() -> None:
    found = read_path("sol=-8%/60 +0%/120 @2026-11-29T15:00:00Z")
    assert found == ("SOL", (Step(-80_000, 60), Step(0, 120)), 1_795_964_400)
    assert read_path("SOL=-8%/60 @1795964400").begins_at == 1_795_964_400
    assert read_path("SOL=-8%/60").begins_at is None


@pytest.mark.parametrize(
    "text",
    [
        *("SOL", "SOL=8", "SOL=-8%", "=-8%/60", "SOL=-8%/60@17", "SOL=-8%/60 @noon", "SOL=nan%/1"),
        *("SOL=-8%/0", "SOL=-91%/10", "SOL=+999%/10", "SOL=+0%/3601", "SOL=-8%/60 @"),
        *("SOL=-8%/60 @2026-11-29T15:00:00", "SOL=" + "+0%/1 " * 21),
    ],
)
def test_a_path_that_means_nothing_or_leads_too_far_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"path|step|time"):
        read_path(text)


def test_paths_of_the_settings_say_when_they_begin() -> None:
    with pytest.raises(ValueError, match="begins"):
        read_paths("SOL=-8%/60")
    simulation = Simulation(price_paths=read_paths("SOL=-8%/60 @1795964400,NEW=+1%/1 @1795964400"))
    assert [path.mint for path in paths_of(simulation, REGISTRY)] == [SOL.mint]


# Stored paths


@pytest_asyncio.fixture
async def processes(database_conninfo: str) -> AsyncIterator[Callable[..., SimulatedPools]]:
    """Make the pools of more processes."""
    made: list[SimulatedPools] = []

    def new(**settings: Any) -> SimulatedPools:
        simulation = Simulation(seed=1, volatility_bps=Decimal(2), **settings)
        made.append(SimulatedPools(database_conninfo, simulation, price_ranges(simulation)))
        return made[-1]

    yield new
    for pools in made:
        await pools.close()


@sync_to_async
def stored(text: str) -> SimulatedPricePath:
    try:
        return price_paths.store(*price_paths.read(text), "test")
    finally:
        connection.close()


async def test_all_processes_follow_a_stored_path_before_it_begins(
    processes: Callable[..., SimulatedPools], database: Database
) -> None:
    early, late = processes(block_seconds=0.01), processes(block_seconds=0.01)
    before = (await early.arbitrage()).price_of
    path = await stored("SOL=-8%/60")
    early._read_at -= 10  # as after some seconds, still before it begins

    prices = [(await pools.arbitrage()).price_of for pools in (early, late)]
    for now in range(path.begins_at - 5, path.ends_at + 2 * RETURN_SECONDS):
        assert prices[0](SOL.mint, now) == prices[1](SOL.mint, now)
    assert prices[0](SOL.mint, path.ends_at) == (
        before(SOL.mint, path.begins_at) * 920_000 // MILLION
    )
    assert path.begins_at >= time.time() + 3


async def test_a_path_moves_the_reference_and_the_venues_alike(
    database_conninfo: str, database: Database
) -> None:
    begins_at = int(time.time()) - 30
    path = f"SOL=-8%/20 +0%/3000 @{begins_at}"
    simulation = Simulation(seed=1, volatility_bps=Decimal(0), price_paths=read_paths(path))
    exchange = simulated_exchange(database_conninfo, simulation)
    market = REGISTRY.market(SOL, USDC)
    assert exchange.references is not None
    before, after = [await exchange.references.of(market, begins_at + n) for n in (0, 20)]
    assert before is not None
    assert after == before * 92 / 100
    await exchange.close()


async def test_a_path_that_would_begin_before_all_know_it_is_refused(database: Database) -> None:
    with pytest.raises(SimulatedPricePath.TooSoon, match="at least 6 s after"):
        await stored(f"SOL=-8%/60 @{int(time.time()) + 3}")
    assert await database.rows("SELECT 1 FROM simulated_price_paths") == []
    later = await stored(f"SOL=-8%/60 @{int(time.time()) + 100}")
    assert (later.ends_at - later.begins_at, later.steps) == (60, "-8%/60")


# By operators


@pytest.mark.django_db
def test_an_operator_has_a_token_fall(admin_client: Client) -> None:
    page = reverse("admin:routing_simulatedpricepath_add")
    assert b"SOL=-8%/60" in admin_client.get(page).content
    answer = admin_client.post(page, {"path": "sol=-8%/60"})
    assert answer.status_code == 302
    (path,) = SimulatedPricePath.objects.all()
    assert (path.mint, path.steps, path.set_by) == (SOL.mint, "-8%/60", "admin")
    assert path.begins_at > time.time()

    shown = admin_client.get(reverse("admin:routing_simulatedpricepath_changelist")).content
    assert b"SOL" in shown
    change = reverse("admin:routing_simulatedpricepath_change", args=[path.pk])
    assert admin_client.get(change).status_code == 200
    assert admin_client.post(change, {"path": "SOL=+8%/60"}).status_code == 403


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("SOL falls", b"written as in"),
        ("NEW=-8%/60", b"no token NEW"),
        ("SOL=-8%/60 @1795964400x", b"written as in"),
    ],
)
def test_what_is_no_path_is_refused_beside_its_field(
    admin_client: Client, path: str, said: bytes
) -> None:
    answer = admin_client.post(reverse("admin:routing_simulatedpricepath_add"), {"path": path})
    assert answer.status_code == 200
    assert said in answer.content
    assert not SimulatedPricePath.objects.exists()


@pytest.mark.django_db
def test_a_path_that_comes_too_late_is_said_to_an_operator(admin_client: Client) -> None:
    page = reverse("admin:routing_simulatedpricepath_add")
    answer = admin_client.post(page, {"path": "SOL=-8%/60 @1760000000"}, follow=True)
    assert b"begins at least 6 s after" in answer.content
    assert not SimulatedPricePath.objects.exists()


@pytest.mark.django_db
def test_a_command_sets_a_path() -> None:
    said = StringIO()
    call_command("set_price_path", "SOL=-8%/60", stdout=said)
    assert said.getvalue().startswith("The path begins at ")
    for wrong in ("SOL", "NEW=-8%/60", "SOL=-8%/60 @1760000000"):
        with pytest.raises(CommandError):
            call_command("set_price_path", wrong)
    assert SimulatedPricePath.objects.count() == 1
