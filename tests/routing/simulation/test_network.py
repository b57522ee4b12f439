import asyncio
from collections.abc import Sequence

import psycopg
import pytest

from routing.pools.pool import Direction
from routing.simulation import ledger
from routing.simulation.batch import NETWORK_FEE
from routing.simulation.pool import PoolKey, SimulatedPool, read_pool
from routing.simulation.settings import Simulation
from routing.simulation.transaction import sign_swap
from routing.tokens import SOL, USDC
from routing.venue import (
    Absent,
    Bound,
    Landed,
    Leg,
    Network,
    NetworkUnavailable,
    Quote,
    Rejected,
    SignedTransaction,
    Swap,
    TransactionRefused,
    TransactionStatus,
)
from routing.venues import simulated_exchange
from tests.routing.conftest import STILL, Join
from tests.support.database import Database
from tests.support.venue_contract import SELL, UNKNOWN, NetworkContract, expired, landed, until

pytestmark = pytest.mark.usefixtures("transactional_db")

QUOTE = Quote("raydium", 1_500_000_000, 149_550_000, SELL.market.reference_price, 30)
"""What a deep pool pays, nearly, at the reference price."""
TOLERANT = Bound(min_out=QUOTE.amount_out * 99 // 100)
POOL = PoolKey("raydium", SOL.mint, USDC.mint)
METEORA = POOL._replace(venue="meteora")
RECORDED_BY_ANOTHER = """
INSERT INTO simulated_network_transactions (signature, expires_at_height, sent_at, lands_at,
    amount_in, amount_out, rejection, payload)
VALUES (%s, %s, clock_timestamp(), clock_timestamp(), 1, 1, '', '')
"""
BLOCKED = """
SELECT pid FROM pg_stat_activity WHERE application_name = 'simulated-network'
    AND datname = current_database() AND wait_event = 'transactionid'
"""


async def new_transaction(
    network: Network,
    blocks: int = 10_000,
    bound: Bound = TOLERANT,
    swap: Swap = SELL,
    legs: Sequence[Leg] = (Leg("raydium", QUOTE),),
) -> SignedTransaction:
    height = await network.height()
    return sign_swap(swap, legs, bound, height=height, expiry_blocks=blocks)


async def pool_of(database: Database, key: PoolKey = POOL) -> SimulatedPool:
    """Return the pool as it is stored."""
    query = (
        "SELECT kind, state, tick, version FROM simulated_pools"
        " WHERE (venue, base, quote) = (%s, %s, %s)"
    )
    return read_pool(key, *(await database.rows(query, *key))[0])


def has_ended(status: TransactionStatus) -> bool:
    return not isinstance(status, Absent)


async def recorded(conninfo: str, signature: str) -> int:
    """Return how many rows the ledger has for this signature."""
    async with await psycopg.AsyncConnection.connect(conninfo) as connection:
        cursor = await connection.execute(
            "SELECT count(*) FROM simulated_network_transactions WHERE signature = %s", [signature]
        )
        row = await cursor.fetchone()
        assert row is not None
        return int(row[0])


class SimulatedNetworkContract(NetworkContract):
    async def transaction(self, network: Network, blocks: int = 10_000) -> SignedTransaction:
        return await new_transaction(network, blocks)

    @pytest.fixture
    def other_network(self, join: Join) -> Network:
        return join()


class TestNetworkWithoutLatency(SimulatedNetworkContract):
    @pytest.fixture
    def network(self, join: Join) -> Network:
        return join()


class TestNetworkWithLatency(SimulatedNetworkContract):
    @pytest.fixture
    def network(self, join: Join) -> Network:
        return join(landing_latency=(0.02, 0.05))


async def test_without_latency_a_send_answers_with_the_fill(join: Join) -> None:
    network = join()
    assert isinstance(await network.send(await new_transaction(network)), Landed)


async def test_a_transaction_is_absent_until_it_lands(join: Join) -> None:
    network = join(landing_latency=(0.2, 0.2))
    sent = await new_transaction(network)
    taken = await network.send(sent)

    assert isinstance(taken, Absent)
    assert taken.height <= sent.expires_at_height
    await landed(network, sent)


async def test_the_fill_is_what_the_pool_pays_at_its_landing(
    join: Join, database: Database
) -> None:
    before = await pool_of(database)
    fill = await join().send(await new_transaction(join()))
    expected, after = before.pool.swap_exact_in(QUOTE.amount_in, Direction.X_TO_Y, before.tick)

    assert fill == Landed(QUOTE.amount_in, expected.amount_out, NETWORK_FEE)
    stored = await pool_of(database)
    assert (stored.pool, stored.version) == (after, before.version + 1)


async def test_for_a_fixed_output_the_pool_says_what_it_costs(
    join: Join, database: Database
) -> None:
    network = join()
    before = await pool_of(database)
    swap = Swap(SELL.market, SELL.side, amount_out=QUOTE.amount_out)
    bound = Bound(max_in=QUOTE.amount_in * 2)
    fill = await network.send(await new_transaction(network, bound=bound, swap=swap))
    expected = before.pool.quote_exact_out(QUOTE.amount_out, Direction.X_TO_Y, before.tick)

    assert fill == Landed(expected.amount_in, QUOTE.amount_out, NETWORK_FEE)


@pytest.mark.parametrize("latency", [(0, 0), (0.01, 0.02)])
async def test_a_fill_beyond_the_bound_costs_its_fee_and_moves_nothing(
    join: Join, database: Database, latency: tuple[float, float]
) -> None:
    network = join(landing_latency=latency)
    before = await pool_of(database)
    sent = await new_transaction(network, bound=Bound(min_out=QUOTE.amount_out + 1))
    await network.send(sent)
    status = await until(lambda: network.status(sent), has_ended)

    assert isinstance(status, Rejected)
    assert (status.code, status.network_fee) == ("slippage_exceeded", NETWORK_FEE)
    assert await pool_of(database) == before


async def test_what_lands_moves_the_price_for_the_next(
    join: Join, unmoved_by_arbitrage: None
) -> None:
    network = join(depth=10_000)
    large = Quote("raydium", 10**12, 10**10, SELL.market.reference_price, 30)
    sent = [
        await new_transaction(network, bound=Bound(min_out=1), legs=[Leg("raydium", large)])
        for _ in range(3)
    ]
    fills = [await network.send(one) for one in sent]
    outputs = [fill.amount_out for fill in fills if isinstance(fill, Landed)]

    assert outputs[0] > outputs[1] > outputs[2]


async def test_a_price_moved_by_others_breaks_a_bound_at_landing(join: Join) -> None:
    """Both were quoted before either landed; the second finds what the first left."""
    network = join(landing_latency=(0.3, 0.3))
    large = Quote("raydium", 10**13, 9 * 10**11, SELL.market.reference_price, 30)
    whale = await new_transaction(network, bound=Bound(min_out=1), legs=[Leg("raydium", large)])
    late = await new_transaction(network)
    await asyncio.gather(network.send(whale))
    await asyncio.gather(network.send(late))
    await landed(network, whale)
    status = await until(lambda: network.status(late), has_ended)

    assert isinstance(status, Rejected)
    assert status.code == "slippage_exceeded"


async def test_a_pool_that_cannot_fill_rejects(join: Join, database: Database) -> None:
    network = join()
    before = await pool_of(database)
    swap = Swap(SELL.market, SELL.side, amount_out=10**15)
    quote = Quote("raydium", 1, 10**15, SELL.market.reference_price, 30)
    legs = [Leg("raydium", quote)]
    status = await network.send(
        await new_transaction(network, bound=Bound(max_in=2**62), swap=swap, legs=legs)
    )

    assert isinstance(status, Rejected)
    assert status.code == "math"
    assert "refused" in status.reason
    assert await pool_of(database) == before


@pytest.mark.parametrize("latency", [(0, 0), (0.01, 0.02)])
async def test_a_pool_that_there_is_not_rejects(join: Join, latency: tuple[float, float]) -> None:
    network = join(landing_latency=latency)
    sent = await new_transaction(network, legs=[Leg("nowhere", QUOTE)])
    await network.send(sent)
    status = await until(lambda: network.status(sent), has_ended)

    assert isinstance(status, Rejected)
    assert status.code == "no_such_pool"


async def test_legs_land_together_at_several_venues(join: Join, database: Database) -> None:
    network = join()
    quotes = [Quote(name, 10**9, 99_000_000, QUOTE.price, 30) for name in ("raydium", "meteora")]
    legs = [Leg(quote.venue, quote) for quote in quotes]
    before = {key: await pool_of(database, key) for key in (POOL, METEORA)}
    fill = await network.send(await new_transaction(network, legs=legs, bound=Bound(min_out=1)))

    assert isinstance(fill, Landed)
    paid = [
        before[key].pool.quote_exact_in(10**9, Direction.X_TO_Y, before[key].tick).amount_out
        for key in (POOL, METEORA)
    ]
    assert (fill.amount_in, fill.amount_out) == (2 * 10**9, sum(paid))
    for key in (POOL, METEORA):
        assert (await pool_of(database, key)).version == before[key].version + 1


async def test_of_legs_that_break_the_bound_together_no_pool_moves(
    join: Join, database: Database
) -> None:
    network = join()
    quotes = [Quote(name, 10**9, 99_000_000, QUOTE.price, 30) for name in ("raydium", "meteora")]
    legs = [Leg(quote.venue, quote) for quote in quotes]
    before = {key: await pool_of(database, key) for key in (POOL, METEORA)}
    bound = Bound(min_out=2 * 10**8)
    status = await network.send(await new_transaction(network, legs=legs, bound=bound))

    assert isinstance(status, Rejected)
    assert {key: await pool_of(database, key) for key in (POOL, METEORA)} == before


async def test_of_legs_of_which_one_has_no_pool_none_moves(join: Join, database: Database) -> None:
    network = join()
    before = await pool_of(database)
    legs = [Leg("raydium", QUOTE), Leg("nowhere", QUOTE)]
    assert isinstance(await network.send(await new_transaction(network, legs=legs)), Rejected)
    assert await pool_of(database) == before


async def test_a_moved_price_is_rejected_at_landing(join: Join) -> None:
    network = join("price_moved=1", landing_latency=(0.02, 0.02))
    sent = await new_transaction(network)
    assert isinstance(await network.send(sent), Absent)
    await until(lambda: network.status(sent), lambda seen: isinstance(seen, Rejected))


async def test_a_dropped_send_leaves_nothing_and_a_resend_gets_through(
    join: Join, database_conninfo: str
) -> None:
    dropping, honest = join("send_dropped=1"), join()
    sent = await new_transaction(dropping)
    assert isinstance(await dropping.send(sent), Absent)
    assert await recorded(database_conninfo, sent.signature) == 0
    assert isinstance(await honest.send(sent), Landed)


async def test_a_dropped_send_never_reads_as_proof_of_death(join: Join) -> None:
    dropping, honest = join("send_dropped=1"), join()
    sent = await new_transaction(honest, blocks=100)
    fill = await honest.send(sent)
    async with asyncio.timeout(120):
        while True:
            try:
                answer = await dropping.send(sent)
            except TransactionRefused:
                break
            assert isinstance(answer, Absent)
            assert answer.height <= sent.expires_at_height
            await asyncio.sleep(0.05)

    assert await dropping.status(sent) == fill


async def test_sends_are_dropped_anew_each_time(join: Join) -> None:
    network = join("send_dropped=0.5")
    sent = await new_transaction(network)
    await until(lambda: network.send(sent), lambda seen: isinstance(seen, Landed))


async def test_a_lost_reply_is_found_by_looking_it_up(join: Join, database_conninfo: str) -> None:
    network = join("reply_lost=1")
    sent = await new_transaction(network)
    for _ in range(2):
        with pytest.raises(NetworkUnavailable):
            await network.send(sent)

    assert isinstance(await network.status(sent), Landed)
    assert await recorded(database_conninfo, sent.signature) == 1


async def test_a_late_landing_is_late_and_still_before_the_expiry(join: Join) -> None:
    network = join("landing_late=1", late_by=3600)
    sent = await new_transaction(network, blocks=60)
    assert isinstance(await network.send(sent), Absent)
    await landed(network, sent)


async def test_a_landing_after_the_expiry_never_happens(join: Join) -> None:
    network = join(landing_latency=(1, 1))
    sent = await new_transaction(network, blocks=50)  # half a second, to send it in time

    assert isinstance(await network.send(sent), Absent)
    await expired(network, sent)
    clock = asyncio.get_running_loop().time
    landing = clock() + 0.6
    while clock() < landing:
        assert isinstance(await network.status(sent), Absent)


async def test_an_expiring_transaction_never_lands(join: Join) -> None:
    network = join("expiry=1")
    sent = await new_transaction(network, blocks=50)
    assert isinstance(await network.send(sent), Absent)
    assert (await expired(network, sent)).height > sent.expires_at_height


async def test_two_processes_sending_the_same_bytes_record_them_once(
    join: Join, database_conninfo: str
) -> None:
    networks = [join() for _ in range(4)]
    sent = await new_transaction(networks[0])
    fills = await asyncio.gather(*(network.send(sent) for network in networks * 5))

    assert {type(fill) for fill in fills} <= {Landed, Absent}
    assert len({fill for fill in fills if isinstance(fill, Landed)}) == 1
    assert await recorded(database_conninfo, sent.signature) == 1


async def test_a_lookup_that_finds_nothing_waits_for_a_send_under_way(
    join: Join, database_conninfo: str
) -> None:
    """Otherwise it could prove a transaction dead that is committed a moment later."""
    network = join()
    sent = await new_transaction(network)
    async with await psycopg.AsyncConnection.connect(database_conninfo) as sender:
        await sender.execute("SELECT pg_advisory_xact_lock_shared(%s)", [0x6C656467])
        await sender.execute(RECORDED_BY_ANOTHER, [sent.signature, sent.expires_at_height])
        lookup = asyncio.create_task(network.status(sent))
        async with asyncio.timeout(120):
            while not await _is_anyone_waiting(database_conninfo):
                await asyncio.sleep(0.005)
        await sender.commit()

    assert await lookup == Landed(1, 1)


async def test_a_crowd_of_sends_and_lookups_each_gets_its_own_answer(join: Join) -> None:
    network = join()
    crowd = [await new_transaction(network, bound=Bound(min_out=1)) for _ in range(100)]
    unknown = [UNKNOWN._replace(signature=f"unknown-{number}") for number in range(10)]
    fills, absences = await asyncio.gather(
        asyncio.gather(*(network.send(one) for one in crowd)),
        asyncio.gather(*(network.status(one) for one in unknown)),
    )
    seen = await asyncio.gather(*(network.status(one) for one in crowd))

    assert seen == fills
    assert len(set(fills)) > 90  # each found the pool as another had left it
    assert all(isinstance(absence, Absent) for absence in absences)


async def test_however_they_are_sent_the_same_bytes_move_a_pool_once(
    join: Join, database: Database
) -> None:
    """By processes with and without latency, all at once and again; two settle what is due."""
    networks = [join(), join(landing_latency=(0, 0.05)), join(landing_latency=(0, 0.05)), join()]
    before = await pool_of(database)
    sent = [await new_transaction(networks[0], bound=Bound(min_out=1)) for _ in range(30)]
    for _ in range(2):
        await asyncio.gather(*(network.send(one) for one in sent for network in networks))
    fills = [await landed(networks[0], one) for one in sent]
    for network in networks[1:]:
        assert [await network.status(one) for one in sent] == fills
    after = await pool_of(database)

    assert after.pool.vault_x - before.pool.vault_x == sum(fill.amount_in for fill in fills)
    assert before.pool.vault_y - after.pool.vault_y == sum(fill.amount_out for fill in fills)


async def test_two_processes_that_settle_at_once_agree(join: Join, database: Database) -> None:
    networks = [join(landing_latency=(0.1, 0.1)) for _ in range(4)]
    before = await pool_of(database)
    sent = [await new_transaction(networks[0], bound=Bound(min_out=1)) for _ in range(40)]
    await asyncio.gather(*(networks[0].send(one) for one in sent))
    seen = await asyncio.gather(
        *(
            until(lambda network=network, one=one: network.status(one), has_ended)  # type: ignore[misc]  # bound now
            for one in sent
            for network in networks
        )
    )

    assert all(isinstance(status, Landed) for status in seen)
    fills = {one.signature: set(seen[4 * n : 4 * n + 4]) for n, one in enumerate(sent)}
    assert {len(found) for found in fills.values()} == {1}
    after = await pool_of(database)
    received = sum(status.amount_out for status in seen[::4] if isinstance(status, Landed))
    assert before.pool.vault_y - after.pool.vault_y == received


async def test_landings_are_settled_in_the_order_of_their_time(
    join: Join, database: Database
) -> None:
    """Whoever is looked for first: each fill is worse than the one that landed before it.

    Only within one second: at the next, arbitrage has brought the price back.
    """
    network = join(landing_latency=(0.05, 0.3))
    sent = [await new_transaction(network, bound=Bound(min_out=1)) for _ in range(20)]
    await asyncio.gather(*(network.send(one) for one in sent))
    await asyncio.sleep(0.35)
    for one in reversed(sent):
        await landed(network, one)
    rows = await database.rows(
        "SELECT floor(extract(epoch FROM lands_at)), -amount_out FROM"
        " simulated_network_transactions ORDER BY lands_at, signature"
    )

    assert rows == sorted(rows)
    assert len(rows) == 20


async def test_what_is_due_elsewhere_is_settled_on_the_way(
    join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many others are due before it in pools of their own."""
    monkeypatch.setattr(ledger, "MOST_SETTLED", 2)
    networks = join(landing_latency=(0.02, 0.02)), join(landing_latency=(0.2, 0.2))
    elsewhere = Quote("meteora", 10**9, 99_000_000, QUOTE.price, 20)
    for network, leg, count in zip(
        networks, (Leg("meteora", elsewhere), Leg("raydium", QUOTE)), (7, 1), strict=True
    ):
        for _ in range(count):
            sent = await new_transaction(network, legs=[leg], bound=Bound(min_out=1))
            await network.send(sent)

    assert isinstance(await landed(networks[1], sent), Landed)


async def test_a_second_send_of_the_same_bytes_moves_no_pool(
    join: Join, database: Database, database_conninfo: str
) -> None:
    """The first one's row is not committed yet when the second works out its fill."""
    network = join()
    before = await pool_of(database)
    sent = await new_transaction(network)
    async with await psycopg.AsyncConnection.connect(database_conninfo) as first:
        await first.execute(RECORDED_BY_ANOTHER, [sent.signature, sent.expires_at_height])
        sending = asyncio.create_task(network.send(sent))
        await until_blocked(database)
        await first.commit()

    assert await sending == Landed(1, 1)
    assert await pool_of(database) == before


async def test_a_crash_in_the_middle_of_a_landing_leaves_nothing_of_it(
    join: Join, database: Database, database_conninfo: str
) -> None:
    """The connection dies while the outcome is being written; the next try lands it, once."""
    network = join()
    before = await pool_of(database)
    sent = await new_transaction(network)
    async with await psycopg.AsyncConnection.connect(database_conninfo) as other:
        await other.execute(RECORDED_BY_ANOTHER, [sent.signature, sent.expires_at_height])
        sending = asyncio.create_task(network.send(sent))
        (backend,) = await until_blocked(database)
        await database.rows("SELECT pg_terminate_backend(%s)", backend)
        await until_gone(database, backend)
        assert await pool_of(database) == before
        await other.rollback()
    fill = await sending

    assert isinstance(fill, Landed)
    after = await pool_of(database)
    assert after.version == before.version + 1
    assert before.pool.vault_y - after.pool.vault_y == fill.amount_out
    assert await recorded(database_conninfo, sent.signature) == 1


async def test_an_unreachable_network_is_unavailable() -> None:
    network = simulated_exchange("host=/nonexistent dbname=none", Simulation()).network
    with pytest.raises(NetworkUnavailable):
        await network.height()


async def test_the_height_is_read_at_most_once_a_second_and_never_runs_ahead(
    join: Join,
) -> None:
    network = join(block_seconds=0.001)
    heights = [await network.height() for _ in range(200)]

    assert heights == sorted(heights)
    seen = await network.status(UNKNOWN)
    assert isinstance(seen, Absent)
    assert heights[-1] <= seen.height


async def _is_anyone_waiting(conninfo: str) -> bool:
    async with await psycopg.AsyncConnection.connect(conninfo) as connection:
        cursor = await connection.execute(
            "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        )
        return await cursor.fetchone() is not None


async def until_blocked(database: Database) -> tuple[int]:
    """Return the process id of the backend that waits for another's row."""
    async with asyncio.timeout(120):
        while not (rows := await database.rows(BLOCKED)):
            await asyncio.sleep(0.005)
    found: tuple[int] = rows[0]
    return found


async def until_gone(database: Database, backend: int) -> None:
    async with asyncio.timeout(120):
        while await database.rows("SELECT 1 FROM pg_stat_activity WHERE pid = %s", backend):
            await asyncio.sleep(0.005)


# Time goes back: a backup was restored, a standby promoted, the database's clock set back


AHEAD = """
UPDATE simulated_network_transactions
SET sent_at = sent_at + interval '10 minutes', lands_at = lands_at + interval '10 minutes'
"""
AHEAD_NOW = "clock_timestamp() + interval '10 minutes'"


async def rewind(database: Database) -> None:
    """Have the pools as they were before the last landing: versions of the future are gone."""
    await database.rows("CREATE TEMP TABLE IF NOT EXISTS kept AS SELECT * FROM simulated_pools")
    await database.rows(
        "UPDATE simulated_pools AS pool SET state = kept.state, tick = kept.tick,"
        " version = kept.version FROM kept WHERE kept.id = pool.id"
    )


@pytest.mark.parametrize("latency", [(0, 0), (0.01, 0.02)])
async def test_after_the_pools_went_back_in_time_landings_go_on_from_what_is_there(
    join: Join,
    database: Database,
    caplog: pytest.LogCaptureFixture,
    latency: tuple[float, float],
) -> None:
    network = join(landing_latency=latency)
    await rewind(database)  # keeps them
    for _ in range(3):
        sent = await new_transaction(network, bound=Bound(min_out=1))
        await network.send(sent)
        await landed(network, sent)
    await rewind(database)
    before = await pool_of(database)
    crowd = [await new_transaction(network, bound=Bound(min_out=1)) for _ in range(5)]
    await asyncio.gather(*(network.send(one) for one in crowd))
    for one in crowd:
        await landed(network, one)
    after = await pool_of(database)

    # Each left its fee; what the vaults hold, arbitrage may have moved meanwhile.
    assert after.pool.fund_fees_x - before.pool.fund_fees_x == len(crowd) * 180_000
    assert [one.message for one in caplog.records if "back in time" in one.message] == [
        "1 simulated pools stand at an older version than they did: the database went back in"
        " time; they are taken as they stand"
    ]


async def test_a_quote_is_of_the_pool_as_a_restored_database_has_it(
    join: Join, database: Database, database_conninfo: str, caplog: pytest.LogCaptureFixture
) -> None:
    exchange = simulated_exchange(
        database_conninfo, Simulation(quote_latency=0, seed=1, block_seconds=0.01, **STILL)
    )
    await rewind(database)
    venue = next(one for one in exchange.venues if one.name == "raydium")
    before = await venue.quote(SELL)
    large = Quote("raydium", 10**13, 9 * 10**11, SELL.market.reference_price, 30)
    legs = [Leg("raydium", large)]
    other = join()
    await other.send(await new_transaction(other, bound=Bound(min_out=1), legs=legs))
    try:
        async with asyncio.timeout(120):
            while await venue.quote(SELL) == before:
                await asyncio.sleep(0.02)
            await rewind(database)
            while await venue.quote(SELL) != before:
                await asyncio.sleep(0.02)
    finally:
        await exchange.close()

    assert len([one for one in caplog.records if "back in time" in one.message]) == 1


@pytest.mark.parametrize("faults", ["", "price_moved=1"])
async def test_what_was_to_land_by_a_clock_since_set_back_lands_soon_and_once(
    join: Join, database: Database, faults: str, caplog: pytest.LogCaptureFixture
) -> None:
    networks = [join(faults, landing_latency=(0.3, 0.3)) for _ in range(3)]
    before = await pool_of(database)
    sent = [await new_transaction(networks[0], bound=Bound(min_out=1)) for _ in range(4)]
    await asyncio.gather(*(networks[0].send(one) for one in sent))
    await database.rows(AHEAD)
    seen = await asyncio.gather(
        *(
            until(lambda network=network, one=one: network.status(one), has_ended)  # type: ignore[misc]  # bound now
            for one in sent
            for network in networks
        )
    )
    for n, one in enumerate(sent):
        assert set(seen[3 * n : 3 * n + 3]) == {await networks[0].send(one)}
    paid = sum(status.amount_out for status in seen[::3] if isinstance(status, Landed))

    assert paid > 0 or faults
    assert before.pool.vault_y - (await pool_of(database)).pool.vault_y == paid
    assert 1 <= len([one for one in caplog.records if "set back" in one.message]) <= 3


async def test_what_has_landed_by_a_clock_since_set_back_has_landed(
    join: Join, database: Database
) -> None:
    network = join()
    sent = await new_transaction(network)
    fill = await network.send(sent)
    await database.rows(AHEAD)

    assert await join().status(sent) == fill
    assert await network.send(sent) == fill


async def test_what_never_lands_has_expired_when_the_clock_was_set_back(
    join: Join, database: Database
) -> None:
    """Its expiry is minutes ahead, and it is known that it will not land."""
    network = join("expiry=1")
    sent = await new_transaction(network)
    await network.send(sent)
    await database.rows(AHEAD)
    seen = await network.status(sent)

    assert isinstance(seen, Absent)
    assert seen.height > sent.expires_at_height
    with pytest.raises(TransactionRefused):
        await network.send(sent)


async def test_a_clock_that_was_set_back_is_told_once(
    join: Join, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    network = join()
    monkeypatch.setattr(ledger.sql, "FIND", ledger.sql.FIND.replace("clock_timestamp()", AHEAD_NOW))
    ahead = await network.status(UNKNOWN)
    monkeypatch.undo()
    for _ in range(3):
        seen = await network.status(UNKNOWN)

    assert isinstance(ahead, Absent)
    assert isinstance(seen, Absent)
    assert seen.height < ahead.height
    assert len([one for one in caplog.records if "clock was set back" in one.message]) == 1


@pytest.mark.parametrize("latency", [(0, 0), (0.01, 0.02)])
async def test_how_a_session_writes_floats_changes_no_clock(
    join: Join, database: Database, database_conninfo: str, latency: tuple[float, float]
) -> None:
    name = (await database.rows("SELECT quote_ident(current_database())"))[0][0]
    await database.rows(f"ALTER DATABASE {name} SET extra_float_digits = -15")
    try:
        network = join(landing_latency=latency)
        height = await network.height()
        ((now,),) = await database.rows("SELECT (extract(epoch FROM clock_timestamp()))::bigint")
        assert abs(height * 0.01 - now) < 60
        sent = await new_transaction(network)
        await network.send(sent)
        assert isinstance(await landed(network, sent), Landed)
    finally:
        await database.rows(f"ALTER DATABASE {name} RESET extra_float_digits")
