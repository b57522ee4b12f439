"""Instructions of the System program: lamports that move, and accounts that are made."""

from solders.instruction import Instruction
from solders.pubkey import Pubkey
from solders.system_program import (
    CreateAccountWithSeedParams,
    TransferParams,
    create_account_with_seed,
)
from solders.system_program import transfer as _transfer

from routing.solana.addresses import seeded


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
