"""What the chain records of a transaction: balances before and after, and what it did."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, NamedTuple

from solders.account import Account
from solders.pubkey import Pubkey

from routing.cluster.execution import Execution
from routing.cluster.messages import Loaded, Reads
from routing.solana.addresses import TOKEN_PROGRAMS
from routing.solana.layout import UnreadableAccount
from routing.solana.token_accounts import read_mint, read_token_account


class Balances(NamedTuple):
    """What the accounts of a message hold at one moment."""

    lamports: list[int]
    tokens: list[dict[str, Any]]


def balances(loaded: Loaded, accounts: Reads) -> Balances:
    """Return the lamports of all accounts of a message, and the tokens of its token accounts."""
    found = [accounts(key) for key in loaded.keys]
    tokens = [
        balance
        for place, account in enumerate(found)
        if account and (balance := _token_balance(place, account, accounts))
    ]
    return Balances([account.lamports if account else 0 for account in found], tokens)


def meta_of(
    loaded: Loaded, execution: Execution, before: Balances, after: Balances
) -> dict[str, Any]:
    """Return the `meta` of a transaction that landed."""
    error = execution.error
    return {
        "err": error,
        "status": {"Ok": None} if error is None else {"Err": error},
        "fee": execution.fee,
        "preBalances": before.lamports,
        "postBalances": after.lamports,
        "preTokenBalances": before.tokens,
        "postTokenBalances": after.tokens,
        "innerInstructions": list(execution.inner),
        "logMessages": list(execution.logs),
        "rewards": [],
        "loadedAddresses": {
            "writable": _texts(loaded.loaded_writable),
            "readonly": _texts(loaded.loaded_readonly),
        },
        "computeUnitsConsumed": execution.units,
    }


def amount_of(atoms: int, decimals: int) -> dict[str, Any]:
    """Return an amount of tokens in the four forms in which nodes write it."""
    whole = Decimal(atoms).scaleb(-decimals)
    text = f"{whole:f}"
    return {
        "amount": str(atoms),
        "decimals": decimals,
        "uiAmount": float(whole),
        "uiAmountString": text.rstrip("0").rstrip(".") if "." in text else text,
    }


def _texts(keys: Iterable[Pubkey]) -> list[str]:
    return [str(key) for key in keys]


def _token_balance(place: int, account: Account, accounts: Reads) -> dict[str, Any] | None:
    if account.owner not in TOKEN_PROGRAMS:
        return None
    try:
        held = read_token_account(account.data)
    except UnreadableAccount:
        return None
    mint = accounts(held.mint)
    if mint is None or not held.is_initialized:
        return None
    return {
        "accountIndex": place,
        "mint": str(held.mint),
        "owner": str(held.owner),
        "programId": str(account.owner),
        "uiTokenAmount": amount_of(held.amount, read_mint(mint.data).decimals),
    }
