"""The check of a transaction's money, before it is signed: the wallet as a simulation leaves it."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from solders.pubkey import Pubkey

from routing.solana.addresses import TOKEN_PROGRAMS, WRAPPED_SOL
from routing.solana.layout import UnreadableAccount
from routing.solana.programs.compute_budget import LAMPORTS_PER_SIGNATURE
from routing.solana.token_accounts import read_token_account
from routing.solana.wallet.permit import Permit, TransactionForbidden

SIGNATURE_FEE = LAMPORTS_PER_SIGNATURE


class AccountState(NamedTuple):
    """An account of the wallet at one moment."""

    lamports: int
    owner: Pubkey
    """The program that it belongs to."""
    data: bytes = b""


class TokensHeld(NamedTuple):
    """What one token account holds, in atoms."""

    place: int
    """Of the account among those of the transaction."""
    mint: Pubkey
    owner: Pubkey
    """Who holds them, not the token program."""
    amount: int


class Balances(NamedTuple):
    """What all accounts of a transaction hold before it, those from address tables last."""

    lamports: tuple[int, ...]
    tokens: tuple[TokensHeld, ...]


class Holdings(NamedTuple):
    lamports: int
    """In all accounts together, wrapped SOL and rent among them."""
    atoms: dict[Pubkey, int]
    """By mint, without SOL."""


def holdings_of(wallet: Pubkey, accounts: Mapping[Pubkey, AccountState | None]) -> Holdings:
    """Return what the wallet holds in these accounts; None is an account that does not exist.

    A token account that now has another owner, or that somebody else may empty, holds nothing.
    """
    lamports = 0
    atoms: dict[Pubkey, int] = {}
    for address, state in accounts.items():
        if state is None:
            continue
        if address == wallet:
            lamports += state.lamports
        elif state.owner in TOKEN_PROGRAMS:
            try:
                held = read_token_account(state.data)
            except UnreadableAccount:
                continue
            if held.owner != wallet or held.can_be_taken:
                continue
            lamports += state.lamports
            if held.mint != WRAPPED_SOL:
                atoms[held.mint] = atoms.get(held.mint, 0) + held.amount
    return Holdings(lamports, atoms)


def holdings_before(wallet: Pubkey, balances: Balances) -> Holdings:
    """Return what the wallet, which pays the transaction, holds before it.

    :raises ValueError: the balances name an account that is not there.
    """
    own = [one for one in balances.tokens if one.owner == wallet]
    if not balances.lamports or any(one.place >= len(balances.lamports) for one in own):
        raise ValueError("balances of accounts that are not there")
    lamports = balances.lamports[0] + sum(balances.lamports[one.place] for one in own)
    atoms: dict[Pubkey, int] = {}
    for one in own:
        if one.mint != WRAPPED_SOL:
            atoms[one.mint] = atoms.get(one.mint, 0) + one.amount
    return Holdings(lamports, atoms)


def check_money(before: Holdings, after: Holdings, permit: Permit) -> None:
    """Return if the wallet loses no more and gains no less than the order allows.

    SOL is counted in all its forms together. Of it the order may cost its fees beside its amounts.
    Of other tokens than the order's, the wallet loses nothing.

    :raises TransactionForbidden: it loses too much or gains too little.
    """
    fees = permit.fees
    allowed = SIGNATURE_FEE + fees.priority_fee + fees.tip
    for mint in _mints(before, after):
        moved = after.atoms.get(mint, 0) - before.atoms.get(mint, 0)
        _check_move(mint, moved, permit, 0)
    _check_move(WRAPPED_SOL, after.lamports - before.lamports, permit, allowed)
    if permit.takes.mint not in {*_mints(before, after), WRAPPED_SOL}:
        raise TransactionForbidden(f"the wallet gains nothing of {permit.takes.mint}")


def _mints(before: Holdings, after: Holdings) -> Iterable[Pubkey]:
    return before.atoms.keys() | after.atoms.keys()


def _check_move(mint: Pubkey, moved: int, permit: Permit, costs: int) -> None:
    if mint == permit.takes.mint:
        least = permit.least_out - costs
        if moved < least:
            raise TransactionForbidden(f"the wallet gains {moved} of {mint}, not {least}")
        return
    most = costs + (permit.most_in if mint == permit.gives.mint else 0)
    if -moved > most:
        raise TransactionForbidden(
            f"the wallet loses {-moved} of {mint}, and at most {most} may go"
        )
