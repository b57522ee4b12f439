import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import psycopg
import pytest
import pytest_asyncio

from routing.faults import Faults
from routing.simulated_network import SimulatedNetwork
from routing.simulated_transaction import sign_swap
from routing.simulation import Simulation
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
)
from tests.routing.contract import SELL, NetworkContract, expired, landed, until

pytestmark = pytest.mark.django_db(transaction=True)

Join = Callable[..., SimulatedNetwork]

QUOTE = Quote("raydium", 1_500_000_000, 149_849_100, SELL.market.reference_price, 30)
TOLERANT = Bound(min_out=QUOTE.amount_out * 99 // 100)


@pytest_asyncio.fixture
async def join(database_conninfo: str) -> AsyncIterator[Join]:
    """Make networks on the test database, each as another process would have it."""
    networks: list[SimulatedNetwork] = []

    def new(faults: str = "", **settings: Any) -> SimulatedNetwork:
        settings = {"landing_latency": (0, 0), "block_seconds": 0.01, "seed": 1, **settings}
        simulation = Simulation(faults=Faults.parse(faults), **settings)
        networks.append(SimulatedNetwork(database_conninfo, simulation))
        return networks[-1]

    yield new
    for network in networks:
        await network.close()


async def new_transaction(
    network: Network, blocks: int = 10_000, bound: Bound = TOLERANT, swap: Swap = SELL
) -> SignedTransaction:
    height = await network.height()
    return sign_swap(swap, [Leg("raydium", QUOTE)], bound, height=height, expiry_blocks=blocks)


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


async def test_the_fill_drifts_within_the_setting_and_the_same_in_every_process(
    join: Join,
) -> None:
    one, other = join(drift_bps=20), join(drift_bps=20)
    for _ in range(30):
        sent = await new_transaction(one)
        fill = await one.send(sent)
        assert isinstance(fill, Landed)
        assert fill.amount_in == QUOTE.amount_in
        assert abs(fill.amount_out - QUOTE.amount_out) <= QUOTE.amount_out * 20 // 10_000 + 1
        assert await other.send(sent) == fill


async def test_for_a_fixed_output_the_input_drifts(join: Join) -> None:
    network = join(drift_bps=20)
    swap = Swap(SELL.market, SELL.side, amount_out=QUOTE.amount_out)
    bound = Bound(max_in=QUOTE.amount_in * 2)
    fill = await network.send(await new_transaction(network, bound=bound, swap=swap))
    assert isinstance(fill, Landed)
    assert fill.amount_out == QUOTE.amount_out
    assert 0 < abs(fill.amount_in - QUOTE.amount_in) <= QUOTE.amount_in * 20 // 10_000 + 1


async def test_without_drift_the_fill_is_the_quote(join: Join) -> None:
    network = join(drift_bps=0)
    exact = Bound(min_out=QUOTE.amount_out)
    assert await network.send(await new_transaction(network, bound=exact)) == Landed(
        QUOTE.amount_in, QUOTE.amount_out
    )


async def test_a_fill_beyond_the_bound_is_rejected_and_swaps_nothing(join: Join) -> None:
    network = join(drift_bps=0)
    too_much = Bound(min_out=QUOTE.amount_out + 1)
    status = await network.send(await new_transaction(network, bound=too_much))
    assert isinstance(status, Rejected)
    assert status.code == "slippage_exceeded"


async def test_a_moved_price_is_rejected_at_landing(join: Join) -> None:
    network = join("price_moved=1", landing_latency=(0.02, 0.02))
    sent = await new_transaction(network)
    assert isinstance(await network.send(sent), Absent)
    await until(lambda: network.status(sent.signature), lambda seen: isinstance(seen, Rejected))


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
    async with asyncio.timeout(10):
        while True:
            try:
                answer = await dropping.send(sent)
            except TransactionRefused:
                break
            assert isinstance(answer, Absent)
            assert answer.height <= sent.expires_at_height
            await asyncio.sleep(0.05)
    assert await dropping.status(sent.signature) == fill


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
    assert isinstance(await network.status(sent.signature), Landed)
    assert await recorded(database_conninfo, sent.signature) == 1


async def test_a_late_landing_is_late_and_still_before_the_expiry(join: Join) -> None:
    network = join("landing_late=1", late_by=3600)
    sent = await new_transaction(network, blocks=30)
    assert isinstance(await network.send(sent), Absent)
    await landed(network, sent)


async def test_a_landing_after_the_expiry_never_happens(join: Join) -> None:
    network = join(landing_latency=(0.2, 0.2))
    sent = await new_transaction(network, blocks=5)
    assert isinstance(await network.send(sent), Absent)
    await expired(network, sent)
    clock = asyncio.get_running_loop().time
    landing = clock() + 0.25
    while clock() < landing:
        assert isinstance(await network.status(sent.signature), Absent)


async def test_an_expiring_transaction_never_lands(join: Join) -> None:
    network = join("expiry=1")
    sent = await new_transaction(network, blocks=10)
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
        await sender.execute(
            "INSERT INTO simulated_network_transactions VALUES"
            " (%s, %s, clock_timestamp(), clock_timestamp(), 1, 1, '')",
            [sent.signature, sent.expires_at_height],
        )
        lookup = asyncio.create_task(network.status(sent.signature))
        async with asyncio.timeout(10):
            while not await _is_anyone_waiting(database_conninfo):
                await asyncio.sleep(0.005)
        await sender.commit()
    assert await lookup == Landed(1, 1)


async def test_a_crowd_of_sends_and_lookups_each_gets_its_own_answer(join: Join) -> None:
    network = join(drift_bps=100)
    crowd = [await new_transaction(network, bound=Bound(min_out=1)) for _ in range(100)]
    unknown = [f"unknown-{number}" for number in range(10)]
    fills, absences = await asyncio.gather(
        asyncio.gather(*(network.send(one) for one in crowd)),
        asyncio.gather(*(network.status(signature) for signature in unknown)),
    )
    seen = await asyncio.gather(*(network.status(one.signature) for one in crowd))
    assert seen == fills
    assert len(set(fills)) > 50
    assert all(isinstance(absence, Absent) for absence in absences)


async def test_an_unreachable_network_is_unavailable() -> None:
    network = SimulatedNetwork("host=/nonexistent dbname=none", Simulation())
    with pytest.raises(NetworkUnavailable):
        await network.height()


async def test_the_height_is_read_at_most_once_a_second_and_never_runs_ahead(
    join: Join,
) -> None:
    network = join(block_seconds=0.001)
    heights = [await network.height() for _ in range(200)]
    assert heights == sorted(heights)
    seen = await network.status("unknown")
    assert isinstance(seen, Absent)
    assert heights[-1] <= seen.height


async def _is_anyone_waiting(conninfo: str) -> bool:
    async with await psycopg.AsyncConnection.connect(conninfo) as connection:
        cursor = await connection.execute(
            "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        )
        return await cursor.fetchone() is not None
