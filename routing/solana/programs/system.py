"""Instructions of the System program: lamports that move, and accounts that are made."""

from typing import NamedTuple

from solders.instruction import Instruction
from solders.pubkey import Pubkey
from solders.system_program import (
    CreateAccountWithSeedParams,
    TransferParams,
    create_account_with_seed,
)
from solders.system_program import transfer as _transfer

from routing.solana.addresses import seeded

TRANSFER_TAG, CREATE_WITH_SEED_TAG = 2, 3

_SEED_PLACE = 4 + 32 + 8
_BEHIND_SEED = 8 + 8 + 32


class Creation(NamedTuple):
    """What a `create_with_seed` asks for, but for the payer."""

    seed: str
    lamports: int
    size: int
    owner: Pubkey


def transfer(source: Pubkey, receiver: Pubkey, lamports: int) -> Instruction:
    params = TransferParams(from_pubkey=source, to_pubkey=receiver, lamports=lamports)
    return _transfer(params)


def create_with_seed(
    payer: Pubkey, seed: str, lamports: int, size: int, owner: Pubkey
) -> Instruction:
    """Make the account `seeded(payer, seed, owner)` of `size` bytes, with these lamports."""
    return create_account_with_seed(
        CreateAccountWithSeedParams(
            from_pubkey=payer,
            to_pubkey=seeded(payer, seed, owner),
            base=payer,
            seed=seed,
            lamports=lamports,
            space=size,
            owner=owner,
        )
    )


def read_tag(data: bytes) -> int:
    """Return which instruction of the System program this is."""
    return int.from_bytes(data[:4], "little")


def read_transfer(data: bytes) -> int:
    """Return the lamports of a transfer.

    :raises ValueError: it is no transfer.
    """
    if read_tag(data) != TRANSFER_TAG or len(data) != 12:
        raise ValueError("it is no transfer of lamports")
    return int.from_bytes(data[4:], "little")


def read_creation(data: bytes) -> Creation:
    """:raises ValueError: it makes no account with a seed."""
    size = int.from_bytes(data[36:_SEED_PLACE], "little")
    if read_tag(data) != CREATE_WITH_SEED_TAG or len(data) != _SEED_PLACE + size + _BEHIND_SEED:
        raise ValueError("it makes no account with a seed")
    rest = data[_SEED_PLACE + size :]
    return Creation(
        seed=data[_SEED_PLACE : _SEED_PLACE + size].decode(),
        lamports=int.from_bytes(rest[:8], "little"),
        size=int.from_bytes(rest[8:16], "little"),
        owner=Pubkey(rest[16:]),
    )
