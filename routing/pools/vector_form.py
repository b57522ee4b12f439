"""Reads files of vectors: swaps, and the on-chain programs' results for them.

A file is JSON with `cases` (one swap each), `sequences` (swap after swap on one pool), or both.
Integers may be strings. docs/pools.md describes the fields.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, TypeVar

from routing.pools.bins import Bin
from routing.pools.constant_product import ConstantProductPool, CreatorFeeOn, FeeRates
from routing.pools.liquidity_bins import LiquidityBinPool
from routing.pools.pool import Direction
from routing.pools.volatility import BinParameters, CollectFeeMode, Volatility

Fields = dict[str, Any]
AnyPool = ConstantProductPool | LiquidityBinPool
Choice = TypeVar("Choice", bound=IntEnum)

MOST_EXPONENT = 255
"""The program keeps the exponent in eight bits. A larger power would take for ever."""


class UnreadableVectors(Exception):
    """The file, or a part of it, does not have the right form. The message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Run:
    """A pool and the swaps on it, one after the other. A case has one swap."""

    name: str
    fields: Fields
    pools: Fields
    """The file's pools that have names."""

    @property
    def is_sequence(self) -> bool:
        return "steps" in self.fields

    def pool(self) -> AnyPool:
        """:raises UnreadableVectors: there is no pool, or none of a known form."""
        return read_pool(self.fields, self.pools)

    def swaps(self) -> list[tuple[str, Any]]:
        """Return the raw fields of the swaps, with a name for each."""
        if not self.is_sequence:
            return [(self.name, self.fields)]
        steps = _list(self.fields, "steps")
        return [(f"{self.name}, step {number}", step) for number, step in enumerate(steps)]


@dataclass(frozen=True, slots=True)
class VectorSwap:
    is_exact_in: bool
    amount: int
    direction: Direction
    now: int
    expected: Fields


def read_runs(path: Path) -> Iterator[Run]:
    """:raises UnreadableVectors: there is no such file, it is no JSON, or it holds no swaps."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UnreadableVectors(str(error)) from None
    except RecursionError:
        raise UnreadableVectors("it is nested too deeply") from None
    content = _object(content, "the file")
    cases, sequences = (_list(content, name, []) for name in ("cases", "sequences"))
    if not cases and not sequences:
        raise UnreadableVectors("there are neither cases nor sequences")
    pools = _object(content.get("pools", {}), "pools")
    for number, fields in enumerate(cases):
        case = _object(fields, f"case {number}")
        yield Run(f"case {case.get('id', number)}", case, pools)
    for number, fields in enumerate(sequences):
        sequence = _object(fields, f"sequence {number}")
        _list(sequence, "steps")
        yield Run(f"sequence {number}", sequence, pools)


def read_swap(fields: Any, pool: AnyPool) -> VectorSwap:
    """:raises UnreadableVectors: a field is missing or has no meaning."""
    fields = _object(fields, "the swap")
    kind = fields.get("kind")
    if kind not in ("exact_in", "exact_out"):
        raise UnreadableVectors(f"kind is {kind!r}, not exact_in or exact_out")
    expected = _object(fields.get("expected"), "expected")
    if not expected:
        raise UnreadableVectors("expected is empty")
    is_in_bins = isinstance(pool, LiquidityBinPool)
    forward = fields.get("swap_for_y") if is_in_bins else fields.get("zero_for_one", True)
    if not isinstance(forward, bool):
        raise UnreadableVectors(f"the direction is {forward!r}, not true or false")
    return VectorSwap(
        is_exact_in=kind == "exact_in",
        amount=_amount(fields, "amount"),
        direction=Direction.X_TO_Y if forward else Direction.Y_TO_X,
        now=_integer(fields, "now") if is_in_bins else 0,
        expected=expected,
    )


def read_pool(fields: Fields, pools: Fields) -> AnyPool:
    """Return the pool that a case or a sequence names, contains or is.

    :raises UnreadableVectors: there is no pool, or it has no known form.
    """
    if "pool" in fields:
        fields = _object(fields["pool"], "pool")
    elif "pool_name" in fields:
        name = str(fields["pool_name"])
        fields = _object(pools.get(name), f"pool {name}")
    if "bins" in fields:
        return _bin_pool(fields)
    if "vault_0" in fields:
        return _vault_pool(fields)
    if "input_reserve" in fields:
        return _reserve_pool(fields)
    raise UnreadableVectors("a pool has bins, vault_0 and vault_1, or input_ and output_reserve")


def _reserve_pool(fields: Fields) -> ConstantProductPool:
    """Return a pool of which only the reserves are given. The input is x, and no fees are owed."""
    on_input = _flag(fields, "creator_fee_on_input")
    return ConstantProductPool(
        vault_x=_amount(fields, "input_reserve"),
        vault_y=_amount(fields, "output_reserve"),
        rates=_rates(fields, CreatorFeeOn.INPUT if on_input else CreatorFeeOn.Y),
        enabled=_cpmm_swaps_are_enabled(fields),
    )


def _vault_pool(fields: Fields) -> ConstantProductPool:
    protocol_fees, fund_fees, creator_fees = (
        _pair(fields, name) for name in ("protocol_fee", "fund_fee", "creator_fee")
    )
    return ConstantProductPool(
        vault_x=_amount(fields, "vault_0"),
        vault_y=_amount(fields, "vault_1"),
        rates=_rates(fields, _choice(CreatorFeeOn, fields, "creator_fee_on")),
        protocol_fees_x=protocol_fees[0],
        protocol_fees_y=protocol_fees[1],
        fund_fees_x=fund_fees[0],
        fund_fees_y=fund_fees[1],
        creator_fees_x=creator_fees[0],
        creator_fees_y=creator_fees[1],
        enabled=_cpmm_swaps_are_enabled(fields),
    )


def _rates(fields: Fields, creator_fee_on: CreatorFeeOn) -> FeeRates:
    pays_creator = _flag(fields, "enable_creator_fee")
    return FeeRates(
        trade=_amount(fields, "trade_fee_rate"),
        protocol=_amount(fields, "protocol_fee_rate"),
        fund=_amount(fields, "fund_fee_rate"),
        creator=_amount(fields, "creator_fee_rate", 0) if pays_creator else 0,
        creator_fee_on=creator_fee_on,
    )


def _cpmm_swaps_are_enabled(fields: Fields) -> bool:
    return not _amount(fields, "status", 0) & 4  # the program's bit for swaps


def _bin_pool(fields: Fields) -> LiquidityBinPool:
    protocol_fees_x, protocol_fees_y = _pair(fields, "protocol_fee")
    return LiquidityBinPool(
        parameters=_parameters(fields),
        active_id=_integer(fields, "active_id"),
        volatility=_volatility(_object(fields.get("v"), "v")),
        bins=_bins(_list(fields, "bins")),
        protocol_fees_x=protocol_fees_x,
        protocol_fees_y=protocol_fees_y,
        enabled=_amount(fields, "status", 0) == 0,
    )


def _parameters(fields: Fields) -> BinParameters:
    return BinParameters(
        bin_step=_amount(fields, "bin_step"),
        base_factor=_amount(fields, "base_factor"),
        filter_period=_amount(fields, "filter_period"),
        decay_period=_amount(fields, "decay_period"),
        reduction_factor=_amount(fields, "reduction_factor"),
        variable_fee_control=_amount(fields, "variable_fee_control"),
        max_volatility_accumulator=_amount(fields, "max_volatility_accumulator"),
        protocol_share=_amount(fields, "protocol_share"),
        base_fee_power_factor=_exponent(fields, "base_fee_power_factor"),
        collect_fee_mode=_choice(CollectFeeMode, fields, "collect_fee_mode"),
    )


def _volatility(fields: Fields) -> Volatility:
    return Volatility(
        accumulator=_amount(fields, "volatility_accumulator"),
        reference=_amount(fields, "volatility_reference"),
        index_reference=_integer(fields, "index_reference"),
        last_update=_integer(fields, "last_update_timestamp"),
    )


def _bins(rows: list[Any]) -> tuple[Bin, ...]:
    bins = []
    for row in rows:
        if not isinstance(row, list) or len(row) != 3:
            raise UnreadableVectors(f"{row!r} is no bin: [id, amount of x, amount of y]")
        bins.append(Bin(*(to_integer(value, "a bin") for value in row)))
    bins.sort()
    if len({bin_.id for bin_ in bins}) < len(bins):
        raise UnreadableVectors("two bins have one id")
    if any(min(bin_.amount_x, bin_.amount_y) < 0 for bin_ in bins):
        raise UnreadableVectors("a bin has a negative amount")
    return tuple(bins)


def to_integer(value: Any, name: str) -> int:
    """:raises UnreadableVectors: it is neither an integer nor a string of one."""
    try:
        if isinstance(value, (int, str)) and not isinstance(value, bool):
            return int(value)
    except ValueError:
        pass  # the error below covers it
    raise UnreadableVectors(f"{name} is {value!r}, not an integer")


def _integer(fields: Fields, name: str, default: int | None = None) -> int:
    return to_integer(fields.get(name, default), name)


def _amount(fields: Fields, name: str, default: int | None = None) -> int:
    number = _integer(fields, name, default)
    if number < 0:
        raise UnreadableVectors(f"{name} is negative")
    return number


def _exponent(fields: Fields, name: str) -> int:
    number = _amount(fields, name, 0)
    if number > MOST_EXPONENT:
        raise UnreadableVectors(f"{name} is above {MOST_EXPONENT}")
    return number


def _flag(fields: Fields, name: str) -> bool:
    """Return a field that is true or false; without the field, true."""
    value = fields.get(name, True)
    if not isinstance(value, bool):
        raise UnreadableVectors(f"{name} is {value!r}, not true or false")
    return value


def _pair(fields: Fields, name: str) -> tuple[int, int]:
    values = _list(fields, name, [0, 0])
    if len(values) != 2:
        raise UnreadableVectors(f"{name} has {len(values)} amounts, not two")
    return to_integer(values[0], name), to_integer(values[1], name)


def _choice(choices: type[Choice], fields: Fields, name: str) -> Choice:
    number = _integer(fields, name, 0)
    try:
        return choices(number)
    except ValueError:
        raise UnreadableVectors(f"{name} is {number}, which has no meaning") from None


def _list(fields: Fields, name: str, default: list[Any] | None = None) -> list[Any]:
    value = fields.get(name, default)
    if not isinstance(value, list):
        raise UnreadableVectors(f"{name} is {'missing' if value is None else 'no list'}")
    return value


def _object(value: Any, name: str) -> Fields:
    if not isinstance(value, dict):
        raise UnreadableVectors(f"{name} is {'missing' if value is None else 'no object'}")
    return value
