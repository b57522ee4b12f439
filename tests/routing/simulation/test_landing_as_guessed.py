"""Landing in one statement, on pools as the sender knew them: what makes it fall back."""

import asyncio
import time
from types import SimpleNamespace

import psycopg
import pytest

from routing.pools.pool import Direction
from routing.simulation import ledger
from routing.venue import (
    Absent,
    Bound,
    Landed,
    Leg,
    Network,
    Quote,
    Rejected,
    Side,
    Swap,
    TransactionRefused,
)
from tests.routing.conftest import Join
from tests.routing.simulation.test_network import POOL, QUOTE, new_transaction, pool_of, recorded
from tests.support.database import Database
from tests.support.venue_contract import SELL, UNKNOWN

pytestmark = pytest.mark.usefixtures("transactional_db")

BLOCK = 0.01  # seconds, as `join` makes its networks
LAST = """
SELECT extract(epoch FROM lands_at)::float8 FROM simulated_network_transactions
WHERE signature = %s
"""
CLOCK = "SELECT extract(epoch FROM clock_timestamp())::float8"
ANY = Bound(min_out=1)


class Carried(SimpleNamespace):
    """In place of `time` in the ledger: carries the database's clock on wrongly, by `off` s."""

    off = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.off


@pytest.fixture
def carried(monkeypatch: pytest.MonkeyPatch) -> Carried:
    clock = Carried()
    monkeypatch.setattr(ledger, "time", clock)
    return clock


async def land(network: Network, bound: Bound = ANY) -> Landed:
    fill = await network.send(await new_transaction(network, bound=bound))
    assert isinstance(fill, Landed)
    return fill


async def until_into_second(database: Database, part: float) -> None:
    """Wait until so much of a second, or a little more, has passed by the database's clock."""
    async with asyncio.timeout(120):
        while not part <= (await database.rows(CLOCK))[0][0] % 1 < part + 0.2:
            await asyncio.sleep(0.01)


async def until_clock(database: Database, epoch: float) -> None:
    async with asyncio.timeout(120):
        while (await database.rows(CLOCK))[0][0] <= epoch:
            await asyncio.sleep(0.005)


async def test_a_process_that_knows_the_pool_locks_nothing_beforehand(
    join: Join, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless a second ends meanwhile."""
    network = join()
    await land(network)
    monkeypatch.setattr(ledger.sql, "LOCK_POOLS", "SELECT 1 / 0")
    await until_into_second(database, 0)
    fills = await asyncio.gather(*(land(network) for _ in range(20)))

    assert len(set(fills)) == 20


async def test_a_pool_that_another_moved_is_taken_as_it_stands(
    join: Join, database: Database, unmoved_by_arbitrage: None
) -> None:
    first, second = join(), join()
    await land(first)
    await land(second)
    before = await pool_of(database)
    fill = await land(first)
    expected, after = before.pool.swap_exact_in(QUOTE.amount_in, Direction.X_TO_Y, before.tick)
    stored = await pool_of(database)

    assert fill.amount_out == expected.amount_out
    assert (stored.pool, stored.version) == (after, before.version + 1)


async def test_a_bound_is_held_to_the_pool_as_another_left_it(
    join: Join, unmoved_by_arbitrage: None
) -> None:
    """As the sender knew the pool it would be rejected, and no pool would be written."""
    first, second = join(), join()
    paid = (await land(first)).amount_out
    buy = Swap(SELL.market, Side.BUY, amount_in=10**11)
    large = Quote("raydium", 10**11, 10**12, SELL.market.reference_price, 30)
    bought = await second.send(
        await new_transaction(second, bound=ANY, swap=buy, legs=[Leg("raydium", large, buy)])
    )

    assert isinstance(bought, Landed)
    assert (await land(first, Bound(min_out=paid + 1))).amount_out > paid


async def test_while_another_moves_the_pool_no_process_guesses(
    join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "CONTENTION", 3600)
    first, second = join(), join()
    for network in (first, second, first):
        await land(network)
    monkeypatch.setattr(ledger.sql, "GUESS", "SELECT 1 / 0")
    await land(first)
    monkeypatch.setattr(ledger, "CONTENTION", 0)
    with pytest.raises(psycopg.errors.DivisionByZero):
        await land(first)


async def test_bytes_that_are_known_land_once(join: Join, database: Database) -> None:
    """Sent again at once, so that only their row tells of it: the pool is as the sender left it."""
    network = join()
    await land(network)
    sent = await new_transaction(network, bound=ANY)
    fill = await network.send(sent)
    stored = await pool_of(database)

    assert await network.send(sent) == fill
    assert await pool_of(database) == stored
    assert await recorded(database.conninfo, sent.signature) == 1


async def test_what_is_due_lands_before(join: Join, database: Database) -> None:
    at_once, slow = join(), join(landing_latency=(0.05, 0.05))
    await land(at_once)
    large = Quote("raydium", 10**13, 9 * 10**11, SELL.market.reference_price, 30)
    whale = await new_transaction(slow, bound=ANY, legs=[Leg("raydium", large)])

    assert isinstance(await slow.send(whale), Absent)
    await until_clock(database, (await database.rows(LAST, whale.signature))[0][0])
    status = await at_once.send(await new_transaction(at_once))
    assert isinstance(status, Rejected)
    assert status.code == "slippage_exceeded"


async def test_what_expired_by_the_databases_clock_is_not_recorded(
    join: Join, database: Database, carried: Carried
) -> None:
    """Whatever this machine's says; with a latency, as then no pool is asked."""
    network = join(landing_latency=(0.001, 0.001))
    await until_into_second(database, 0.3)
    sent = await new_transaction(network, blocks=5)
    await until_clock(database, (sent.expires_at_height + 1) * BLOCK)
    await network.status(UNKNOWN)  # reads the clock
    carried.off = -0.2
    with pytest.raises(TransactionRefused):
        await network.send(sent)

    assert await recorded(database.conninfo, sent.signature) == 0


@pytest.mark.parametrize(("into_second", "off"), [(0.0, -0.6), (0.35, 0.7)])
async def test_the_databases_clock_says_when_it_lands(
    join: Join, database: Database, carried: Carried, into_second: float, off: float
) -> None:
    """Ours is in the second before, or in the next one."""
    network = join()
    await land(network)
    await until_clock(database, (await pool_of(database)).tick + 1)
    await until_into_second(database, into_second)
    sent = await new_transaction(network, bound=ANY)
    await network.status(UNKNOWN)  # reads the clock
    carried.off = off

    assert isinstance(await network.send(sent), Landed)
    lands_at, clock = await database.rows(LAST, sent.signature) + await database.rows(CLOCK)
    assert int(lands_at[0]) == (await pool_of(database)).tick
    assert clock[0] - 1 < lands_at[0] <= clock[0]


async def test_a_lookup_waits_for_a_guess_under_way(join: Join, database: Database) -> None:
    first, second = join(), join()
    await land(first)
    sent = await new_transaction(first, bound=ANY)
    async with await psycopg.AsyncConnection.connect(database.conninfo) as holding:
        await holding.execute("SELECT FROM simulated_pools FOR UPDATE")
        sending = asyncio.create_task(first.send(sent))
        await until_waiting(database, "transactionid")
        lookup = asyncio.create_task(second.status(sent))
        await until_waiting(database, "advisory")
        await holding.rollback()

    assert isinstance(await lookup, Landed)
    assert await lookup == await sending


async def until_waiting(database: Database, locktype: str) -> None:
    query = "SELECT 1 FROM pg_locks WHERE locktype = %s AND NOT granted"
    async with asyncio.timeout(120):
        while not await database.rows(query, locktype):
            await asyncio.sleep(0.005)


async def test_processes_contending_for_a_pool_land_as_one_after_the_other(
    join: Join, database: Database, unmoved_by_arbitrage: None
) -> None:
    """Each fill is what the pool paid at its turn; versions are as many as there were batches."""
    networks = [join() for _ in range(3)]
    before = await pool_of(database)
    sent = [[await new_transaction(one, bound=ANY) for _ in range(40)] for one in networks]

    async def send_one_by_one(network: Network, lane: int) -> list[Landed]:
        own = sent[networks.index(network)][lane::4]
        fills = [await network.send(one) for one in own]
        return [fill for fill in fills if isinstance(fill, Landed)]

    lanes = [send_one_by_one(network, lane) for network in networks for lane in range(4)]
    fills = [fill for lane in await asyncio.gather(*lanes) for fill in lane]
    assert len(fills) == 120
    pool = before.pool
    for fill in sorted(fills, key=lambda fill: -fill.amount_out):
        paid, pool = pool.swap_exact_in(fill.amount_in, Direction.X_TO_Y, before.tick)
        assert fill.amount_out == paid.amount_out
    stored = await pool_of(database, POOL)
    batches = "SELECT count(DISTINCT lands_at) FROM simulated_network_transactions"
    assert stored.pool == pool
    assert stored.version - before.version == (await database.rows(batches))[0][0]
