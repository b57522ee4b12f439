"""The bytes of a simulated transaction: what the venues write and the network reads."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from routing.steps import unwraps_sol
from routing.venue import Bound, Leg, SignedTransaction, Swap, TransactionRefused
from routing.wallet import sign


@dataclass(frozen=True, slots=True)
class Instruction:
    """What a transaction asks of the network, in atoms."""

    amount_in: int
    amount_out: int
    is_exact_in: bool
    bound: Bound


def sign_swap(
    swap: Swap, legs: Sequence[Leg], bound: Bound, *, height: int, expiry_blocks: int
) -> SignedTransaction:
    """Return a new transaction, built at `height`, that may land for `expiry_blocks` more."""
    content = {
        "amountIn": sum(leg.quote.amount_in for leg in legs),
        "amountOut": sum(leg.quote.amount_out for leg in legs),
        "exactIn": swap.is_exact_in,
        "minOut": bound.min_out,
        "maxIn": bound.max_in,
        "market": swap.market.name,
        "side": swap.side.value,
        "legs": [(leg.venue, leg.quote.amount_in, leg.quote.amount_out) for leg in legs],
        "wrapsSol": swap.token_in.is_native,
        "unwrapsSol": unwraps_sol(swap),
        "recentHeight": height,
        # Random, whatever the seed: two workers must never make the same signature.
        "nonce": os.urandom(12).hex(),
    }
    payload = orjson.dumps(content)
    return SignedTransaction(sign(payload), payload, height + expiry_blocks)


def read_instruction(transaction: SignedTransaction) -> Instruction:
    """:raises TransactionRefused: the bytes are not a transaction."""
    try:
        content = orjson.loads(transaction.payload)
        return Instruction(
            amount_in=content["amountIn"],
            amount_out=content["amountOut"],
            is_exact_in=content["exactIn"],
            bound=Bound(min_out=content["minOut"], max_in=content["maxIn"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise TransactionRefused("the bytes are not a transaction") from error
