from decimal import Decimal

from routing.steps import steps_for
from routing.tokens import REGISTRY, SOL, USDC, WSOL
from routing.venue import Bound, Leg, Quote, Side, Swap

NATIVE = REGISTRY.market(SOL, USDC)
WRAPPED = REGISTRY.market(WSOL, USDC)


def steps(swap: Swap, amount_in: int, amount_out: int, bound: Bound) -> list[dict[str, str]]:
    quote = Quote("meteora", amount_in, amount_out, Decimal(100), 20)
    return steps_for(swap, [Leg("meteora", quote)], bound)


def test_sol_going_in_is_wrapped_before_the_swap() -> None:
    swap = Swap(NATIVE, Side.SELL, amount_in=1_500_000_000)
    assert steps(swap, 1_500_000_000, 149_924_550, Bound(min_out=1)) == [
        {"type": "wrap_sol", "amount": "1.5"},
        {"type": "swap", "dex": "meteora", "amountIn": "1.5", "amountOut": "149.92455"},
    ]


def test_sol_coming_out_is_unwrapped_after_the_swap() -> None:
    swap = Swap(NATIVE, Side.BUY, amount_in=100_000_000)
    kinds = [step["type"] for step in steps(swap, 100_000_000, 998_000_000, Bound(min_out=1))]
    assert kinds == ["swap", "unwrap_sol"]


def test_a_fixed_output_wraps_the_most_it_may_cost_and_unwraps_the_rest() -> None:
    swap = Swap(NATIVE, Side.SELL, amount_out=100_000_000)
    wrap, _swap, unwrap = steps(swap, 1_000_000_000, 100_000_000, Bound(max_in=1_010_000_000))
    assert wrap == {"type": "wrap_sol", "amount": "1.01"}
    assert unwrap == {"type": "unwrap_sol"}


def test_wsol_is_neither_wrapped_nor_unwrapped() -> None:
    for side in Side:
        swap = Swap(WRAPPED, side, amount_in=100_000_000)
        assert [step["type"] for step in steps(swap, 100_000_000, 1, Bound(min_out=1))] == ["swap"]
