"""What a transaction moved for its wallet, and what it cost beside that, to the atom.

SOL counts in all its forms together: lamports, wrapped SOL, and rent that is still the wallet's.
"""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

from solders.pubkey import Pubkey

from routing.solana.addresses import SYSTEM_PROGRAM, WRAPPED_SOL
from routing.solana.programs import system
from routing.solana.records.record import Record
from routing.solana.transactions.message import read_message
from routing.venue import Landed


@dataclass(frozen=True, slots=True)
class Moves:
    """What a wallet gained (positive) and gave (negative) by mint, in atoms, without the costs."""

    by_mint: dict[Pubkey, int]
    """Without the mints of which nothing moved. SOL stands under the wrapped mint."""
    fee: int
    """Lamports for signatures and priority."""
    tip: int
    """Lamports for who brought it into a block."""
    rent: int
    """Lamports that were put into the wallet's new token accounts, less those that came back."""


class NotTheWallets(Exception):
    """The record is not of a transaction that this wallet paid for."""


class UnexpectedMoves(Exception):
    """The transaction succeeded and did not move what the order trades. It was not our swap."""


def moves_of(record: Record, wallet: Pubkey, tip: int = 0) -> Moves:
    """Return what the transaction moved for `wallet`, which paid it, and `tip` lamports.

    :raises NotTheWallets: another one paid it.
    """
    if not record.accounts or record.accounts[0] != wallet:
        raise NotTheWallets(f"{wallet} did not pay this transaction")
    own = [one for one in record.tokens if one.owner == wallet]
    places = {one.place for one in own}
    by_mint: defaultdict[Pubkey, int] = defaultdict(int)
    by_mint[WRAPPED_SOL] = record.fee + tip + record.lamports[0].moved
    by_mint[WRAPPED_SOL] += sum(record.lamports[place].moved for place in places)
    for one in own:
        if one.mint != WRAPPED_SOL:
            by_mint[one.mint] += one.moved
    wrapped = sum(one.moved for one in own if one.mint == WRAPPED_SOL)
    rent = sum(record.lamports[place].moved for place in places) - wrapped
    moved = {mint: amount for mint, amount in by_mint.items() if amount}
    return Moves(moved, record.fee, tip, rent)


def landed(moves: Moves, *, gives: Pubkey, takes: Pubkey) -> Landed:
    """Return the fill of an order that gives and takes these mints.

    What a first hop left over of its middle token is no part of it.

    :raises UnexpectedMoves: the wallet did not give of the one and gain of the other.
    """
    amount_in, amount_out = -moves.by_mint.get(gives, 0), moves.by_mint.get(takes, 0)
    if amount_in <= 0 or amount_out <= 0:
        raise UnexpectedMoves(f"the wallet gave {amount_in} and gained {amount_out}")
    return Landed(amount_in, amount_out, moves.fee + moves.tip, moves.tip, moves.rent)


def tip_in(payload: bytes, record: Record, receivers: Collection[Pubkey]) -> int:
    """Return the lamports that a transaction of ours, of which this is the record, sends them.

    :raises UnreadableTransaction: the bytes are no transaction.
    """
    tips = 0
    for part in read_message(payload).instructions:
        accounts = [record.accounts[place] for place in part.accounts]
        is_transfer = system.read_tag(part.data) == system.TRANSFER_TAG and len(accounts) == 2
        program = record.accounts[part.program_id_index]
        if is_transfer and program == SYSTEM_PROGRAM and accounts[1] in receivers:
            tips += system.read_transfer(part.data)
    return tips
