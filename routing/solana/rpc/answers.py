"""What nodes answer, read into values. What cannot be read is no answer."""

import base64
import binascii
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from solders.hash import Hash
from solders.pubkey import Pubkey

from routing.solana.rpc.provider import RpcUnavailable
from routing.solana.transactions.message import Blockhash
from routing.solana.wallet.money import AccountState, Balances, TokensHeld

Value = TypeVar("Value")


class Epoch(NamedTuple):
    """Where one node stood, by its own finalized blocks."""

    slot: int
    height: int


class Status(NamedTuple):
    """What one node says of a signature that it knows."""

    is_final: bool
    error: Any


class Statuses(NamedTuple):
    slot: int
    """The slot of which the answer is."""
    of: tuple[Status | None, ...]
    """In the order in which they were asked; None: the node knows nothing of it."""


class Accounts(NamedTuple):
    slot: int
    states: tuple[AccountState | None, ...]
    """In the order in which they were asked; None: there is no such account."""


class Simulation(NamedTuple):
    """What a transaction would do now."""

    slot: int
    error: Any
    units: int
    states: tuple[AccountState | None, ...]
    logs: tuple[str, ...]
    before: Balances | None = None
    """Of the same slot; None: the node does not say (Agave says it since 3.0)."""


class StoredTransaction(NamedTuple):
    payload: bytes
    meta: dict[str, Any]
    block_time: int | None = None
    """Unix seconds of its block, if the node says."""


def read_answer(read: Callable[[Any], Value], answer: Any) -> Value:
    """Return what `read` makes of an answer.

    :raises RpcUnavailable: the answer is not of its form.
    """
    try:
        return read(answer)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, binascii.Error) as error:
        reason = f"an answer is not of its form: {type(error).__name__}: {error}"
        raise RpcUnavailable(reason) from error


def blockhash(answer: Any) -> Blockhash:
    value = answer["value"]
    return Blockhash(Hash.from_string(value["blockhash"]), number(value["lastValidBlockHeight"]))


def epoch(answer: Any) -> Epoch:
    return Epoch(number(answer["absoluteSlot"]), number(answer["blockHeight"]))


def statuses(answer: Any) -> Statuses:
    found = []
    for one in answer["value"]:
        final = one is not None and one["confirmationStatus"] == "finalized"
        found.append(None if one is None else Status(final, one["err"]))
    return Statuses(number(answer["context"]["slot"]), tuple(found))


def accounts(answer: Any) -> Accounts:
    slot = number(answer["context"]["slot"])
    return Accounts(slot, tuple(_state(one) for one in answer["value"]))


def addresses(answer: Any) -> tuple[Pubkey, ...]:
    """Return the addresses of a program's accounts."""
    return tuple(Pubkey.from_string(one["pubkey"]) for one in answer)


def owned(answer: Any) -> tuple[AccountState, ...]:
    found = (_state(one["account"]) for one in answer["value"])
    return tuple(state for state in found if state is not None)


def simulation(answer: Any) -> Simulation:
    value = answer["value"]
    slot, units = number(answer["context"]["slot"]), number(value.get("unitsConsumed") or 0)
    states = tuple(_state(one) for one in value.get("accounts") or ())
    logs = tuple(str(line) for line in value.get("logs") or ())
    return Simulation(slot, value["err"], units, states, logs, _balances(value))


def stored_transaction(answer: Any) -> StoredTransaction | None:
    if answer is None:
        return None
    content, encoding = answer["transaction"]
    if encoding != "base64":
        raise ValueError(f"a transaction in {encoding}")
    meta = answer["meta"]
    if not isinstance(meta, dict):
        raise TypeError("a transaction without its meta")
    time = answer.get("blockTime")
    payload = base64.b64decode(content, validate=True)
    return StoredTransaction(payload, meta, None if time is None else number(time))


def fees(answer: Any) -> tuple[int, ...]:
    """Return the prices of compute units that were paid, in micro-lamports, without zeros."""
    paid = (number(one["prioritizationFee"]) for one in answer)
    return tuple(price for price in paid if price)


def number(answer: Any) -> int:
    if type(answer) is not int or answer < 0:
        raise ValueError(f"{answer!r} is no number of this kind")
    return answer


def _balances(value: Any) -> Balances | None:
    if value.get("preBalances") is None or value.get("preTokenBalances") is None:
        return None
    lamports = tuple(number(one) for one in value["preBalances"])
    tokens = tuple(
        TokensHeld(
            number(one["accountIndex"]),
            Pubkey.from_string(one["mint"]),
            Pubkey.from_string(one["owner"]),
            number(int(one["uiTokenAmount"]["amount"])),
        )
        for one in value["preTokenBalances"]
    )
    return Balances(lamports, tokens)


def _state(one: Any) -> AccountState | None:
    if one is None:
        return None
    content, encoding = one["data"]
    if encoding != "base64":
        raise ValueError(f"an account in {encoding}")
    owner = Pubkey.from_string(one["owner"])
    return AccountState(number(one["lamports"]), owner, base64.b64decode(content, validate=True))
