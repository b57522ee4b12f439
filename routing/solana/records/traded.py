"""Which two mints a transaction of ours trades, from its instructions alone."""

from collections.abc import Sequence

from solders.instruction import Instruction
from solders.pubkey import Pubkey

from routing.solana.addresses import CPMM_PROGRAM, DLMM_PROGRAM, SYSTEM_PROGRAM
from routing.solana.programs import system
from routing.solana.transactions.assembly import temporary_account
from routing.solana.transactions.swap_calls import read_swap


class NotASwap(Exception):
    """The transaction does not trade one mint for another, as ours do."""


def traded_mints(
    instructions: Sequence[Instruction],
    *,
    cpmm_program: Pubkey = CPMM_PROGRAM,
    dlmm_program: Pubkey = DLMM_PROGRAM,
) -> tuple[Pubkey, Pubkey]:
    """Return what is given and what is taken. What lies between two hops is neither.

    :raises NotASwap: it swaps nothing, or there are several of one.
    """
    given: set[Pubkey] = set()
    taken: set[Pubkey] = set()
    temporary: Pubkey | None = None
    try:
        for one in instructions:
            tag = system.read_tag(one.data)
            if one.program_id == SYSTEM_PROGRAM and tag == system.CREATE_WITH_SEED_TAG:
                made = system.read_creation(one.data)
                temporary = temporary_account(one.accounts[0].pubkey, made.seed)
            elif one.program_id in (cpmm_program, dlmm_program):
                call = read_swap(one, cpmm_program, dlmm_program).directed(temporary)
                given.add(call.mint_in)
                taken.add(call.mint_out)
    except (ValueError, IndexError) as error:
        raise NotASwap(str(error)) from error
    gives, takes = given - taken, taken - given
    if len(gives) != 1 or len(takes) != 1:
        raise NotASwap("it does not trade one mint for another")
    return gives.pop(), takes.pop()
