"""Sequences of landings, as the ledger works them out, keep every atom."""

import itertools
from collections import Counter
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.pools.bins import price_of_bin
from routing.pools.constant_product import ConstantProductPool
from routing.pools.pool import Direction
from routing.simulation.arbitrage import Arbitrage
from routing.simulation.batch import NETWORK_FEE, Batch, Entry
from routing.simulation.landing import execute
from routing.simulation.pool import AnyPool, PoolKey, Price, SimulatedPool, read_pool
from routing.simulation.price import seeded_walk
from routing.simulation.seeding import STEP_20, constant_product, liquidity_bins
from routing.simulation.transaction import Instruction, SwapInstruction
from routing.tokens import JUP, SOL, USDC
from routing.venue import Bound, Side
from tests.routing.pools.samples import bin_pools, constant_product_pools

NOW = 1_760_000_000
STILL = Arbitrage("7", seeded_walk("7", 0), {}, flow=0)
RAYDIUM_SOL = PoolKey("raydium", SOL.mint, USDC.mint)
METEORA_SOL = PoolKey("meteora", SOL.mint, USDC.mint)
RAYDIUM_JUP = PoolKey("raydium", JUP.mint, USDC.mint)
KEYS = (RAYDIUM_SOL, METEORA_SOL, RAYDIUM_JUP)
NUMBERS = itertools.count()

amounts = st.integers(1, 3 * 10**13)


def market() -> list[SimulatedPool]:
    made: dict[PoolKey, tuple[Price, AnyPool]] = {
        RAYDIUM_SOL: (Price(1, 10), constant_product(3_000)(10**14, 10**13)),
        METEORA_SOL: (Price(1, 10), liquidity_bins(STEP_20, 20)(10**14, 10**13)),
        RAYDIUM_JUP: (Price(1, 2), constant_product(3_000)(2 * 10**13, 10**13)),
    }
    return [SimulatedPool(key, price, pool, NOW) for key, (price, pool) in made.items()]


@st.composite
def instructions(draw: st.DrawFn) -> Instruction:
    """A swap in one pool, split over two, or through USDC, of fixed input or output."""
    is_exact_in = draw(st.booleans())
    bound = Bound(min_out=draw(amounts)) if is_exact_in else Bound(max_in=draw(amounts))
    side = draw(st.sampled_from(Side))
    shape = draw(st.sampled_from(["one", "split", "path", "split path"]))
    if shape == "one":
        swaps = [SwapInstruction(draw(st.sampled_from(KEYS)), side, draw(amounts), draw(amounts))]
    else:
        swaps = [
            SwapInstruction(key, side, draw(amounts), draw(amounts))
            for key in (RAYDIUM_SOL, METEORA_SOL)[: 1 if shape == "path" else 2]
        ]
    if "path" in shape:
        swaps = [swap._replace(side=Side.SELL) for swap in swaps]
        swaps.append(SwapInstruction(RAYDIUM_JUP, Side.BUY, draw(amounts), draw(amounts)))
    return Instruction(1, 1, is_exact_in, bound, tuple(swaps))


def entry(instruction: Instruction, **changes: Any) -> Entry:
    values = {"expires_at_height": 2**60, "latency": 0.0} | changes
    return Entry(f"signature-{next(NUMBERS)}", "{}", instruction, **values)


def tokens(pools: list[SimulatedPool]) -> Counter[str]:
    """Return the atoms of each token in all pools together."""
    held: Counter[str] = Counter()
    for one in pools:
        held[one.key.base] += one.pool.vault_x
        held[one.key.quote] += one.pool.vault_y
    return held


def worth(one: SimulatedPool) -> int:
    """What must never fall: k, or the worth of all bins at their own prices."""
    if isinstance(one.pool, ConstantProductPool):
        return one.pool.reserve_x * one.pool.reserve_y
    step = one.pool.parameters.bin_step
    return sum((b.amount_x * price_of_bin(step, b.id)) + (b.amount_y << 64) for b in one.pool.bins)


@given(st.lists(instructions(), min_size=1, max_size=8))
def test_no_sequence_of_landings_makes_or_loses_an_atom(wishes: list[Instruction]) -> None:
    """What the wallets paid is in the pools, what they got is not, and no pool lost worth."""
    before = {one.key: one for one in market()}
    batch = Batch(STILL, set(KEYS), before.values(), NOW, 0.4)
    for wish in wishes:
        batch.record(entry(wish))
    after = before | {one.key: one for one in batch.moved}
    expected = tokens(list(before.values()))
    for wish, row in zip(wishes, batch.new_rows(), strict=True):
        _, has_landed, amount_in, amount_out, rejection, fee, _ = row
        assert (has_landed, fee) == (True, NETWORK_FEE)
        if rejection:
            assert (amount_in, amount_out) == (None, None)
            continue
        assert wish.bound.admits(amount_in, amount_out)
        expected[wish.swaps[0].mint_in] += amount_in
        expected[wish.swaps[-1].mint_out] -= amount_out

    assert tokens(list(after.values())) == expected
    assert all(worth(after[key]) >= worth(before[key]) for key in KEYS)


@given(instructions())
def test_what_is_rejected_moves_nothing(wish: Instruction) -> None:
    outcome, moved = execute(wish, {one.key: one for one in market()}, NOW)
    assert bool(outcome.rejection) is not bool(moved)


def test_through_a_common_token_every_atom_bought_is_sold() -> None:
    pools = {one.key: one for one in market()}
    hops = (
        SwapInstruction(RAYDIUM_SOL, Side.SELL, 10**9, 99_000_000),
        SwapInstruction(RAYDIUM_JUP, Side.BUY, 1, 1),  # whatever was quoted: it sells what there is
    )
    sold = Instruction(10**9, 1, True, Bound(min_out=1), hops)
    outcome, _ = execute(sold, pools, NOW)
    dollars = pools[RAYDIUM_SOL].pool.quote_exact_in(10**9, Direction.X_TO_Y, NOW).amount_out
    bought = pools[RAYDIUM_JUP].pool.quote_exact_in(dollars, Direction.Y_TO_X, NOW).amount_out

    assert (outcome.amount_in, outcome.amount_out) == (10**9, bought)


def test_for_a_fixed_output_the_first_hop_buys_just_what_the_second_costs() -> None:
    pools = {one.key: one for one in market()}
    hops = (
        SwapInstruction(RAYDIUM_SOL, Side.SELL, 1, 1),
        SwapInstruction(RAYDIUM_JUP, Side.BUY, 1, 200_000_000),
    )
    wish = Instruction(1, 200_000_000, False, Bound(max_in=2 * 10**9), hops)
    outcome, _ = execute(wish, pools, NOW)
    cost = pools[RAYDIUM_JUP].pool.quote_exact_out(200_000_000, Direction.Y_TO_X, NOW).amount_in
    paid = pools[RAYDIUM_SOL].pool.quote_exact_out(cost, Direction.X_TO_Y, NOW).amount_in

    assert (outcome.amount_in, outcome.amount_out) == (paid, 200_000_000)


@pytest.mark.parametrize(
    ("changes", "lands_at"),
    [
        ({"latency": 2.5}, NOW + 2.5),
        ({"latency": None}, None),
        ({"latency": 5.0, "expires_at_height": int((NOW + 2) / 0.4)}, None),
        (
            {"latency": 5.0, "expires_at_height": int((NOW + 2) / 0.4), "must_land": True},
            NOW + 2 + 0.2,
        ),
    ],
)
def test_what_does_not_land_at_once_is_kept_for_later(
    changes: dict[str, Any], lands_at: float | None
) -> None:
    batch = Batch(STILL, set(KEYS), market(), NOW, 0.4)
    swap = SwapInstruction(RAYDIUM_SOL, Side.SELL, 10**9, 10**8)
    batch.record(entry(Instruction(10**9, 1, True, Bound(min_out=1), (swap,)), **changes))

    assert batch.moved == []
    (row,) = orjson.loads(batch.parameters()["entries"])
    assert row["lands_at"] == (lands_at and pytest.approx(lands_at, abs=1e-3))
    assert (row["amount_out"], row["payload"]) == (None, "{}")


def test_an_expired_transaction_is_not_recorded() -> None:
    batch = Batch(STILL, set(KEYS), market(), NOW, 0.4)
    swap = SwapInstruction(RAYDIUM_SOL, Side.SELL, 10**9, 10**8)
    wish = Instruction(10**9, 1, True, Bound(min_out=1), (swap,))
    batch.record(entry(wish, expires_at_height=int(NOW // 0.4) - 1))
    assert batch.changes == 0


@given(st.one_of(constant_product_pools(), bin_pools()), st.integers(1, 2**200))
def test_a_pool_reads_as_it_was_written(pool: AnyPool, atoms: int) -> None:
    held = SimulatedPool(RAYDIUM_SOL, Price(atoms, 3), pool, tick=5, version=6)
    state = orjson.loads(orjson.dumps(held.state()))
    assert read_pool(held.key, held.kind, state, 5, 6) == held
