"""A swap in a CPMM pool, as an instruction."""

from typing import NamedTuple

from solders.instruction import Instruction
from solders.pubkey import Pubkey

from routing.solana.account_roles import named, signer, writable
from routing.solana.addresses import CPMM_PROGRAM
from routing.solana.cpmm import addresses
from routing.solana.cpmm.accounts import PoolAccount
from routing.solana.layout import discriminator_of_instruction
from routing.solana.swap_amounts import SwapAmounts

SWAP_BASE_INPUT = discriminator_of_instruction("swap_base_input")
SWAP_BASE_OUTPUT = discriminator_of_instruction("swap_base_output")


class PoolAt(NamedTuple):
    """A pool and where it stands."""

    address: Pubkey
    account: PoolAccount


def swap(
    pool: PoolAt,
    amounts: SwapAmounts,
    *,
    from_0: bool,
    user: Pubkey,
    user_in: Pubkey,
    user_out: Pubkey,
    program: Pubkey = CPMM_PROGRAM,
) -> Instruction:
    """Swap from token 0 to token 1, or back, between two token accounts of `user`."""
    account = pool.account
    sides = [
        (account.vault_0, account.token_program_0, account.mint_0),
        (account.vault_1, account.token_program_1, account.mint_1),
    ]
    (vault_in, program_in, mint_in), (vault_out, program_out, mint_out) = (
        sides if from_0 else reversed(sides)
    )
    accounts = [
        signer(user),
        *named(addresses.authority(program), account.config),
        *writable(pool.address, user_in, user_out, vault_in, vault_out),
        *named(program_in, program_out, mint_in, mint_out),
        *writable(account.observation),
    ]
    kind = SWAP_BASE_INPUT if amounts.is_exact_in else SWAP_BASE_OUTPUT
    return Instruction(program, kind + amounts.as_bytes(), accounts)
