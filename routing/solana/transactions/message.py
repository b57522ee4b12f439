"""A transaction's message (version 0): what is signed. And its bytes with the signature."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.hash import Hash
from solders.instruction import AccountMeta, CompiledInstruction, Instruction
from solders.message import MessageV0, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import SanitizeError, VersionedTransaction

MOST_BYTES = 1_232
"""A transaction of version 0 has to fit into one packet."""

_SIGNATURE_BYTES = 64


class TransactionTooLarge(Exception):
    """The instructions do not fit into one transaction. The same ones never will."""


class UnreadableTransaction(Exception):
    """The bytes are no transaction of version 0. Reading the same bytes again does not help."""


class Blockhash(NamedTuple):
    """A recent block, and the last block height at which a transaction that names it may land."""

    hash: Hash
    expires_at_height: int


def message_of(
    payer: Pubkey,
    instructions: Sequence[Instruction],
    blockhash: Hash,
    tables: Sequence[AddressLookupTableAccount] = (),
) -> MessageV0:
    """Return the message that does these instructions in order. `payer` signs and pays.

    Addresses that a table has are written as one byte instead of 32.

    :raises TransactionTooLarge: it would have more bytes than a transaction may have.
    """
    message = MessageV0.try_compile(payer, list(instructions), list(tables), blockhash)
    size = signed_size(message)
    if size > MOST_BYTES:
        raise TransactionTooLarge(f"it has {size} bytes, and at most {MOST_BYTES} can be sent")
    return message


def signed_size(message: MessageV0) -> int:
    """Return how many bytes the message has once it is signed."""
    signatures = message.header.num_required_signatures
    return 1 + signatures * _SIGNATURE_BYTES + len(to_bytes_versioned(message))


def bytes_to_sign(message: MessageV0) -> bytes:
    return to_bytes_versioned(message)


def with_signature(message: MessageV0, signature: bytes) -> bytes:
    """Return the bytes to send."""
    transaction = VersionedTransaction.populate(message, [Signature(signature)])
    return bytes(transaction)


def read_transaction(payload: bytes) -> VersionedTransaction:
    """:raises UnreadableTransaction: the bytes are no transaction of version 0."""
    return _read(payload)[0]


def read_message(payload: bytes) -> MessageV0:
    """Return the message of a transaction's bytes.

    :raises UnreadableTransaction: the bytes are no transaction of version 0.
    """
    return _read(payload)[1]


def _read(payload: bytes) -> tuple[VersionedTransaction, MessageV0]:
    try:
        transaction = VersionedTransaction.from_bytes(payload)
        transaction.sanitize()
    except (ValueError, SanitizeError) as error:
        raise UnreadableTransaction(str(error)) from error
    message = transaction.message
    if not isinstance(message, MessageV0):
        raise UnreadableTransaction("it is of another version than 0")
    if bytes(transaction) != payload:
        raise UnreadableTransaction("there are bytes behind it")
    return transaction, message


def instructions_of(
    message: MessageV0, tables: Iterable[AddressLookupTableAccount] = ()
) -> list[Instruction]:
    """Return the instructions of a message, with every address as it stands in `tables`.

    :raises UnreadableTransaction: a table or an address that it names is missing.
    """
    accounts = _accounts_of(message, {table.key: table.addresses for table in tables})
    return [_instruction(one, accounts) for one in message.instructions]


def _accounts_of(message: MessageV0, tables: dict[Pubkey, Sequence[Pubkey]]) -> list[AccountMeta]:
    accounts = [
        AccountMeta(key, message.is_signer(place), message.is_maybe_writable(place))
        for place, key in enumerate(message.account_keys)
    ]
    looked_up: dict[bool, list[AccountMeta]] = {True: [], False: []}
    for lookup in message.address_table_lookups:
        addresses = tables.get(lookup.account_key)
        if addresses is None:
            raise UnreadableTransaction(f"it names the unknown table {lookup.account_key}")
        for is_writable, places in (
            (True, lookup.writable_indexes),
            (False, lookup.readonly_indexes),
        ):
            for place in places:
                if place >= len(addresses):
                    raise UnreadableTransaction(f"table {lookup.account_key} has no entry {place}")
                looked_up[is_writable].append(AccountMeta(addresses[place], False, is_writable))
    return accounts + looked_up[True] + looked_up[False]


def _instruction(compiled: CompiledInstruction, accounts: list[AccountMeta]) -> Instruction:
    places = [compiled.program_id_index, *compiled.accounts]
    if max(places) >= len(accounts):
        raise UnreadableTransaction("an instruction names an account that is not there")
    program, *named = (accounts[place] for place in places)
    return Instruction(program.pubkey, compiled.data, named)
