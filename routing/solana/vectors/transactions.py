"""Compares a transaction: compiled and signed anew from its instructions, byte for byte."""

import base64
from collections.abc import Iterator
from functools import partial
from typing import Any

from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import MessageV0, from_bytes_versioned

from routing.pools.vector_form import UnreadableVectors
from routing.solana.transactions.message import (
    UnreadableTransaction,
    bytes_to_sign,
    instructions_of,
    message_of,
    with_signature,
)
from routing.solana.vectors.form import Comparison, as_bytes, as_hex, as_object, compared, differs

KIND = "transactions"


def compare(entries: Any) -> Iterator[Comparison]:
    """Compare one transaction, or a list of them."""
    for number, entry in enumerate(entries if isinstance(entries, list) else [entries]):
        yield compared(KIND, f"transaction {number}", partial(_differences, entry))


def _differences(entry: Any) -> Iterator[str]:
    fields = as_object(entry, "it")
    try:
        key = Keypair.from_seed(as_hex(fields.get("seed"), "the seed"))
        recorded = from_bytes_versioned(as_bytes(fields.get("message"), "the message"))
        blockhash = Hash.from_string(str(fields.get("blockhash")))
        if not isinstance(recorded, MessageV0):
            raise UnreadableVectors("its message is of another version than 0")
        message = message_of(key.pubkey(), instructions_of(recorded), blockhash)
    except (ValueError, UnreadableTransaction) as error:
        raise UnreadableVectors(f"it is no transaction: {error}") from error
    content = bytes_to_sign(message)
    signature = key.sign_message(content)
    wire = with_signature(message, bytes(signature))
    yield from differs("the public key", str(key.pubkey()), fields.get("public_key"))
    yield from differs("the message", _base64(content), fields.get("message"))
    yield from differs("the signature", str(signature), fields.get("signature"))
    yield from differs("the bytes to send", _base64(wire), fields.get("wire"))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
