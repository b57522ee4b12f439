"""The check of a transaction's structure, before it is signed: each instruction, each account.

It reads the message anew, and trusts nothing that made it. What has no rule here is forbidden.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.instruction import Instruction
from solders.message import MessageV0
from solders.pubkey import Pubkey

from routing.solana.addresses import (
    ASSOCIATED_TOKEN_PROGRAM,
    COMPUTE_BUDGET_PROGRAM,
    MEMO_PROGRAM,
    SYSTEM_PROGRAM,
    TOKEN_PROGRAM,
    TOKEN_PROGRAMS,
    WRAPPED_SOL,
    seeded,
)
from routing.solana.programs import compute_budget, system, token
from routing.solana.token_accounts import TOKEN_ACCOUNT_SIZE
from routing.solana.transactions.message import UnreadableTransaction, instructions_of
from routing.solana.transactions.swap_calls import SwapCall, read_swap
from routing.solana.wallet.permit import Permit, TransactionForbidden


@dataclass(slots=True)
class _Found:
    """What the instructions so far have done."""

    temporary: Pubkey | None = None
    is_initialized: bool = False
    is_closed: bool = False
    unit_limit: int | None = None
    unit_price: int | None = None
    tips: int = 0
    made: set[Pubkey] = field(default_factory=set)
    """The mints for which it makes accounts of the wallet."""
    swaps: list[SwapCall] = field(default_factory=list)
    writable: set[Pubkey] = field(default_factory=set)
    """What these instructions have to write."""

    def as_ours(self, instruction: Instruction, ours: Instruction) -> bool:
        """Whether they are the same, but for the roles that other instructions give accounts."""
        if instruction.program_id != ours.program_id or instruction.data != ours.data:
            return False
        if [one.pubkey for one in instruction.accounts] != [one.pubkey for one in ours.accounts]:
            return False
        self.writable.update(one.pubkey for one in ours.accounts if one.is_writable)
        return True


def check_structure(
    message: MessageV0, permit: Permit, tables: Iterable[AddressLookupTableAccount] = ()
) -> None:
    """Return if the message does what the order asked, and nothing else.

    :raises TransactionForbidden: it does not, or it cannot be read.
    """
    if message.header.num_required_signatures != 1 or message.account_keys[0] != permit.wallet:
        raise TransactionForbidden("it is not for the wallet alone to sign")
    try:
        instructions = instructions_of(message, tables)
    except UnreadableTransaction as error:
        raise TransactionForbidden(f"it cannot be read: {error}") from error
    found = _Found(writable={permit.wallet})
    for place, instruction in enumerate(instructions):
        try:
            _check(instruction, permit, found)
        except (IndexError, ValueError, UnicodeDecodeError) as error:
            raise TransactionForbidden(f"instruction {place} cannot be read: {error}") from error
        except TransactionForbidden as forbidden:
            raise TransactionForbidden(f"instruction {place}: {forbidden}") from None
    _check_writable(instructions, found)
    _check_fees(found, permit)
    _check_temporary(found, permit)
    _check_made(found)
    _check_amounts(found.swaps, permit)


def _check(instruction: Instruction, permit: Permit, found: _Found) -> None:
    program = instruction.program_id
    if program == COMPUTE_BUDGET_PROGRAM:
        _check_budget(instruction, found)
    elif program == MEMO_PROGRAM:
        _expect(not instruction.accounts, "a memo names accounts")
    elif program == SYSTEM_PROGRAM:
        _check_system(instruction, permit, found)
    elif program == ASSOCIATED_TOKEN_PROGRAM:
        _check_associated(instruction, permit, found)
    elif program in TOKEN_PROGRAMS:
        _check_token(instruction, permit, found)
    elif program in (permit.cpmm_program, permit.dlmm_program):
        _check_swap(instruction, permit, found)
    else:
        raise TransactionForbidden(f"it calls the program {program}")


def _check_budget(instruction: Instruction, found: _Found) -> None:
    tag, number = instruction.data[0], int.from_bytes(instruction.data[1:], "little")
    if tag == compute_budget.LIMIT_TAG and found.unit_limit is None:
        found.unit_limit = number
        _same(found, instruction, compute_budget.limit(number))
    elif tag == compute_budget.PRICE_TAG and found.unit_price is None:
        found.unit_price = number
        _same(found, instruction, compute_budget.price(number))
    else:
        raise TransactionForbidden("a budget of another kind, or a second one")


def _check_system(instruction: Instruction, permit: Permit, found: _Found) -> None:
    kind = system.read_tag(instruction.data)
    if kind == system.TRANSFER_TAG:
        lamports = system.read_transfer(instruction.data)
        source, receiver = (meta.pubkey for meta in instruction.accounts)
        _same(found, instruction, system.transfer(source, receiver, lamports))
        _expect(source == permit.wallet, "lamports of another account are sent")
        _expect(receiver in permit.fees.tip_receivers, f"lamports are sent to {receiver}")
        found.tips += lamports
        return
    _expect(found.temporary is None, "a second temporary account is made")
    asked = system.read_creation(instruction.data)
    wallet, seed, lamports = permit.wallet, asked.seed, asked.lamports
    made = system.create_with_seed(wallet, seed, lamports, TOKEN_ACCOUNT_SIZE, TOKEN_PROGRAM)
    _same(found, instruction, made)
    most = permit.fees.rent + (permit.most_in if permit.gives.is_native else 0)
    _expect(lamports <= most, f"{lamports} lamports are wrapped, and at most {most} may be")
    found.temporary = seeded(wallet, seed, TOKEN_PROGRAM)


def _check_associated(instruction: Instruction, permit: Permit, found: _Found) -> None:
    payer, _, owner, mint, _, token_program = (meta.pubkey for meta in instruction.accounts)
    _expect(payer == owner == permit.wallet, "an account is made for another owner")
    _expect(token_program in TOKEN_PROGRAMS, "an account is made by a strange token program")
    found.made.add(mint)
    _same(found, instruction, token.create_associated_account(payer, owner, mint, token_program))


def _check_token(instruction: Instruction, permit: Permit, found: _Found) -> None:
    own, wallet = found.temporary, permit.wallet
    _expect(own is not None, "a token instruction without a temporary account")
    assert own is not None  # noqa: S101  # for the type alone
    if found.as_ours(instruction, token.initialize_account(own, WRAPPED_SOL, wallet)):
        found.is_initialized = True
    elif found.as_ours(instruction, token.close_account(own, wallet, wallet)):
        found.is_closed = True
    else:
        raise TransactionForbidden("a token instruction that moves, approves or gives away")


def _check_swap(instruction: Instruction, permit: Permit, found: _Found) -> None:
    call = read_swap(instruction, permit.cpmm_program, permit.dlmm_program)
    _expect(call.pool in permit.pools, f"a swap in the pool {call.pool}, which is not on the list")
    _expect(call.user == permit.wallet, "a swap of another wallet")
    programs = {end.token_program for ends in call.possible_ends for end in ends}
    _expect(programs <= set(TOKEN_PROGRAMS), "a swap with a strange token program")
    found.swaps.append(call.directed(found.temporary))
    found.writable |= call.writable


def _check_writable(instructions: list[Instruction], found: _Found) -> None:
    for meta in (meta for one in instructions for meta in one.accounts):
        may_write = not meta.is_writable or meta.pubkey in found.writable
        _expect(may_write, f"{meta.pubkey} could be written, and nothing needs that")


def _check_fees(found: _Found, permit: Permit) -> None:
    _expect(found.unit_limit is not None, "it sets no limit of compute units")
    fee = compute_budget.priority_fee(found.unit_limit or 0, found.unit_price or 0)
    most = permit.fees.priority_fee
    _expect(fee <= most, f"its priority fee is {fee} lamports, and at most {most} may be")
    tips, most = found.tips, permit.fees.tip
    _expect(tips <= most, f"its tips are {tips} lamports, and at most {most} may be")


def _check_temporary(found: _Found, permit: Permit) -> None:
    if found.temporary is not None:
        _expect(found.is_initialized and found.is_closed, "its temporary account is left behind")
    for asset in (permit.gives, permit.takes):
        if asset.mint == WRAPPED_SOL:
            form = "native" if asset.is_native else "wrapped"
            _expect(asset.is_native is (found.temporary is not None), f"the order's SOL is {form}")


def _check_made(found: _Found) -> None:
    traded = {mint for call in found.swaps for mint in (call.mint_in, call.mint_out)}
    _expect(found.made <= traded, "an account is made for a token that it does not trade")


def _check_amounts(swaps: Sequence[SwapCall], permit: Permit) -> None:
    """Hold all swaps together to the order: what goes in, what comes out, what lies between."""
    most_in: Counter[Pubkey] = Counter()
    least_out: Counter[Pubkey] = Counter()
    gives, takes = permit.gives.mint, permit.takes.mint
    for call in swaps:
        mint_in, mint_out = call.mint_in, call.mint_out
        _expect(mint_in != takes, "it sells what the order buys")
        _expect(mint_out != gives, "it buys what the order sells")
        most_in[mint_in] += call.amounts.amount_in
        least_out[mint_out] += call.amounts.amount_out
        if mint_in != gives:
            missing = most_in[mint_in] > least_out[mint_in]
            _expect(not missing, f"it spends more of {mint_in} than its own swaps buy before")
        is_exact_in = call.amounts.is_exact_in
        if permit.amount_in is not None and mint_in == gives:
            _expect(is_exact_in, "the order's input is fixed, and a swap's is not")
        if permit.amount_out is not None and mint_out == takes:
            _expect(not is_exact_in, "the order's output is fixed, and a swap's is not")
    wanted, given = permit.amount_in, most_in[gives]
    if wanted is not None:
        _expect(given == wanted, f"it gives {given} atoms, and the order {wanted}")
    else:
        _expect(given <= permit.most_in, f"it gives up to {given}, and the order {permit.most_in}")
    gained = least_out[takes]
    if permit.amount_out is not None:
        _expect(
            gained == permit.amount_out, f"it gains {gained}, and the order {permit.amount_out}"
        )
    else:
        least = permit.least_out
        _expect(gained >= least > 0, f"it may gain only {gained}, and the order wants {least}")


def _same(found: _Found, instruction: Instruction, ours: Instruction) -> None:
    _expect(found.as_ours(instruction, ours), "it is not as we would make it")


def _expect(holds: bool, reason: str) -> None:
    if not holds:
        raise TransactionForbidden(reason)
