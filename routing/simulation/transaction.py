"""The bytes of a simulated transaction, which the venues write and the network reads."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from routing.pools.pool import Direction
from routing.simulation.pool import PoolKey, direction
from routing.simulation.wallet import sign
from routing.steps import unwraps_sol
from routing.venue import Bound, Leg, Side, SignedTransaction, Swap, TransactionRefused


class SwapInstruction(NamedTuple):
    """One swap in one pool, with the quoted amounts in atoms."""

    pool: PoolKey
    side: Side
    amount_in: int
    amount_out: int

    @property
    def direction(self) -> Direction:
        return direction(self.side)

    @property
    def mint_in(self) -> str:
        return self.pool.base if self.side is Side.SELL else self.pool.quote

    @property
    def mint_out(self) -> str:
        return self.pool.quote if self.side is Side.SELL else self.pool.base


@dataclass(frozen=True, slots=True)
class Instruction:
    """What a transaction asks of the network, in atoms. All of it happens, or nothing."""

    amount_in: int
    amount_out: int
    is_exact_in: bool
    bound: Bound
    swaps: tuple[SwapInstruction, ...]
    """In order: earlier swaps buy the tokens that a later swap needs."""

    @property
    def pools(self) -> set[PoolKey]:
        return {swap.pool for swap in self.swaps}


def sign_swap(
    swap: Swap, legs: Sequence[Leg], bound: Bound, *, height: int, expiry_blocks: int
) -> SignedTransaction:
    """Return a new transaction, built at `height`, that may land for `expiry_blocks` more."""
    swaps = [_swap_instruction(leg.swap or swap, leg) for leg in legs]
    content = {
        "amountIn": sum(leg.amount_in for leg in swaps if leg.mint_in == swap.token_in.mint),
        "amountOut": sum(leg.amount_out for leg in swaps if leg.mint_out == swap.token_out.mint),
        "exactIn": swap.is_exact_in,
        "minOut": bound.min_out,
        "maxIn": bound.max_in,
        "market": swap.market.name,
        "side": swap.side.value,
        "legs": [(leg.pool.venue, leg.amount_in, leg.amount_out) for leg in swaps],
        "markets": [(leg.pool.base, leg.pool.quote, leg.side) for leg in swaps],
        "wrapsSol": swap.token_in.is_native,
        "unwrapsSol": unwraps_sol(swap),
        "recentHeight": height,
        # Random in spite of the seed: two workers must never make the same signature.
        "nonce": os.urandom(12).hex(),
    }
    payload = orjson.dumps(content)
    return SignedTransaction(sign(payload), payload, height + expiry_blocks)


def read_instruction(transaction: SignedTransaction) -> Instruction:
    """:raises TransactionRefused: the bytes are not a transaction."""
    return instruction_of(transaction.payload)


def instruction_of(payload: bytes | str) -> Instruction:
    """:raises TransactionRefused: the bytes are not a transaction."""
    try:
        content = orjson.loads(payload)
        markets = zip(content["legs"], content["markets"], strict=True)
        swaps = tuple(_read_swap(*leg, *market) for leg, market in markets)
        if not swaps:
            raise ValueError("nothing is swapped")
        return Instruction(
            amount_in=_atoms(content["amountIn"]),
            amount_out=_atoms(content["amountOut"]),
            is_exact_in=content["exactIn"],
            bound=Bound(min_out=content["minOut"], max_in=content["maxIn"]),
            swaps=swaps,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise TransactionRefused("the bytes are not a transaction") from error


def _swap_instruction(swap: Swap, leg: Leg) -> SwapInstruction:
    key = PoolKey.of(leg.venue, swap.market)
    return SwapInstruction(key, swap.side, leg.quote.amount_in, leg.quote.amount_out)


def _read_swap(
    venue: str, amount_in: Any, amount_out: Any, base: str, quote: str, side: str
) -> SwapInstruction:
    amounts = _atoms(amount_in), _atoms(amount_out)
    return SwapInstruction(PoolKey(venue, base, quote), Side(side), *amounts)


def _atoms(number: Any) -> int:
    if type(number) is not int or number <= 0:
        raise ValueError(f"{number!r} is no amount")
    return number
