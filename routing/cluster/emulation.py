"""Puts the token program's transfers in the place of swaps whose program is not there.

The rewritten message has the same instructions in the same order. Only a swap becomes two
transfers: the user's, signed by the user, and the pool's, signed by its authority. That authority
has no private key, so LiteSVM does not check signatures; the cluster has checked the user's.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from solders.account import Account
from solders.hash import Hash
from solders.instruction import Instruction
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from routing.cluster.messages import Loaded, Reads, compute_limit, own_limit
from routing.cluster.programs.program import (
    Effect,
    Refused,
    SwapProgram,
)
from routing.solana.addresses import (
    ASSOCIATED_TOKEN_PROGRAM,
    COMPUTE_BUDGET_PROGRAM,
    TOKEN_PROGRAM,
)
from routing.solana.programs.compute_budget import limit
from routing.solana.token_accounts import TOKEN_ACCOUNT_SIZE, Clock

_AMOUNT_PLACE = 64


class Step(NamedTuple):
    """One instruction of the message, and what LiteSVM executes for it."""

    number: int
    program: Pubkey
    executed: tuple[Instruction, ...]
    effect: Effect | None = None
    """Of a swap."""


class Refusal(NamedTuple):
    """A swap that its program refuses."""

    number: int
    instruction: Instruction
    reason: Refused


class Plan(NamedTuple):
    """What is executed for a message: all of it, or what comes before a swap that is refused."""

    steps: tuple[Step, ...]
    refusal: Refusal | None = None

    def accounts_after(self) -> dict[Pubkey, bytes]:
        """Return the bytes of the programs' own accounts, once all swaps are done."""
        effects = [step.effect for step in self.steps if step.effect]
        return {address: data for one in effects for address, data in one.after.items()}

    def step_of(self, number: int) -> Step:
        """Return the step to which an instruction of the rewritten message belongs."""
        for step in self.steps:
            number -= len(step.executed)
            if number < 0:
                return step
        raise IndexError("the rewritten message has no such instruction")


def plan_of(
    loaded: Loaded, programs: Mapping[Pubkey, SwapProgram], accounts: Reads, clock: Clock
) -> Plan:
    """Return what to execute for a message. A later swap sees what the earlier ones have done."""
    swapped = _Swapped(accounts)
    steps: list[Step] = []
    for number, instruction in enumerate(loaded.instructions):
        address = instruction.program_id
        program = programs.get(address)
        if program is None:
            steps.append(Step(number, address, (instruction,)))
            swapped.note(instruction)
            continue
        try:
            effect = program.effect(instruction, swapped.get, clock)
        except Refused as reason:
            steps += _budget(loaded, number)
            return Plan(tuple(steps), Refusal(number, instruction, reason))
        swapped.add(effect)
        steps.append(Step(number, address, effect.transfers, effect))
    return Plan(tuple(steps))


def rewritten(loaded: Loaded, plan: Plan) -> VersionedTransaction:
    """Return the transaction to execute. Its signatures are empty."""
    instructions = [one for step in plan.steps for one in step.executed]
    if own_limit(loaded) is None:  # the usual limit would follow from other instructions
        instructions.append(limit(compute_limit(loaded)))
    message = MessageV0.try_compile(loaded.payer, instructions, [], Hash.default())
    signatures = [Signature.default()] * message.header.num_required_signatures
    return VersionedTransaction.populate(message, signatures)


def with_amount(data: bytes, atoms: int) -> bytes:
    """Return a token account's bytes with another amount."""
    end = _AMOUNT_PLACE + 8
    return data[:_AMOUNT_PLACE] + atoms.to_bytes(8, "little") + data[end:]


class _Swapped:
    """The accounts as they are after the swaps that were planned.

    It also knows the token accounts that the message makes on its way: which mint, and whose.
    """

    def __init__(self, accounts: Reads) -> None:
        self._accounts = accounts
        self._data: dict[Pubkey, bytes] = {}
        self._made: dict[Pubkey, Account] = {}

    def note(self, instruction: Instruction) -> None:
        """Learn of a token account that is made by this instruction, if it makes one."""
        keys = [meta.pubkey for meta in instruction.accounts]
        data, program = bytes(instruction.data), instruction.program_id
        if program == ASSOCIATED_TOKEN_PROGRAM and len(keys) >= 6:
            self._make(keys[1], keys[3], bytes(keys[2]))
        elif program == TOKEN_PROGRAM and data[:1] == b"\x12" and len(keys) >= 2:
            self._make(keys[0], keys[1], data[1:33])
        elif program == TOKEN_PROGRAM and data[:1] == b"\x01" and len(keys) >= 3:
            self._make(keys[0], keys[1], bytes(keys[2]))

    def _make(self, address: Pubkey, mint: Pubkey, owner: bytes) -> None:
        data = (bytes(mint) + owner).ljust(TOKEN_ACCOUNT_SIZE, b"\0")
        self._made[address] = Account(0, data, TOKEN_PROGRAM)

    def get(self, address: Pubkey) -> Account | None:
        account = self._accounts(address) or self._made.get(address)
        data = self._data.get(address)
        if account is None or data is None:
            return account
        return Account(account.lamports, data, account.owner, account.executable)

    def add(self, effect: Effect) -> None:
        self._data.update(effect.after)
        for vault, atoms in effect.vaults.items():
            account = self.get(vault)
            if account is not None:
                self._data[vault] = with_amount(account.data, atoms)


def _budget(loaded: Loaded, number: int) -> Iterator[Step]:
    """Yield the budget's instructions from `number` on: they hold for what came before, too."""
    for later, instruction in enumerate(loaded.instructions[number:], number):
        if instruction.program_id == COMPUTE_BUDGET_PROGRAM:
            yield Step(later, COMPUTE_BUDGET_PROGRAM, (instruction,))
