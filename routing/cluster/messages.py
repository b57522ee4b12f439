"""Reads a transaction's message: its keys with those of address tables, and its instructions."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from solders.account import Account
from solders.instruction import AccountMeta, Instruction
from solders.message import Message, MessageV0, MessageV1
from solders.pubkey import Pubkey

from routing.solana.addresses import COMPUTE_BUDGET_PROGRAM, SYSTEM_PROGRAM
from routing.solana.programs.compute_budget import (
    LAMPORTS_PER_SIGNATURE,
    LIMIT_TAG,
    MOST_UNITS,
    PRICE_TAG,
    priority_fee,
)

Reads = Callable[[Pubkey], Account | None]

ADDRESS_TABLES = Pubkey.from_string("AddressLookupTab1e1111111111111111111111111")

_TABLE_HEADER = 56
_UNITS_AN_INSTRUCTION = 200_000
_USUAL_UNITS = {SYSTEM_PROGRAM: 3_000, COMPUTE_BUDGET_PROGRAM: 3_000}
"""Of programs that are part of the runtime, and cost little (SIMD-0170)."""


class NotLoaded(Exception):
    """An address table of the message has not what it should have. `code` is the chain's word."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Loaded(NamedTuple):
    """A message whose address tables were read. `keys` has all addresses, in the chain's order."""

    keys: tuple[Pubkey, ...]
    signers: int
    """How many of the first keys sign."""
    writable: frozenset[int]
    loaded_writable: tuple[Pubkey, ...]
    loaded_readonly: tuple[Pubkey, ...]
    instructions: tuple[Instruction, ...]

    @property
    def payer(self) -> Pubkey:
        return self.keys[0]

    @property
    def writable_keys(self) -> list[Pubkey]:
        return [self.keys[number] for number in sorted(self.writable)]


def load(message: Message | MessageV0 | MessageV1, accounts: Reads) -> Loaded:
    """Return the message with all its addresses.

    :raises NotLoaded: an address table is missing, is none, or is too short.
    """
    writable_ones: list[Pubkey] = []
    readonly_ones: list[Pubkey] = []
    for lookup in message.address_table_lookups if isinstance(message, MessageV0) else ():
        table = _addresses_of(accounts(lookup.account_key))
        try:
            writable_ones += [table[number] for number in lookup.writable_indexes]
            readonly_ones += [table[number] for number in lookup.readonly_indexes]
        except IndexError:
            raise NotLoaded("InvalidAddressLookupTableIndex") from None
    static = message.account_keys
    keys = (*static, *writable_ones, *readonly_ones)
    header = message.header
    signers = header.num_required_signatures
    writable = [
        *range(signers - header.num_readonly_signed_accounts),
        *range(signers, len(static) - header.num_readonly_unsigned_accounts),
        *range(len(static), len(static) + len(writable_ones)),
    ]
    loaded = Loaded(
        keys, signers, frozenset(writable), tuple(writable_ones), tuple(readonly_ones), ()
    )
    return loaded._replace(instructions=tuple(_instructions(message, loaded)))


def compute_limit(loaded: Loaded) -> int:
    """Return the compute units that the message may use: its own limit, or the usual one."""
    own = own_limit(loaded)
    if own is not None:
        return min(own, MOST_UNITS)
    programs = [instruction.program_id for instruction in loaded.instructions]
    return min(sum(_USUAL_UNITS.get(one, _UNITS_AN_INSTRUCTION) for one in programs), MOST_UNITS)


def own_limit(loaded: Loaded) -> int | None:
    """Return the limit that the message sets itself, in compute units."""
    return _budget(loaded, LIMIT_TAG, 4)


def compute_price(loaded: Loaded) -> int:
    """Return the price of a compute unit in millionths of a lamport."""
    return _budget(loaded, PRICE_TAG, 8) or 0


def fee_of(loaded: Loaded) -> int:
    """Return what the chain takes for the message, in lamports: the limit is paid, not the use."""
    priority = priority_fee(compute_limit(loaded), compute_price(loaded))
    return loaded.signers * LAMPORTS_PER_SIGNATURE + priority


def _budget(loaded: Loaded, tag: int, size: int) -> int | None:
    """Return the number in the compute budget's instruction of this kind."""
    for instruction in loaded.instructions:
        data = bytes(instruction.data)
        if instruction.program_id == COMPUTE_BUDGET_PROGRAM and data[:1] == bytes([tag]):
            return int.from_bytes(data[1 : 1 + size], "little")
    return None


def _addresses_of(table: Account | None) -> list[Pubkey]:
    if table is None:
        raise NotLoaded("AddressLookupTableNotFound")
    if table.owner != ADDRESS_TABLES:
        raise NotLoaded("InvalidAddressLookupTableOwner")
    data = table.data
    if len(data) < _TABLE_HEADER or data[:4] != b"\x01\0\0\0":
        raise NotLoaded("InvalidAddressLookupTableData")
    return [Pubkey(data[place : place + 32]) for place in range(_TABLE_HEADER, len(data) - 31, 32)]


def _instructions(
    message: Message | MessageV0 | MessageV1, loaded: Loaded
) -> Iterator[Instruction]:
    for compiled in message.instructions:
        metas = [
            AccountMeta(loaded.keys[number], number < loaded.signers, number in loaded.writable)
            for number in compiled.accounts
        ]
        yield Instruction(loaded.keys[compiled.program_id_index], compiled.data, metas)
