"""The outcome of a transaction when it lands: all its swaps happen, or none does."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from routing.pools.pool import SwapRefused
from routing.simulation.pool import PoolKey, SimulatedPool
from routing.simulation.transaction import Instruction, SwapInstruction

SLIPPAGE_EXCEEDED = "slippage_exceeded"
NO_SUCH_POOL = "no_such_pool"

Pools = Mapping[PoolKey, SimulatedPool]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The atoms that left and reached the wallet, or the code of the reason for no swap."""

    amount_in: int | None = None
    amount_out: int | None = None
    rejection: str = ""


def execute(instruction: Instruction, pools: Pools, now: int) -> tuple[Outcome, Pools]:
    """Execute on `pools` in their state of the second `now`; return also the pools that moved.

    A broken bound is rejected with the code `slippage_exceeded`. A swap that its pool refuses is
    rejected with the pool's code. A pool that does not exist is rejected, too.
    """
    moved = dict[PoolKey, SimulatedPool]()
    swap_all = _swap_exact_in if instruction.is_exact_in else _swap_exact_out
    try:
        amount_in, amount_out = swap_all(instruction, pools, moved, now)
    except KeyError:
        return Outcome(rejection=NO_SUCH_POOL), {}
    except SwapRefused as refused:
        return Outcome(rejection=refused.code), {}
    if not instruction.bound.admits(amount_in, amount_out):
        return Outcome(rejection=SLIPPAGE_EXCEEDED), {}
    return Outcome(amount_in, amount_out), moved


def _swap_exact_in(
    instruction: Instruction, pools: Pools, moved: dict[PoolKey, SimulatedPool], now: int
) -> tuple[int, int]:
    """Swap fixed inputs, first to last. A token that one swap buys is spent by a later one."""
    swaps = instruction.swaps
    paid, bought = swaps[0].mint_in, swaps[-1].mint_out
    balances: Counter[str] = Counter()
    spent = 0
    for position, swap in enumerate(swaps):
        amount = swap.amount_in
        if swap.mint_in == paid:
            spent += amount
        else:
            is_last = all(later.mint_in != swap.mint_in for later in swaps[position + 1 :])
            amount = balances[swap.mint_in] if is_last else min(amount, balances[swap.mint_in])
            balances[swap.mint_in] -= amount
        pool = _pool(swap, pools, moved)
        fill, after = pool.pool.swap_exact_in(amount, swap.direction, now)
        moved[swap.pool] = replace(pool, pool=after)
        balances[swap.mint_out] += fill.amount_out
    return spent, balances[bought]


def _swap_exact_out(
    instruction: Instruction, pools: Pools, moved: dict[PoolKey, SimulatedPool], now: int
) -> tuple[int, int]:
    """Swap for fixed outputs, last to first. Earlier swaps have to buy what a later one costs."""
    swaps = instruction.swaps
    paid, bought = swaps[0].mint_in, swaps[-1].mint_out
    owed: Counter[str] = Counter()
    received = 0
    for position in reversed(range(len(swaps))):
        swap = swaps[position]
        amount = swap.amount_out
        if swap.mint_out == bought:
            received += amount
        else:
            is_first = all(earlier.mint_out != swap.mint_out for earlier in swaps[:position])
            amount = owed[swap.mint_out] if is_first else min(amount, owed[swap.mint_out])
            owed[swap.mint_out] -= amount
        pool = _pool(swap, pools, moved)
        fill, after = pool.pool.swap_exact_out(amount, swap.direction, now)
        moved[swap.pool] = replace(pool, pool=after)
        owed[swap.mint_in] += fill.amount_in
    return owed[paid], received


def _pool(swap: SwapInstruction, pools: Pools, moved: Pools) -> SimulatedPool:
    return moved.get(swap.pool) or pools[swap.pool]
