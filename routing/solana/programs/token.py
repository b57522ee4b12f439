"""Instructions of the Token program, and of Token-2022, which takes the same bytes."""

from solders.instruction import Instruction
from solders.pubkey import Pubkey

from routing.solana import account_roles as roles
from routing.solana.addresses import (
    ASSOCIATED_TOKEN_PROGRAM,
    SYSTEM_PROGRAM,
    TOKEN_PROGRAM,
    associated_token_account,
)

CLOSE_TAG, SYNC_NATIVE_TAG, INITIALIZE_ACCOUNT_3_TAG, TRANSFER_CHECKED_TAG = 9, 17, 18, 12
CREATE_IDEMPOTENT_TAG = 1


def create_associated_account(
    payer: Pubkey, owner: Pubkey, mint: Pubkey, token_program: Pubkey = TOKEN_PROGRAM
) -> Instruction:
    """Make the owner's associated account of a mint, at the payer's rent, if there is none yet."""
    accounts = [
        roles.payer(payer),
        *roles.writable(associated_token_account(owner, mint, token_program)),
        *roles.named(owner, mint, SYSTEM_PROGRAM, token_program),
    ]
    return Instruction(ASSOCIATED_TOKEN_PROGRAM, bytes([CREATE_IDEMPOTENT_TAG]), accounts)


def initialize_account(
    account: Pubkey, mint: Pubkey, owner: Pubkey, token_program: Pubkey = TOKEN_PROGRAM
) -> Instruction:
    """Make a token account of an account that the token program owns and nothing uses yet."""
    data = bytes([INITIALIZE_ACCOUNT_3_TAG]) + bytes(owner)
    return Instruction(token_program, data, [*roles.writable(account), *roles.named(mint)])


def sync_native(account: Pubkey) -> Instruction:
    """Have an account of wrapped SOL count the lamports that it was sent."""
    return Instruction(TOKEN_PROGRAM, bytes([SYNC_NATIVE_TAG]), roles.writable(account))


def close_account(
    account: Pubkey, receiver: Pubkey, owner: Pubkey, token_program: Pubkey = TOKEN_PROGRAM
) -> Instruction:
    """End a token account: its lamports, wrapped SOL among them, go to `receiver`."""
    accounts = [*roles.writable(account, receiver), roles.signer(owner)]
    return Instruction(token_program, bytes([CLOSE_TAG]), accounts)


def transfer_checked(
    source: Pubkey,
    mint: Pubkey,
    receiver: Pubkey,
    owner: Pubkey,
    atoms: int,
    decimals: int,
    token_program: Pubkey = TOKEN_PROGRAM,
) -> Instruction:
    """Move atoms from one token account to another."""
    data = bytes([TRANSFER_CHECKED_TAG]) + atoms.to_bytes(8, "little") + bytes([decimals])
    accounts = [
        *roles.writable(source),
        *roles.named(mint),
        *roles.writable(receiver),
        roles.signer(owner),
    ]
    return Instruction(token_program, data, accounts)
