"""The instructions of an order's transaction: pay, make accounts, swap, give back.

Native SOL goes through a temporary account of wrapped SOL, which the same transaction closes. So
the wallet's own wrapped SOL is untouched, orders in flight do not meet, and the fill is exact.
"""

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from solders.instruction import Instruction
from solders.pubkey import Pubkey

from routing.solana.addresses import (
    TOKEN_PROGRAM,
    WRAPPED_SOL,
    associated_token_account,
    seeded,
)
from routing.solana.programs import compute_budget, memo, system, token
from routing.solana.token_accounts import TOKEN_ACCOUNT_SIZE
from routing.solana.transactions.legs import Asset, SwapLeg


class Tip(NamedTuple):
    """Lamports for who brings the transaction into a block."""

    receiver: Pubkey
    lamports: int


@dataclass(frozen=True, slots=True)
class Costs:
    """What the transaction may compute and what it pays for that."""

    unit_limit: int
    unit_price: int
    """Micro-lamports for each unit of the limit."""
    tip: Tip | None = None

    @property
    def priority_fee(self) -> int:
        """Lamports."""
        return compute_budget.priority_fee(self.unit_limit, self.unit_price)

    def as_told(self) -> dict[str, int]:
        """Return them as the log of an order tells them: units, micro-lamports and lamports."""
        told = {
            "unitLimit": self.unit_limit,
            "unitPrice": self.unit_price,
            "priorityFee": self.priority_fee,
        }
        return told | ({"tip": self.tip.lamports} if self.tip else {})


@dataclass(frozen=True, slots=True)
class Trade:
    """What the wallet trades: all legs together."""

    wallet: Pubkey
    gives: Asset
    takes: Asset
    most_in: int
    """Atoms that the legs may take of `gives` in total; so much native SOL is wrapped."""


def new_nonce() -> str:
    """Return 16 random characters that make a transaction unlike any other.

    Two transactions of the same content on one blockhash would be one, with one signature.
    """
    return secrets.token_urlsafe(12)


def temporary_account(wallet: Pubkey, nonce: str) -> Pubkey:
    """Return where a transaction with this nonce keeps its wrapped SOL."""
    return seeded(wallet, nonce, TOKEN_PROGRAM)


def assemble(
    trade: Trade,
    legs: Sequence[SwapLeg],
    costs: Costs,
    *,
    nonce: str,
    rent: int,
    existing: Collection[Pubkey] = (),
) -> list[Instruction]:
    """Return the instructions of one transaction that trades all of `legs`, or nothing.

    Of two hops what the second does not take in stays in the wallet. `rent` is what a token
    account needs, in lamports. Accounts of the wallet that are among `existing` are not made.
    """
    wallet = trade.wallet
    accounts = accounts_of(trade, legs, nonce)
    own = temporary_account(wallet, nonce)
    uses_own = own in accounts.values()
    parts = [
        compute_budget.limit(costs.unit_limit),
        compute_budget.price(costs.unit_price),
    ]
    if uses_own:
        lamports = rent + (trade.most_in if trade.gives.is_native else 0)
        size = TOKEN_ACCOUNT_SIZE
        parts.append(system.create_with_seed(wallet, nonce, lamports, size, TOKEN_PROGRAM))
        parts.append(token.initialize_account(own, WRAPPED_SOL, wallet))
    else:
        parts.append(memo.memo(nonce))
    for asset in dict.fromkeys(leg.asset_out for leg in legs):
        if accounts[asset.mint] != own and accounts[asset.mint] not in existing:
            made = token.create_associated_account(wallet, wallet, asset.mint, asset.token_program)
            parts.append(made)
    parts.extend(leg.instruction(wallet, accounts) for leg in legs)
    if costs.tip is not None:
        parts.append(system.transfer(wallet, costs.tip.receiver, costs.tip.lamports))
    if uses_own:
        parts.append(token.close_account(own, wallet, wallet))
    return parts


def accounts_of(trade: Trade, legs: Sequence[SwapLeg], nonce: str) -> dict[Pubkey, Pubkey]:
    """Return by its mint which account of the wallet each token of the legs moves through.

    Wrapped SOL has the temporary one, unless the order itself names wrapped SOL.
    """
    assets = [asset for leg in legs for asset in (leg.asset_in, leg.asset_out)]
    accounts = {
        asset.mint: associated_token_account(trade.wallet, asset.mint, asset.token_program)
        for asset in assets
    }
    names_wrapped = any(
        asset.mint == WRAPPED_SOL and not asset.is_native for asset in (trade.gives, trade.takes)
    )
    if WRAPPED_SOL in accounts and not names_wrapped:
        accounts[WRAPPED_SOL] = temporary_account(trade.wallet, nonce)
    return accounts
