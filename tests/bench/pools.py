"""How long a quote takes: `python -m tests.bench.pools`; it needs no servers."""

import timeit
from collections.abc import Callable, Iterator

from routing.pools.bins import price_of_bin
from routing.pools.pool import Direction
from tests.bench.machine import loop
from tests.routing.pools.samples import METEORA, NOW, RAYDIUM, SOL

SELL, BUY = Direction.X_TO_Y, Direction.Y_TO_X


def quote_times() -> Iterator[tuple[str, str]]:
    """Yield what was quoted, and how long that took."""
    yield "CPMM, exact in", microseconds(lambda: RAYDIUM.quote_exact_in(SOL, SELL))
    yield "CPMM, exact out", microseconds(lambda: RAYDIUM.quote_exact_out(SOL, BUY))
    yield (
        "CPMM, swap with the pool afterwards",
        microseconds(lambda: RAYDIUM.swap_exact_in(SOL, SELL)),
    )
    for size in (1, 500, 2_000):
        yield from bin_times(size)


def bin_times(size: int) -> Iterator[tuple[str, str]]:
    def quote() -> object:
        return METEORA.quote_exact_in(size * SOL, SELL, NOW)

    def first_quote() -> object:
        price_of_bin.cache_clear()
        return quote()

    name = f"DLMM, {size:,} SOL"
    bins = METEORA.active_id + 1 - METEORA.swap_exact_in(size * SOL, SELL, NOW)[1].active_id
    yield f"{name} ({bins} bins), exact in", microseconds(quote)
    yield f"{name}, exact in, no price known yet", microseconds(first_quote)
    yield (
        f"{name}, exact out",
        microseconds(lambda: METEORA.quote_exact_out(size * SOL, BUY, NOW)),
    )
    yield (
        f"{name}, swap with the pool afterwards",
        microseconds(lambda: METEORA.swap_exact_in(size * SOL, SELL, NOW)),
    )


def microseconds(act: Callable[[], object]) -> str:
    return f"{min(timeit.repeat(act, number=500, repeat=9)) / 500 * 1e6:.1f} us"


if __name__ == "__main__":
    print(f"this machine just now: a loop of a million in Python  {loop()}")
    for what, figure in quote_times():
        print(f"  {what:<45} {figure}", flush=True)
