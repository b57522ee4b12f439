"""Compares the pools with vectors, to the atom: amounts, fees, state afterwards, and failures."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from routing.pools.constant_product import ConstantProductPool
from routing.pools.pool import Direction, Fill, Pool, SwapRefused, ZeroOutput
from routing.pools.vector_form import (
    AnyPool,
    Run,
    UnreadableVectors,
    VectorSwap,
    read_runs,
    read_swap,
    to_integer,
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One swap, and the differences in words or why it was unreadable; both empty if it matched."""

    swap: str
    difference: str = ""
    unreadable: str = ""

    @property
    def title(self) -> str:
        return self.swap


@dataclass(frozen=True, slots=True)
class Outcome:
    """A swap's outcome, under the names of the form."""

    pool: AnyPool
    """The pool after the swap."""
    of_swap: dict[str, int | str]
    of_pool: dict[str, list[int]] = field(default_factory=dict)
    """Values that are lists in the form: totals of the pool, mostly one of x and one of y."""


def compare_file(path: Path) -> Iterator[Comparison]:
    """Yield one comparison for each case and for each step of a sequence.

    :raises UnreadableVectors: there is no such file, it is no JSON, or it holds no swaps.
    """
    for run in read_runs(path):
        yield from _compare_run(run)


def _compare_run(run: Run) -> Iterator[Comparison]:
    name = run.name
    try:
        pool = run.pool()
        for name, fields in run.swaps():
            swap = read_swap(fields, pool)
            outcome = _outcome(pool, swap, run.is_sequence)
            yield Comparison(name, "; ".join(_differences(swap.expected, outcome)))
            pool = outcome.pool
    except UnreadableVectors as error:  # the steps after it cannot be compared either
        yield Comparison(name, unreadable=str(error))


def _outcome(pool: AnyPool, swap: VectorSwap, is_sequence: bool) -> Outcome:
    try:
        if isinstance(pool, ConstantProductPool) and not is_sequence:
            # These cases concern only the curve; in some of them the vaults overflow.
            return Outcome(pool, _of_fill(_quote(pool, swap), pool, swap.direction))
        fill, after = _swap(pool, swap)
    except SwapRefused as refused:
        of_swap: dict[str, int | str] = {"error": refused.code}
        if isinstance(refused, ZeroOutput) and refused.fill:
            of_swap |= _of_fill(refused.fill, pool, swap.direction)
        return _with_pool(pool, of_swap)  # the pool is unchanged
    return _with_pool(after, _of_fill(fill, pool, swap.direction))


def _quote(pool: Pool, swap: VectorSwap) -> Fill:
    quote = pool.quote_exact_in if swap.is_exact_in else pool.quote_exact_out
    return quote(swap.amount, swap.direction, swap.now)


def _swap(pool: AnyPool, swap: VectorSwap) -> tuple[Fill, AnyPool]:
    move = pool.swap_exact_in if swap.is_exact_in else pool.swap_exact_out
    return move(swap.amount, swap.direction, swap.now)


def _of_fill(fill: Fill, before: AnyPool, direction: Direction) -> dict[str, int | str]:
    values: dict[str, int | str] = {
        "amount_in": fill.amount_in,
        "amount_out": fill.amount_out,
        "lp_fee": fill.lp_fee,
        "protocol_fee": fill.protocol_fee,
    }
    if isinstance(before, ConstantProductPool):
        reserve_out, reserve_in = before.spot(direction)
        values["trade_fee"] = fill.lp_fee + fill.protocol_fee + fill.fund_fee
        values["fund_fee"] = fill.fund_fee
        values["creator_fee"] = fill.creator_fee
        values["new_input_reserve"] = reserve_in + fill.net_in
        values["new_output_reserve"] = reserve_out - fill.gross_out
    else:
        values["total_fee"] = fill.lp_fee + fill.protocol_fee
    return values


def _with_pool(after: AnyPool, of_swap: dict[str, int | str]) -> Outcome:
    of_pool = {"protocol_fee": [after.protocol_fees_x, after.protocol_fees_y]}
    if isinstance(after, ConstantProductPool):
        of_pool["vault"] = [after.vault_x, after.vault_y]
        of_pool["fund_fee"] = [after.fund_fees_x, after.fund_fees_y]
        of_pool["creator_fee"] = [after.creator_fees_x, after.creator_fees_y]
    else:
        of_swap["active_id"] = of_swap["active_id_after"] = after.active_id
        state = after.volatility
        of_pool["v"] = [state.accumulator, state.reference, state.index_reference]
        of_pool["v"].append(state.last_update)
    return Outcome(after, of_swap, of_pool)


def _differences(expected: dict[str, Any], outcome: Outcome) -> Iterator[str]:
    """Yield a phrase for each value that differs from the expected one.

    :raises UnreadableVectors: an expected value is no integer.
    """
    failed = outcome.of_swap.get("error")
    if failed and "error" not in expected:
        yield f"it fails with {failed}"
        return
    for name, value in expected.items():
        actual: Any
        if isinstance(value, list):
            actual = outcome.of_pool.get(name)
            value = [to_integer(part, name) for part in value]
        else:
            actual = outcome.of_swap.get(name)
            value = value if name == "error" else to_integer(value, name)
        if actual != value:
            yield f"{name} is {'nothing' if actual is None else actual}, expected {value}"
