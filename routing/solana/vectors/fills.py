"""Compares fills: what a transaction's record says that its wallet gained and gave."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from routing.pools.vector_form import UnreadableVectors
from routing.solana.records.fills import NotTheWallets, moves_of
from routing.solana.records.record import UnreadableRecord, read_record
from routing.solana.vectors.form import (
    Comparison,
    as_integer,
    as_key,
    as_list,
    as_object,
    compared,
    differs,
)

KIND = "fills"


def compare(entries: Any) -> Iterator[Comparison]:
    for number, entry in enumerate(as_list(entries, "fills")):
        name = str(entry.get("name", "")) if isinstance(entry, dict) else ""
        yield compared(KIND, name or f"fill {number}", partial(_differences, entry))


def _differences(entry: Any) -> Iterator[str]:
    fields = as_object(entry, "it")
    keys = [as_key(one, "an account") for one in as_list(fields.get("account_keys"), "accounts")]
    expected = as_object(fields.get("moves"), "moves")
    try:
        record = read_record(keys, as_object(fields.get("meta"), "meta"))
        tip = as_integer(fields.get("tip", 0), "tip")
        moves = moves_of(record, as_key(fields.get("owner"), "owner"), tip)
    except (UnreadableRecord, NotTheWallets) as error:
        raise UnreadableVectors(str(error)) from error
    ours = {str(mint): amount for mint, amount in moves.by_mint.items()}
    recorded = {mint: as_integer(amount, mint) for mint, amount in expected.items()}
    for mint in sorted(ours.keys() | recorded.keys()):
        yield from differs(f"the move of {mint}", ours.get(mint, 0), recorded.get(mint, 0))
