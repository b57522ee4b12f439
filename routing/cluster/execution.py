"""What a transaction did, as LiteSVM tells it."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson
from solders.transaction_metadata import FailedTransactionMetadata, TransactionMetadata

from routing.base58 import base58


class Execution(NamedTuple):
    """What a transaction did. Amounts are lamports."""

    error: Any = None
    """As JSON, in the chain's words; None if all of it was done."""
    fee: int = 0
    logs: tuple[str, ...] = ()
    units: int = 0
    inner: tuple[Any, ...] = ()
    """For each instruction with inner ones: its number and those, as JSON."""

    @property
    def entered(self) -> bool:
        """Whether a block holds it: it succeeded, or failed and paid its fee."""
        return self.error is None or self.fee > 0


def execution_of(result: TransactionMetadata | FailedTransactionMetadata) -> Execution:
    error = None
    if isinstance(result, FailedTransactionMetadata):
        error = orjson.loads(result.to_json())["err"]
        result = result.meta()
    return Execution(
        error,
        result.fee(),
        tuple(result.logs()),
        result.compute_units_consumed(),
        tuple(_inner(result)),
    )


def _inner(result: TransactionMetadata) -> Iterator[dict[str, Any]]:
    for number, inner in enumerate(result.inner_instructions()):
        if inner:
            yield {
                "index": number,
                "instructions": [
                    {
                        "programIdIndex": one.instruction().program_id_index,
                        "accounts": list(one.instruction().accounts),
                        "data": base58(one.instruction().data),
                        "stackHeight": one.stack_height(),
                    }
                    for one in inner
                ],
            }
