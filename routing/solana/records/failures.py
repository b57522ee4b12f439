"""Why a transaction failed, in our words: the programs' error numbers and Solana's own."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from solders.pubkey import Pubkey

from routing.solana.addresses import (
    ASSOCIATED_TOKEN_PROGRAM,
    CPMM_PROGRAM,
    CPMM_PROGRAM_ON_DEVNET,
    DLMM_PROGRAM,
    SYSTEM_PROGRAM,
    TOKEN_2022_PROGRAM,
    TOKEN_PROGRAM,
)

SLIPPAGE_EXCEEDED = "slippage_exceeded"
INSUFFICIENT_LIQUIDITY = "insufficient_liquidity"
INSUFFICIENT_FUNDS = "insufficient_funds"
"""The wallet lacks the input or the lamports for the fees."""


class Failure(NamedTuple):
    """`code` is one of ours above, else the network's own."""

    code: str
    reason: str


class _Known(NamedTuple):
    code: str
    words: str


_TOO_LITTLE = _Known(INSUFFICIENT_FUNDS, "the wallet holds too little")
_NO_ACCOUNT = _Known(INSUFFICIENT_FUNDS, "the wallet has no account of this token")
_MISSED = _Known(SLIPPAGE_EXCEEDED, "the price moved beyond the order's bound")
_MOVED_FAR = _Known(SLIPPAGE_EXCEEDED, "the price moved beyond the bins that it named")

_CPMM = {
    1: _TOO_LITTLE,  # the token program's, in the swap's transfer
    2505: _Known(INSUFFICIENT_LIQUIDITY, "the amount is too small to pay anything out"),
    3012: _NO_ACCOUNT,
    6000: _Known("pool_disabled", "the pool is closed for swaps, or not open yet"),
    6005: _MISSED,
    6006: _Known(INSUFFICIENT_LIQUIDITY, "the pool has nothing of a token"),
    6012: _Known(INSUFFICIENT_LIQUIDITY, "the vault holds less than its fees"),
}
_DLMM = {
    1: _TOO_LITTLE,
    3005: _MOVED_FAR,
    3012: _NO_ACCOUNT,
    6003: _MISSED,
    6036: _MOVED_FAR,
    6037: _Known(INSUFFICIENT_LIQUIDITY, "its bins cannot fill the amount"),
    6039: _Known(INSUFFICIENT_LIQUIDITY, "the amount is too small to pay anything out"),
    6042: _Known("pool_disabled", "the pair is closed for swaps, or not open yet"),
    6085: _Known("limit_order_rounding", "a limit order in a bin did not divide evenly"),
    6104: _MISSED,
}
_TOKEN = {1: _TOO_LITTLE}
_SYSTEM = {1: _TOO_LITTLE}

_NUMBERS = {
    CPMM_PROGRAM: _CPMM,
    CPMM_PROGRAM_ON_DEVNET: _CPMM,
    DLMM_PROGRAM: _DLMM,
    TOKEN_PROGRAM: _TOKEN,
    TOKEN_2022_PROGRAM: _TOKEN,
    ASSOCIATED_TOKEN_PROGRAM: _SYSTEM,
    SYSTEM_PROGRAM: _SYSTEM,
}
_WORDS = {
    "AccountNotFound": _Known(INSUFFICIENT_FUNDS, "the wallet has no SOL"),
    "InsufficientFundsForFee": _Known(INSUFFICIENT_FUNDS, "the wallet lacks SOL for the fees"),
    "InsufficientFundsForRent": _Known(INSUFFICIENT_FUNDS, "the wallet lacks SOL for rent"),
    "InsufficientFunds": _TOO_LITTLE,
}


def failure_of(error: Any, programs: Sequence[Pubkey]) -> Failure:
    """Return what a record's or a simulation's `err` means.

    `programs` are those of the transaction's instructions, in order: the same number means
    something else in each.
    """
    place, inner = _inner(error)
    if place is None:
        known = _WORDS.get(_name(inner))
        text = _name(inner) or "unknown"
        return Failure(known.code, known.words) if known else Failure(text, f"it failed: {text}")
    where = f"instruction {place}"
    program = programs[place] if 0 <= place < len(programs) else None
    number = _number(inner)
    if number is None:
        name = _name(inner) or "unknown"
        known = _WORDS.get(name)
        return Failure(known.code if known else name, f"{where} failed: {name}")
    known = _NUMBERS.get(program, {}).get(number) if program is not None else None
    if known is None:
        return Failure(str(number), f"{where} failed with {number}")
    return Failure(known.code, f"{known.words} ({number})")


def _inner(error: Any) -> tuple[int | None, Any]:
    """Return the place of the instruction that failed, and its error; None if none did."""
    if isinstance(error, dict) and "InstructionError" in error:
        detail = error["InstructionError"]
        if isinstance(detail, list) and len(detail) == 2 and isinstance(detail[0], int):
            return detail[0], detail[1]
    return None, error


def _number(error: Any) -> int | None:
    if isinstance(error, dict):
        number = error.get("Custom")
        if isinstance(number, int):
            return number
    return None


def _name(error: Any) -> str:
    if isinstance(error, str):
        return error
    if isinstance(error, dict) and error:
        return str(next(iter(error)))
    return ""
