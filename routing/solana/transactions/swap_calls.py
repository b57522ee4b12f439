"""What a swap's instruction asks for, read from its bytes: by CPMM and by DLMM."""

from dataclasses import dataclass, replace
from typing import NamedTuple

from solders.instruction import Instruction
from solders.pubkey import Pubkey

from routing.solana.addresses import MEMO_PROGRAM, NONE, WRAPPED_SOL, associated_token_account
from routing.solana.cpmm import addresses as cpmm_addresses
from routing.solana.cpmm import instructions as cpmm
from routing.solana.dlmm import addresses as dlmm_addresses
from routing.solana.dlmm import instructions as dlmm
from routing.solana.swap_amounts import SwapAmounts, read_amounts

_CPMM_ACCOUNTS, _DLMM_ACCOUNTS = 13, 16
_CPMM_WRITABLE = (3, 4, 5, 6, 7, 12)
_DLMM_WRITABLE = (0, 2, 3, 4, 5, 8)


class Holding(NamedTuple):
    """A mint and the token program that it belongs to."""

    mint: Pubkey
    token_program: Pubkey


@dataclass(frozen=True, slots=True)
class SwapCall:
    pool: Pubkey
    user: Pubkey
    user_in: Pubkey
    user_out: Pubkey
    amounts: SwapAmounts
    possible_ends: tuple[tuple[Holding, Holding], ...]
    """What goes in and what comes out; DLMM's instruction leaves two ways open."""
    writable: frozenset[Pubkey]
    """The accounts that the program has to write."""
    mint_in: Pubkey = NONE
    mint_out: Pubkey = NONE

    def directed(self, temporary: Pubkey | None) -> "SwapCall":
        """Return the swap with its mints, by the user's own accounts that it names.

        `temporary` is the transaction's own account of wrapped SOL, if it has one.

        :raises ValueError: it is from or to an account that is not the user's own.
        """
        named = self.user_in, self.user_out
        for ends in self.possible_ends:
            if named == tuple(own_account(self.user, end, temporary) for end in ends):
                return replace(self, mint_in=ends[0].mint, mint_out=ends[1].mint)
        raise ValueError("a swap from or to an account that is not the wallet's own")


def own_account(wallet: Pubkey, end: Holding, temporary: Pubkey | None) -> Pubkey:
    """Return the only account of a wallet through which its transaction moves a mint."""
    if end.mint == WRAPPED_SOL and temporary is not None:
        return temporary
    return associated_token_account(wallet, end.mint, end.token_program)


def read_swap(instruction: Instruction, cpmm_program: Pubkey, dlmm_program: Pubkey) -> SwapCall:
    """Return the swap of an instruction of either program.

    :raises ValueError: it is another instruction, or has more or less than a swap of ours.
    """
    if instruction.program_id == cpmm_program:
        return _cpmm(instruction)
    if instruction.program_id == dlmm_program:
        return _dlmm(instruction)
    raise ValueError("it is of another program")


def _cpmm(instruction: Instruction) -> SwapCall:
    keys, kind = [meta.pubkey for meta in instruction.accounts], instruction.data[:8]
    if kind not in (cpmm.SWAP_BASE_INPUT, cpmm.SWAP_BASE_OUTPUT):
        raise ValueError("another instruction of CPMM")
    if len(keys) != _CPMM_ACCOUNTS or len(instruction.data) != 24:
        raise ValueError("a swap of CPMM with too much or too little")
    if keys[1] != cpmm_addresses.authority(instruction.program_id):
        raise ValueError("a swap of CPMM with another authority")
    amounts = read_amounts(instruction.data, is_exact_in=kind == cpmm.SWAP_BASE_INPUT)
    ends = Holding(keys[10], keys[8]), Holding(keys[11], keys[9])
    return SwapCall(
        pool=keys[3],
        user=keys[0],
        user_in=keys[4],
        user_out=keys[5],
        amounts=amounts,
        possible_ends=(ends,),
        writable=frozenset(keys[place] for place in _CPMM_WRITABLE),
    )


def _dlmm(instruction: Instruction) -> SwapCall:
    keys, kind = [meta.pubkey for meta in instruction.accounts], instruction.data[:8]
    if kind not in (dlmm.SWAP, dlmm.SWAP_EXACT_OUT):
        raise ValueError("another instruction of DLMM")
    if len(keys) <= _DLMM_ACCOUNTS or instruction.data[24:] != dlmm.NO_HOOKS:
        raise ValueError("a swap of DLMM without bins, or with transfer hooks")
    program = instruction.program_id
    if keys[9] != program:
        raise ValueError("a swap of DLMM with a host")
    if keys[1] not in (program, dlmm_addresses.bitmap_extension(keys[0], program)):
        raise ValueError("a swap of DLMM with another extension")
    if keys[13:16] != [MEMO_PROGRAM, dlmm_addresses.event_authority(program), program]:
        raise ValueError("a swap of DLMM with another program to call")
    x, y = Holding(keys[6], keys[11]), Holding(keys[7], keys[12])
    written = {keys[place] for place in _DLMM_WRITABLE} | set(keys[_DLMM_ACCOUNTS:])
    if keys[1] != program:
        written.add(keys[1])
    return SwapCall(
        pool=keys[0],
        user=keys[10],
        user_in=keys[4],
        user_out=keys[5],
        amounts=read_amounts(instruction.data, is_exact_in=kind == dlmm.SWAP),
        possible_ends=((x, y), (y, x)),
        writable=frozenset(written),
    )
