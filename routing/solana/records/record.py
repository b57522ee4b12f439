"""A landed transaction's record, as getTransaction gives it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from solders.instruction import AccountMeta, Instruction
from solders.message import MessageV0
from solders.pubkey import Pubkey


class UnreadableRecord(Exception):
    """The provider's answer is not the record of a transaction. Another provider may have it."""


class Balance(NamedTuple):
    """What one account held before and after, in lamports."""

    before: int
    after: int

    @property
    def moved(self) -> int:
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class TokenBalance:
    """What one token account held before and after, in atoms; 0 while it did not exist."""

    place: int
    """Of the account among the record's accounts."""
    mint: Pubkey
    owner: Pubkey
    before: int
    after: int

    @property
    def moved(self) -> int:
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class Record:
    accounts: tuple[Pubkey, ...]
    """All of them, those from address tables last. The first one paid."""
    error: Any
    """None if it succeeded."""
    fee: int
    """Lamports for signatures and priority."""
    lamports: tuple[Balance, ...]
    tokens: tuple[TokenBalance, ...]
    logs: tuple[str, ...] = ()

    def instructions_of(self, message: MessageV0) -> list[Instruction]:
        """Return the message's instructions with all their accounts, whichever tables it used.

        The roles of the accounts are not told.
        """
        return [
            Instruction(
                self.accounts[one.program_id_index],
                one.data,
                [AccountMeta(self.accounts[place], False, False) for place in one.accounts],
            )
            for one in message.instructions
        ]


def read_record(accounts: Sequence[Pubkey], meta: Mapping[str, Any]) -> Record:
    """Return the record of a transaction that names `accounts` in its message, by its `meta`.

    :raises UnreadableRecord: `meta` does not fit them, or is no record.
    """
    try:
        loaded = meta.get("loadedAddresses") or {}
        from_tables = [*loaded.get("writable", ()), *loaded.get("readonly", ())]
        named = (*accounts, *(Pubkey.from_string(one) for one in from_tables))
        pairs = zip(meta["preBalances"], meta["postBalances"], strict=True)
        lamports = tuple(Balance(_amount(before), _amount(after)) for before, after in pairs)
        if len(lamports) != len(named):
            raise UnreadableRecord(f"it has {len(lamports)} balances of {len(named)} accounts")
        return Record(
            accounts=named,
            error=meta["err"],
            fee=_amount(meta["fee"]),
            lamports=lamports,
            tokens=_token_balances(meta, len(named)),
            logs=tuple(str(line) for line in meta.get("logMessages") or ()),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableRecord(f"the answer is no record: {error}") from error


def _token_balances(meta: Mapping[str, Any], count: int) -> tuple[TokenBalance, ...]:
    found: dict[tuple[int, Pubkey, Pubkey], list[int]] = {}
    for moment, name in enumerate(("preTokenBalances", "postTokenBalances")):
        for one in meta.get(name) or ():
            place = _amount(one["accountIndex"])
            if place >= count:
                raise UnreadableRecord(f"it has a token balance of an account {place}")
            key = place, Pubkey.from_string(one["mint"]), Pubkey.from_string(one["owner"])
            found.setdefault(key, [0, 0])[moment] = _amount(one["uiTokenAmount"]["amount"])
    return tuple(TokenBalance(*key, *amounts) for key, amounts in found.items())


def _amount(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"{value!r} is no amount")
    amount = int(value)
    if amount < 0:
        raise ValueError(f"{value!r} is negative")
    return amount
