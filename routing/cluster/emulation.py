"""Puts the token program's transfers in the place of swaps whose program is not there.

The rewritten message has the same instructions in the same order. Only a swap becomes two
transfers: the user's, signed by the user, and the pool's, signed by its authority. That authority
has no private key, so LiteSVM does not check signatures; the cluster has checked the user's.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from solders.account import Account
from solders.hash import Hash
from solders.instruction import Instruction
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from routing.base58 import base58
from routing.cluster.execution import Execution
from routing.cluster.messages import Loaded, Reads
from routing.cluster.programs.program import (
    ACCOUNT_NOT_INITIALIZED,
    Effect,
    Refused,
    SwapProgram,
)
from routing.solana.addresses import (
    ASSOCIATED_TOKEN_PROGRAM,
    COMPUTE_BUDGET_PROGRAM,
    TOKEN_PROGRAM,
)
from routing.solana.token_accounts import TOKEN_ACCOUNT_SIZE, Clock

NO_TOKEN_ACCOUNT = ("InvalidAccountData", "IncorrectProgramId", "UninitializedAccount")
"""What the token program says of an account that is none, where a swap's program says 3012."""

UNITS_TO_REFUSE = 20_000
"""About how many compute units the programs take before they refuse a swap."""

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
    message = MessageV0.try_compile(loaded.payer, instructions, [], Hash.default())
    signatures = [Signature.default()] * message.header.num_required_signatures
    return VersionedTransaction.populate(message, signatures)


def as_sent(raw: Execution, loaded: Loaded, plan: Plan, keys: Sequence[Pubkey]) -> Execution:
    """Return what the rewritten message did, as if it was the message that was sent.

    `keys` are the rewritten message's.
    """
    begun = plan.steps[: _begun(raw, plan)]
    return raw._replace(
        error=_error_as_sent(raw.error, plan, loaded, keys),
        logs=tuple(_logs_as_sent(raw.logs, plan)),
        units=raw.units + sum(step.effect.units for step in begun if step.effect),
        inner=tuple(_inner_as_sent(raw, begun, loaded, keys)),
    )


def refused(execution: Execution, refusal: Refusal, reason: Refused) -> Execution:
    """Return the execution of all that came before a swap, with the failure of the swap."""
    program = refusal.instruction.program_id
    return execution._replace(
        error={"InstructionError": [refusal.number, reason.error]},
        units=execution.units + UNITS_TO_REFUSE,
        logs=(*execution.logs, f"Program {program} invoke [1]", *_words_of(reason, program)),
    )


def out_of_units(execution: Execution, plan: Plan) -> Execution:
    """Return the execution of a message whose last swap needs more units than it may use."""
    last = [step.number for step in plan.steps if step.effect][-1]
    return execution._replace(error={"InstructionError": [last, "ComputationalBudgetExceeded"]})


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


def _words_of(reason: Refused, program: Pubkey) -> Iterator[str]:
    if reason.code is None:
        yield f"Program log: panicked: {reason.name}"
        yield f"Program {program} failed: Program failed to complete"
        return
    yield (
        f"Program log: AnchorError occurred. Error Code: {reason.name}. "
        f"Error Number: {reason.code}."
    )
    yield f"Program {program} failed: custom program error: {reason.code:#x}"


def _budget(loaded: Loaded, number: int) -> Iterator[Step]:
    """Yield the budget's instructions from `number` on: they hold for what came before, too."""
    for later, instruction in enumerate(loaded.instructions[number:], number):
        if instruction.program_id == COMPUTE_BUDGET_PROGRAM:
            yield Step(later, COMPUTE_BUDGET_PROGRAM, (instruction,))


def _begun(raw: Execution, plan: Plan) -> int:
    """Return how many steps were begun."""
    if isinstance(raw.error, dict) and "InstructionError" in raw.error:
        return plan.steps.index(plan.step_of(raw.error["InstructionError"][0])) + 1
    return len(plan.steps)


def _error_as_sent(error: Any, plan: Plan, loaded: Loaded, keys: Sequence[Pubkey]) -> Any:
    if not isinstance(error, dict):
        return error
    ((name, detail),) = error.items()
    if name == "InstructionError":
        step, reason = plan.step_of(detail[0]), detail[1]
        if step.effect and reason in NO_TOKEN_ACCOUNT:
            reason = {"Custom": ACCOUNT_NOT_INITIALIZED.code}
        return {name: [step.number, reason]}
    if name == "InsufficientFundsForRent":
        return {name: {"account_index": loaded.keys.index(keys[detail["account_index"]])}}
    return error


def _logs_as_sent(logs: Sequence[str], plan: Plan) -> Iterator[str]:
    calls = _calls(logs)
    for step in plan.steps:
        own = [line for call in islice(calls, len(step.executed)) for line in call]
        if step.effect is None or not own:
            yield from own
            continue
        yield f"Program {step.program} invoke [1]"
        yield f"Program log: Instruction: {step.effect.name}"
        yield from (line.replace(" invoke [1]", " invoke [2]") for line in own)
        _, is_failure, reason = own[-1].partition(" failed: ")
        outcome = f"failed: {reason}" if is_failure else "success"
        yield f"Program {step.program} {outcome}"


def _calls(logs: Sequence[str]) -> Iterator[list[str]]:
    """Yield the lines of each instruction of a message."""
    call: list[str] = []
    for line in logs:
        if line.endswith(" invoke [1]") and call:
            yield call
            call = []
        call.append(line)
    if call:
        yield call


def _inner_as_sent(
    raw: Execution, begun: Sequence[Step], loaded: Loaded, keys: Sequence[Pubkey]
) -> Iterator[dict[str, Any]]:
    """Yield the inner instructions, and those of a swap: its transfers."""
    of_raw = {one["index"]: one["instructions"] for one in raw.inner}
    first = 0
    for step in begun:
        inner = of_raw.get(first, [])
        first += len(step.executed)
        if step.effect is not None:
            inner = [_inner(one, loaded) for one in step.executed]
        else:
            inner = [_moved(one, loaded, keys) for one in inner]
        if inner:
            yield {"index": step.number, "instructions": inner}


def _inner(instruction: Instruction, loaded: Loaded) -> dict[str, Any]:
    return {
        "programIdIndex": loaded.keys.index(instruction.program_id),
        "accounts": [loaded.keys.index(meta.pubkey) for meta in instruction.accounts],
        "data": base58(instruction.data),
        "stackHeight": 2,
    }


def _moved(inner: dict[str, Any], loaded: Loaded, keys: Sequence[Pubkey]) -> dict[str, Any]:
    """Return an inner instruction with the places that its keys have in the message as sent."""
    accounts = [loaded.keys.index(keys[number]) for number in inner["accounts"]]
    program = loaded.keys.index(keys[inner["programIdIndex"]])
    return inner | {"programIdIndex": program, "accounts": accounts}
