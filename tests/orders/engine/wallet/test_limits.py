"""The wallet's limits hold over all workers, and what is counted wrongly is counted too high."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from django.db import connection

from orders.engine.trading_state import change_trading_state
from orders.engine.wallet.limits import Limits, LimitsUnavailable, WalletLimits
from orders.models import TradingState
from routing.venue import SigningHalted, WalletRefused
from tests.support.database import Database

USDC = 10**6
WALLET = "9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin"
HALTED, ACTIVE = TradingState.State.HALTED, TradingState.State.ACTIVE

Make = Callable[..., WalletLimits]

pytestmark = pytest.mark.usefixtures("engine_loop")


@pytest_asyncio.fixture
async def make(database_conninfo: str) -> AsyncIterator[Make]:
    """Workers, each with its own connection."""
    made: list[WalletLimits] = []

    def one(order: int | None = 100 * USDC, day: int | None = 250 * USDC) -> WalletLimits:
        made.append(WalletLimits(database_conninfo, Limits(order, day)))
        return made[-1]

    yield one
    for each in made:
        await each.close()


async def change(to: TradingState.State) -> None:
    def once() -> None:
        change_trading_state(to, "ada")
        connection.close()

    await sync_to_async(once)()


async def signed_for(database: Database) -> int:
    rows = await database.rows("SELECT value FROM wallet_days")
    return int(rows[0][0]) if rows else 0


async def transaction(database: Database, signature: str, outcome: str | None) -> None:
    """Store a transaction as the journal does, with what became of it."""
    await database.rows(
        "INSERT INTO order_transactions"
        " (order_id, attempt, signature, payload, expires_at_height, outcome, created_at,"
        " settled_at) VALUES (gen_random_uuid(), 1, %s, '', 1, %s, now(),"
        " CASE WHEN %s::text IS NULL THEN NULL ELSE now() END) RETURNING 1",
        *(signature, outcome, outcome),
    )


async def test_an_order_and_a_day_have_their_limits(make: Make, database: Database) -> None:
    limits = make()

    with pytest.raises(WalletRefused, match=r"may cost 100\.000001 USDC, and one may cost 100"):
        await limits.reserve(WALLET, 100 * USDC + 1)
    for _ in range(2):
        await limits.reserve(WALLET, 100 * USDC)
    with pytest.raises(WalletRefused, match="left of the 250 USDC"):
        await limits.reserve(WALLET, 50 * USDC + 1)
    await limits.reserve(WALLET, 50 * USDC)

    assert await signed_for(database) == 250 * USDC
    await limits.reserve("another wallet", 100 * USDC)


async def test_a_first_order_beyond_the_days_limit_is_refused(
    make: Make, database: Database
) -> None:
    with pytest.raises(WalletRefused):
        await make(None, 5).reserve(WALLET, 6)

    assert await signed_for(database) == 0


async def test_two_workers_never_share_the_last_of_the_day(make: Make, database: Database) -> None:
    workers = [make(None, 1_000) for _ in range(4)]

    ends = await asyncio.gather(
        *(workers[number % 4].reserve(WALLET, 30) for number in range(60)), return_exceptions=True
    )

    reserved = [one for one in ends if isinstance(one, int)]
    assert len(reserved) == len(set(reserved)) == 1_000 // 30
    assert all(isinstance(one, int | WalletRefused) for one in ends)
    assert await signed_for(database) == 30 * (1_000 // 30)


@pytest.mark.parametrize("outcome", ["expired", "rejected"])
async def test_a_transaction_that_is_proven_dead_gives_its_value_back_once(
    make: Make, database: Database, outcome: str
) -> None:
    workers = [make(None, 100) for _ in range(3)]
    await workers[0].confirm(await workers[0].reserve(WALLET, 90), "dead")
    await transaction(database, "dead", outcome)

    ends = await asyncio.gather(
        *(each.reserve(WALLET, 40) for each in workers), return_exceptions=True
    )

    assert sum(isinstance(one, int) for one in ends) == 2
    assert await signed_for(database) == 80


@pytest.mark.parametrize("outcome", ["landed", None])
async def test_what_has_landed_or_may_land_stays_counted(
    make: Make, database: Database, outcome: str | None
) -> None:
    limits = make(None, 100)
    await limits.confirm(await limits.reserve(WALLET, 90), "one")
    await transaction(database, "one", outcome)

    with pytest.raises(WalletRefused):
        await limits.reserve(WALLET, 11)

    rows = await database.rows("SELECT count(*) FROM wallet_reservations")
    assert rows == [(0 if outcome else 1,)]


async def test_a_crash_between_reservation_and_signature_leaves_the_value_counted(
    make: Make, database: Database
) -> None:
    await make(None, 100).reserve(WALLET, 90)  # and its worker is gone

    with pytest.raises(WalletRefused):
        await make(None, 100).reserve(WALLET, 11)
    await database.rows("UPDATE wallet_days SET day = day - 1 RETURNING 1")
    await database.rows("UPDATE wallet_reservations SET day = day - 1 RETURNING 1")

    assert await make(None, 100).reserve(WALLET, 100)  # on the next day


async def test_what_is_of_an_earlier_day_is_given_back_to_that_day(
    make: Make, database: Database
) -> None:
    limits = make(None, 100)
    await limits.confirm(await limits.reserve(WALLET, 90), "old")
    await database.rows("UPDATE wallet_days SET day = day - 1 RETURNING 1")
    await database.rows("UPDATE wallet_reservations SET day = day - 1 RETURNING 1")
    await transaction(database, "old", "expired")

    await limits.reserve(WALLET, 70)

    rows = await database.rows("SELECT value FROM wallet_days ORDER BY day")
    assert rows == [(0,), (70,)]


async def test_while_halted_nothing_is_reserved_and_no_signature_is_used(
    make: Make, database: Database
) -> None:
    limits = make()
    reservation = await limits.reserve(WALLET, 40 * USDC)
    await change(HALTED)

    with pytest.raises(SigningHalted, match="meanwhile"):
        await limits.confirm(reservation, "signed before the halt was seen")
    with pytest.raises(SigningHalted):
        await limits.reserve(WALLET, 1)
    assert await signed_for(database) == 40 * USDC
    await change(ACTIVE)
    assert await limits.reserve(WALLET, 1)


async def test_a_database_that_is_away_signs_nothing(make: Make) -> None:
    limits = WalletLimits("postgresql://nobody@127.0.0.1:1/none", Limits())

    with pytest.raises(LimitsUnavailable):
        await limits.reserve(WALLET, 1)
    with pytest.raises(LimitsUnavailable):
        await limits.confirm(1, "one")
