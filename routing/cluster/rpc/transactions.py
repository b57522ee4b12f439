"""The methods that read transactions: statuses, records, an address's history."""

from typing import Any

from solders.message import MessageV0
from solders.transaction import VersionedTransaction

from routing.cluster.rpc.encoding import (
    TRANSACTION_ENCODINGS,
    error_json,
    transaction_json,
    version_json,
)
from routing.cluster.rpc.errors import invalid
from routing.cluster.rpc.faults import Kind
from routing.cluster.rpc.node import Node, with_context
from routing.cluster.rpc.parameters import (
    PROCESSED,
    Options,
    Parameters,
    to_number,
    to_signature,
)

MOST_STATUSES = 256
MOST_SIGNATURES = 1_000
RECENT_SLOTS = 300
"""So long a node has statuses at hand. Older ones are found by those who ask for the history."""


def get_signature_statuses(node: Node, given: Parameters) -> Any:
    signatures = [to_signature(text) for text in given.list(0, MOST_STATUSES)]
    history = given.options(1).flag("searchTransactionHistory")
    is_hidden = node.faults.hit("getSignatureStatuses", Kind.WRONG_NULL) is not None
    statuses = [None if is_hidden else _status(node, one, history) for one in signatures]
    return with_context(node.latest, statuses)


def get_transaction(node: Node, given: Parameters) -> Any:
    signature, options = given.signature(0), _options_or_encoding(given, 1)
    commitment = options.commitment()
    if commitment == PROCESSED:
        raise invalid("Method does not support commitment below `confirmed`")
    landed = node.landed(signature)
    if landed is None or landed.slot > node.block(commitment).slot:
        return None
    if node.faults.hit("getTransaction", Kind.WRONG_NULL):
        return None
    transaction = VersionedTransaction.from_bytes(landed.wire)
    version = version_json(transaction, options.get("maxSupportedTransactionVersion"))
    block = node.chain.store.block(landed.slot)
    meta = landed.record
    if not isinstance(transaction.message, MessageV0):
        meta = {name: value for name, value in meta.items() if name != "loadedAddresses"}
    encoding = options.encoding("json", TRANSACTION_ENCODINGS)
    return {
        "slot": landed.slot,
        "blockTime": block.time if block else None,
        "transaction": transaction_json(transaction, encoding),
        "meta": meta,
        "version": version,
    }


def get_signatures_for_address(node: Node, given: Parameters) -> Any:
    address, options = given.address(0), given.options(1)
    block = node.block_for(options)
    limit = min(to_number(options.get("limit", MOST_SIGNATURES)), MOST_SIGNATURES)
    mentions = node.chain.store.mentions(
        address, limit, options.get("before"), options.get("until"), block.slot
    )
    return [
        {
            "signature": one.signature,
            "slot": one.slot,
            "err": one.error,
            "memo": None,
            "blockTime": one.time,
            "confirmationStatus": node.confirmation(one.slot),
        }
        for one in mentions
    ]


def _status(node: Node, signature: str, history: bool) -> Any:
    landed = node.landed(signature)
    if landed is None or (not history and landed.slot < node.latest.slot - RECENT_SLOTS):
        return None
    confirmation = node.confirmation(landed.slot)
    is_final = confirmation != PROCESSED
    return {
        "slot": landed.slot,
        "confirmations": None if is_final else node.latest.slot - landed.slot,
        "err": landed.error,
        "status": error_json(landed.error),
        "confirmationStatus": confirmation,
    }


def _options_or_encoding(given: Parameters, place: int) -> Options:
    """Return the options; old clients send the encoding alone."""
    value = given.get(place)
    return Options({"encoding": value}) if isinstance(value, str) else given.options(place)
