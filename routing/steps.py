"""The steps of a transaction: wrap SOL, swap, unwrap the output or what is left."""

from collections.abc import Sequence

from routing.venue import Bound, Leg, Swap


def steps_for(swap: Swap, legs: Sequence[Leg], bound: Bound) -> list[dict[str, str]]:
    """Return the steps in order, ready for JSON, amounts in whole tokens.

    Venues trade only wrapped SOL. So native SOL is wrapped before the swap: all of a fixed input,
    or the most that a fixed output may cost. In the second case the rest is unwrapped afterwards.
    Native SOL that comes out is unwrapped. If the order names WSOL, it is left alone.
    """
    steps = [_swap_step(swap, leg) for leg in legs]
    if swap.token_in.is_native:
        most = swap.amount_in if swap.amount_in is not None else bound.max_in
        steps.insert(0, {"type": "wrap_sol", "amount": swap.token_in.to_text(most or 0)})
    if unwraps_sol(swap):
        steps.append({"type": "unwrap_sol"})
    return steps


def unwraps_sol(swap: Swap) -> bool:
    """Whether native SOL comes out, or is left over from a fixed output."""
    return swap.token_out.is_native or (swap.token_in.is_native and not swap.is_exact_in)


def _swap_step(swap: Swap, leg: Leg) -> dict[str, str]:
    own = leg.swap or swap
    step = {
        "type": "swap",
        "dex": leg.venue,
        "amountIn": own.token_in.to_text(leg.quote.amount_in),
        "amountOut": own.token_out.to_text(leg.quote.amount_out),
    }
    if own.market.name != swap.market.name:
        step["market"] = own.market.name  # in a hop, the amounts are of other tokens
    return step
