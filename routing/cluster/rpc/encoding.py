"""Accounts and transactions as JSON."""

import base64
from typing import Any

from solders.account import Account
from solders.message import MessageV0
from solders.transaction import VersionedTransaction

from routing.base58 import base58
from routing.cluster.rpc.errors import UNSUPPORTED_VERSION, RpcError, invalid
from routing.cluster.rpc.parameters import Options

ACCOUNT_ENCODINGS = ("base64", "base58", "binary")
TRANSACTION_ENCODINGS = ("base64", "base58", "json")
NEVER = 2**64 - 1
"""The rent epoch of accounts that pay no rent, as all do."""

_MOST_IN_BASE58 = 128


def account_json(account: Account | None, options: Options) -> Any:
    """Return an account as JSON; None if there is none."""
    if account is None:
        return None
    encoding = options.encoding("binary", ACCOUNT_ENCODINGS)
    data = _slice(account.data, options.get("dataSlice"))
    return {
        "lamports": account.lamports,
        "owner": str(account.owner),
        "data": _encoded(data, encoding),
        "executable": account.executable,
        "rentEpoch": NEVER,
        "space": len(account.data),
    }


def transaction_json(transaction: VersionedTransaction, encoding: str) -> Any:
    if encoding == "json":
        return _message_json(transaction)
    return _encoded(bytes(transaction), encoding)


def version_json(transaction: VersionedTransaction, most: Any) -> int | str:
    """:raises RpcError: the reader cannot read this version."""
    if not isinstance(transaction.message, MessageV0):
        return "legacy"
    if most is None:
        raise RpcError(
            UNSUPPORTED_VERSION,
            "Transaction version (0) is not supported by the requesting client. Please try the "
            'request again with the following configuration parameter: "maxSupportedTransaction'
            'Version": 0',
        )
    return 0


def error_json(error: Any) -> dict[str, Any]:
    return {"Ok": None} if error is None else {"Err": error}


def _encoded(data: bytes, encoding: str) -> Any:
    if encoding == "base64":
        return [base64.b64encode(data).decode(), encoding]
    if len(data) > _MOST_IN_BASE58 and encoding == "binary":
        raise invalid(
            "Encoded binary (base 58) data should be less than 128 bytes, "
            "please use Base64 encoding."
        )
    text = base58(data)
    return text if encoding == "binary" else [text, encoding]


def _slice(data: bytes, wanted: Any) -> bytes:
    if wanted is None:
        return data
    try:
        start, length = int(wanted["offset"]), int(wanted["length"])
    except (KeyError, TypeError, ValueError):
        raise invalid("Invalid params: dataSlice has an offset and a length.") from None
    return data[start : start + length]


def _message_json(transaction: VersionedTransaction) -> dict[str, Any]:
    message, header = transaction.message, transaction.message.header
    told: dict[str, Any] = {
        "accountKeys": [str(key) for key in message.account_keys],
        "header": {
            "numRequiredSignatures": header.num_required_signatures,
            "numReadonlySignedAccounts": header.num_readonly_signed_accounts,
            "numReadonlyUnsignedAccounts": header.num_readonly_unsigned_accounts,
        },
        "recentBlockhash": str(message.recent_blockhash),
        "instructions": [
            {
                "programIdIndex": one.program_id_index,
                "accounts": list(one.accounts),
                "data": base58(one.data),
                "stackHeight": 1,
            }
            for one in message.instructions
        ],
    }
    if isinstance(message, MessageV0):
        told["addressTableLookups"] = [
            {
                "accountKey": str(one.account_key),
                "writableIndexes": list(one.writable_indexes),
                "readonlyIndexes": list(one.readonly_indexes),
            }
            for one in message.address_table_lookups
        ]
    return {"signatures": [str(one) for one in transaction.signatures], "message": told}
