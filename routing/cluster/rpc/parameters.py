"""Reads the parameters of requests, and refuses others in the words of real nodes."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from routing.base58 import bytes_of_base58
from routing.cluster.rpc.errors import invalid

PROCESSED, CONFIRMED, FINALIZED = "processed", "confirmed", "finalized"
COMMITMENTS = (PROCESSED, CONFIRMED, FINALIZED)
MOST_BYTES = 1_232
"""Of a legacy or v0 transaction."""

_TRANSACTION = "solana_transaction::versioned::VersionedTransaction"
_V1_PREFIX = 0x81
_KINDS = (
    (bool, "boolean"),
    (int, "integer"),
    (float, "floating point"),
    (str, "string"),
    (list, "sequence"),
    (dict, "map"),
)


class Parameters:
    """The parameters of one request: some by place, and then an object with options."""

    def __init__(self, given: Any) -> None:
        """:raises RpcError: they are no list."""
        if given is None:
            given = []
        if not isinstance(given, list):
            raise invalid("Invalid params: invalid type: map, expected a sequence.")
        self._given: list[Any] = given

    def get(self, place: int) -> Any:
        return self._given[place] if place < len(self._given) else None

    def text(self, place: int) -> str:
        value = self._required(place)
        if not isinstance(value, str):
            raise invalid(f"Invalid params: invalid type: {_kind(value)}, expected a string.")
        return value

    def number(self, place: int) -> int:
        return to_number(self._required(place))

    def list(self, place: int, most: int) -> Sequence[Any]:
        value = self._required(place)
        if not isinstance(value, list):
            raise invalid(f"Invalid params: invalid type: {_kind(value)}, expected a sequence.")
        if len(value) > most:
            raise invalid(f"Too many inputs provided; max {most}")
        return value

    def options(self, place: int) -> "Options":
        value = self.get(place)
        if value is None:
            return Options({})
        if not isinstance(value, dict):
            raise invalid(f"Invalid params: invalid type: {_kind(value)}, expected an object.")
        return Options(value)

    def address(self, place: int) -> Pubkey:
        return to_address(self.text(place))

    def signature(self, place: int) -> str:
        return to_signature(self.text(place))

    def _required(self, place: int) -> Any:
        if place >= len(self._given):
            raise invalid("`params` should have at least " + _count(place + 1))
        return self._given[place]


class Options:
    """The object of options that comes last in a request."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given

    def get(self, name: str, default: Any = None) -> Any:
        value = self._given.get(name)
        return default if value is None else value

    def flag(self, name: str) -> bool:
        value = self.get(name, False)
        if not isinstance(value, bool):
            raise invalid(f"Invalid params: invalid type: {_kind(value)}, expected a boolean.")
        return value

    def number(self, name: str) -> int | None:
        value = self.get(name)
        return None if value is None else to_number(value)

    def commitment(self, name: str = "commitment", default: str = FINALIZED) -> str:
        value = self.get(name, default)
        if value not in COMMITMENTS:
            raise invalid(f"Invalid params: unknown variant `{value}`.")
        return str(value)

    def encoding(self, default: str, allowed: Sequence[str]) -> str:
        value = self.get("encoding", default)
        if value not in allowed:
            raise invalid(f"The local cluster has no encoding {value!r}, only {', '.join(allowed)}")
        return str(value)


def to_number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise invalid(f"Invalid params: invalid type: {_kind(value)}, expected u64.")
    return value


def to_address(text: Any) -> Pubkey:
    if not isinstance(text, str):
        raise invalid(f"Invalid params: invalid type: {_kind(text)}, expected a string.")
    data = _bytes_of(text)
    if len(data) != 32:
        raise invalid("Invalid param: WrongSize")
    return Pubkey(data)


def to_signature(text: Any) -> str:
    if not isinstance(text, str):
        raise invalid(f"Invalid params: invalid type: {_kind(text)}, expected a string.")
    data = _bytes_of(text)
    if len(data) != 64:
        raise invalid("Invalid param: WrongSize")
    return str(Signature(data))


def to_transaction(text: str, encoding: str) -> VersionedTransaction:
    """:raises RpcError: it is too long, or no transaction."""
    data = _decoded(text, encoding)
    if len(data) > MOST_BYTES:
        raise invalid(
            f"decoded {_TRANSACTION} too large: {len(data)} bytes (max: {MOST_BYTES} bytes)"
        )
    if data[:1] == bytes([_V1_PREFIX]):
        raise invalid("The local cluster takes legacy and v0 transactions, and not v1")
    try:
        transaction = VersionedTransaction.from_bytes(data)
        transaction.sanitize()
    except Exception as error:  # noqa: BLE001 solders raises several kinds, some of them its own
        raise invalid(f"failed to deserialize {_TRANSACTION}: {error}") from None
    return transaction


def _decoded(text: str, encoding: str) -> bytes:
    try:
        if encoding == "base64":
            return base64.b64decode(text, validate=True)
        return bytes_of_base58(text)
    except (binascii.Error, ValueError) as error:
        raise invalid(f"invalid {encoding} encoding: {error}") from None


def _bytes_of(text: str) -> bytes:
    if len(text) > 88:
        raise invalid("Invalid param: WrongSize")
    try:
        return bytes_of_base58(text)
    except ValueError:
        raise invalid("Invalid param: Invalid") from None


def _count(number: int) -> str:
    return f"{number} argument{'s' * (number > 1)}"


def _kind(value: Any) -> str:
    for kind, name in _KINDS:
        if isinstance(value, kind):
            return name
    return "null"
