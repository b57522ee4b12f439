"""What a rewritten message did, told as if it was the message that was sent."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from solders.instruction import Instruction
from solders.pubkey import Pubkey

from routing.base58 import base58
from routing.cluster.emulation import Plan, Refusal, Step
from routing.cluster.execution import Execution
from routing.cluster.messages import Loaded
from routing.cluster.programs.program import ACCOUNT_NOT_INITIALIZED, Refused

NO_TOKEN_ACCOUNT = ("InvalidAccountData", "IncorrectProgramId", "UninitializedAccount")
"""What the token program says of an account that is none, where a swap's program says 3012."""

UNITS_TO_REFUSE = 20_000
"""About how many compute units the programs take before they refuse a swap."""


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
