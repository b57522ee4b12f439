"""Compares swaps: what our pools, made of the recorded accounts, say beside the programs."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from routing.pools.pool import Direction, Pool, SwapRefused
from routing.pools.vector_form import UnreadableVectors
from routing.solana.cpmm.accounts import read_pool
from routing.solana.cpmm.pools import pool_of
from routing.solana.dlmm.bin_arrays import StoredBin
from routing.solana.dlmm.lb_pair import read_lb_pair
from routing.solana.dlmm.pools import pool_of_bins
from routing.solana.vectors.accounts import Accounts
from routing.solana.vectors.form import (
    Comparison,
    Fields,
    as_bytes,
    as_integer,
    as_list,
    as_object,
    compared,
    differs,
)

KIND = "swaps"


def compare(entries: Any, accounts: Accounts) -> Iterator[Comparison]:
    for number, entry in enumerate(as_list(entries, "swaps")):
        fields = entry if isinstance(entry, dict) else {}
        name = f"swap {number} ({fields.get('venue')}, {fields.get('kind')})"
        yield compared(KIND, name, partial(_differences, entry, accounts))


def _differences(entry: Any, accounts: Accounts) -> Iterator[str]:
    fields = as_object(entry, "it")
    now = as_integer(fields.get("now"), "now")
    expected = as_object(fields.get("expected"), "expected")
    if not expected:
        raise UnreadableVectors("expected is empty")
    ours = _outcome(_pool(fields, now, accounts), fields, now)
    for name, value in expected.items():
        yield from differs(name, ours.get(name, "nothing"), str(value))
    if "error" in ours and "error" not in expected:
        yield f"it fails with {ours['error']}"


def _outcome(pool: Pool, fields: Fields, now: int) -> dict[str, str]:
    forward = fields.get("forward")
    if not isinstance(forward, bool):
        raise UnreadableVectors(f"forward is {forward!r}, not true or false")
    direction = Direction.X_TO_Y if forward else Direction.Y_TO_X
    amount = as_integer(fields.get("amount"), "amount")
    try:
        match fields.get("kind"):
            case "exact_in":
                fill = pool.quote_exact_in(amount, direction, now)
            case "exact_out":
                fill = pool.quote_exact_out(amount, direction, now)
            case kind:
                raise UnreadableVectors(f"kind is {kind!r}, not exact_in or exact_out")
    except SwapRefused as refused:
        return {"error": refused.code}
    return {"amount_in": str(fill.amount_in), "amount_out": str(fill.amount_out)}


def _pool(fields: Fields, now: int, accounts: Accounts) -> Pool:
    before = as_object(fields.get("before"), "before")
    match fields.get("venue"):
        case "cpmm":
            account = read_pool(as_bytes(before.get("pool"), "the pool"))
            return pool_of(
                account,
                accounts.config_of(account),
                vault_0=as_integer(before.get("vault_0"), "vault_0"),
                vault_1=as_integer(before.get("vault_1"), "vault_1"),
                now=now,
            )
        case "dlmm":
            pair = read_lb_pair(as_bytes(before.get("lb_pair"), "the pair"))
            bins = [_bin(row) for row in as_list(before.get("bins"), "bins")]
            return pool_of_bins(pair, bins, slot=0, now=now)
    raise UnreadableVectors(f"venue is {fields.get('venue')!r}, not cpmm or dlmm")


def _bin(row: Any) -> StoredBin:
    values = [as_integer(value, "a bin") for value in as_list(row, "a bin")]
    if len(values) not in (3, 6):
        raise UnreadableVectors("a bin is not [id, x, y] or [id, x, y, older, younger, side]")
    bin_id, amount_x, amount_y, *orders = values
    older, younger, side = orders or (0, 0, 0)
    return StoredBin(
        id=bin_id,
        amount_x=amount_x,
        amount_y=amount_y,
        price=0,
        supply=0,
        open_orders=younger,
        orders_in_process=older,
        rest_in_process=older,
        orders_sell_x=side != 0,
    )
