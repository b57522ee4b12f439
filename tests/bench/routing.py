"""What routing gains: `python -m tests.bench.routing`; it needs no servers.

Prints the tables of docs/routing.md: how much a split nets more than the best single venue, and
how often a comparison that forgets the fees chooses the wrong venue.
"""

import asyncio
import random
from collections.abc import Iterator, Sequence
from decimal import Decimal
from math import log

from routing.decision import Decision, margin_bps
from routing.pools.bins import ONE, Bin, price_of_bin
from routing.pools.constant_product import ConstantProductPool, FeeRates
from routing.pools.liquidity_bins import LiquidityBinPool
from routing.pools.pool import Pool
from routing.pools.volatility import BinParameters, Volatility
from routing.router import best_route
from routing.tokens import REGISTRY, SOL, USDC
from routing.venue import Quote, Side, Swap
from tests.support.venue_stubs import PoolVenue

MARKET = REGISTRY.market(SOL, USDC)
PRICE = 100
DEPTHS = (10_000_000, 1_000_000)  # dollars on each side of a pool; the first is the default's
SIZES = ("0.1", "1", "10", "100", "500", "1000", "2000", "5000")
ORDERS = 10_000
SEED = 20261121
ATOMS = 10**9
MILLION = 1_000_000

RATES = FeeRates(trade=3_000, protocol=120_000, fund=40_000)
STEP_20 = BinParameters(
    bin_step=20,
    base_factor=10_000,
    filter_period=30,
    decay_period=600,
    reduction_factor=5_000,
    variable_fee_control=20_000,
    max_volatility_accumulator=350_000,
    protocol_share=500,
)
EACH_WAY = 100

Range = tuple[float, float]
BRIEF: tuple[Range, Range] = ((0.98, 1.02), (0.97, 1.02))
CLOSE: tuple[Range, Range] = ((0.998, 1.002), (0.997, 1.002))


def raydium(price: float, depth: int) -> Pool:
    """A constant product at 0.3 %."""
    vault_x = int(depth / price * ATOMS)
    return ConstantProductPool(vault_x, depth * MILLION, RATES)


def meteora(price: float, depth: int) -> Pool:
    """201 bins of 0.2 %, as much in each, at 0.2 % and more for each bin crossed."""
    active = round(log(price / 1_000) / log(1.002))  # a lamport costs a thousandth of an atom
    share = int(depth / price * ATOMS) // EACH_WAY
    bins = []
    for place in range(active - EACH_WAY, active + EACH_WAY + 1):
        worth = share * price_of_bin(STEP_20.bin_step, place) // ONE
        bins.append(Bin(place, share * (place >= active), worth * (place <= active)))
    return LiquidityBinPool(STEP_20, active, Volatility(0, 0, active, 0), tuple(bins))


def venues(
    raydium_price: float = PRICE, meteora_price: float = PRICE, depth: int = DEPTHS[0]
) -> list[PoolVenue]:
    return [
        PoolVenue("raydium", {MARKET.name: raydium(raydium_price, depth)}),
        PoolVenue("meteora", {MARKET.name: meteora(meteora_price, depth)}),
    ]


async def routed(swap: Swap, pools: Sequence[PoolVenue]) -> Decision:
    return await best_route(swap, pools, quote_timeout=5)


def size_table(depth: int) -> Iterator[str]:
    """Yield a table: for each size the best single venue, the split and its gain."""
    yield "| SOL sold | best single venue | nets USDC | routed | nets USDC | gain, bps |"
    yield "|-|-|-|-|-|-|"
    pools = venues(depth=depth)
    for size in SIZES:
        swap = Swap(MARKET, Side.SELL, amount_in=SOL.to_atoms(Decimal(size)))
        decision = asyncio.run(routed(swap, pools))
        single = decision.single or decision.quote
        cells = (
            f"{Decimal(size):,}",
            single.venue.capitalize(),
            amount(single),
            parts(decision),
            amount(decision.quote),
            str(margin_bps(swap, decision.quote, single)) if decision.is_split else "0",
        )
        yield f"| {' | '.join(cells)} |"


def amount(quote: Quote) -> str:
    return f"{USDC.to_decimal(quote.amount_out):,.6f}"


def parts(decision: Decision) -> str:
    if not decision.is_split:
        return f"{decision.quote.venue.capitalize()} alone"
    return decision.reason.partition(" together")[0]


def blind_table() -> Iterator[str]:
    """Yield a table: how often the better price before fees is not the better execution."""
    yield "| venues' prices | orders | wrong venue | lost when wrong, bps | split | gain, bps |"
    yield "|-|-|-|-|-|-|"
    yield blind_row("as in the brief: Raydium 0.98 to 1.02, Meteora 0.97 to 1.02", BRIEF)
    yield blind_row("ten times closer", CLOSE)


def blind_row(name: str, ranges: tuple[Range, Range]) -> str:
    chance = random.Random(SEED)
    lost: list[float] = []
    gained: list[float] = []
    for _ in range(ORDERS):
        swap, pools = drawn(chance, ranges)
        decision = asyncio.run(routed(swap, pools))
        loss = lost_by_blindness(swap, decision)
        if loss is not None:
            lost.append(loss)
        if decision.is_split and decision.margin_bps is not None:
            gained.append(float(decision.margin_bps))
    wrong = f"{len(lost):,} ({100 * len(lost) / ORDERS:.1f} %)"
    split = f"{len(gained):,} ({100 * len(gained) / ORDERS:.1f} %)"
    return f"| {name} | {ORDERS:,} | {wrong} | {mean(lost)} | {split} | {mean(gained)} |"


def drawn(chance: random.Random, ranges: tuple[Range, Range]) -> tuple[Swap, list[PoolVenue]]:
    """Return an order of 0.1 to 5,000 SOL, small ones as likely as large, and the venues."""
    prices = [PRICE * chance.uniform(*one) for one in ranges]
    size = 10 ** chance.uniform(-1, log(5_000, 10))
    side = chance.choice(list(Side))
    atoms = int(size * ATOMS) if side is Side.SELL else int(size * PRICE * MILLION)
    return Swap(MARKET, side, amount_in=atoms), venues(*prices)


def lost_by_blindness(swap: Swap, decision: Decision) -> float | None:
    """Return what the better price before fees nets less than the best quote, in bps, if it does.

    None if both choose the same venue, or there is but one.
    """
    best = max(decision.quotes, key=lambda quote: quote.amount_out)
    if swap.side is Side.SELL:
        blind = max(decision.quotes, key=lambda quote: quote.price)
    else:
        blind = min(decision.quotes, key=lambda quote: quote.price)
    if blind is best:
        return None
    return float(margin_bps(swap, best, blind))


def mean(figures: Sequence[float]) -> str:
    return f"{sum(figures) / len(figures):.1f}" if figures else "-"


if __name__ == "__main__":
    for dollars in DEPTHS:
        print(f"{dollars:,} USDC on each side of each pool:\n")
        for line in [*size_table(dollars), ""]:
            print(line, flush=True)
    for line in blind_table():
        print(line, flush=True)
