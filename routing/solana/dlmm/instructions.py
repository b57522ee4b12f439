"""A swap in a DLMM pair, as an instruction."""

from collections.abc import Sequence
from typing import NamedTuple

from solders.instruction import Instruction
from solders.pubkey import Pubkey

from routing.solana.account_roles import named, signer, writable
from routing.solana.addresses import DLMM_PROGRAM, MEMO_PROGRAM
from routing.solana.dlmm import addresses
from routing.solana.dlmm.bin_arrays import needs_extension
from routing.solana.dlmm.lb_pair import LbPair
from routing.solana.layout import discriminator_of_instruction
from routing.solana.swap_amounts import SwapAmounts

SWAP = discriminator_of_instruction("swap2")
SWAP_EXACT_OUT = discriminator_of_instruction("swap_exact_out2")
NO_HOOKS = bytes(4)
"""The list of accounts for transfer hooks; we trade no mint that has them."""


class PairAt(NamedTuple):
    """A pair and where it stands."""

    address: Pubkey
    account: LbPair


def swap(
    pair: PairAt,
    amounts: SwapAmounts,
    arrays: Sequence[int],
    *,
    to_y: bool,
    user: Pubkey,
    user_in: Pubkey,
    user_out: Pubkey,
    program: Pubkey = DLMM_PROGRAM,
) -> Instruction:
    """Swap from x to y, or back, through these bin arrays in the order in which they are met.

    `arrays` are indexes. An array too many does no harm; one too few fails the swap.
    """
    account, address = pair.account, pair.address
    if needs_extension(list(arrays)):
        extension = writable(addresses.bitmap_extension(address, program))
    else:
        extension = named(program)  # an account that is absent is the program itself
    accounts = [
        *writable(address),
        *extension,
        *writable(account.reserve_x, account.reserve_y, user_in, user_out),
        *named(account.mint_x, account.mint_y),
        *writable(account.oracle),
        *named(program),  # the host's fee: absent
        signer(user),
        *named(account.token_program_x, account.token_program_y, MEMO_PROGRAM),
        *named(addresses.event_authority(program), program),
        *writable(*(addresses.bin_array(address, index, program) for index in arrays)),
    ]
    kind = SWAP if amounts.is_exact_in else SWAP_EXACT_OUT
    return Instruction(program, kind + amounts.as_bytes() + NO_HOOKS, accounts)
