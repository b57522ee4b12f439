"""The filters of getProgramAccounts: a size, and bytes at a place."""

import base64
import binascii
from collections.abc import Callable
from typing import Any

from routing.base58 import bytes_of_base58
from routing.cluster.rpc.errors import invalid
from routing.cluster.rpc.parameters import to_number

MOST_FILTERS = 4

Filter = Callable[[bytes], bool]


def wanted(filters: Any) -> Filter:
    """Return whether an account's data passes all filters.

    :raises RpcError: a filter has another form.
    """
    if not isinstance(filters, list) or len(filters) > MOST_FILTERS:
        raise invalid(f"Invalid params: filters are a list of at most {MOST_FILTERS}.")
    checks = [_filter(one) for one in filters]
    return lambda data: all(check(data) for check in checks)


def _filter(given: Any) -> Filter:
    if not isinstance(given, dict) or len(given) != 1:
        raise invalid("Invalid params: a filter has a dataSize or a memcmp.")
    if "dataSize" in given:
        size = to_number(given["dataSize"])
        return lambda data: len(data) == size
    if not isinstance(given.get("memcmp"), dict):
        raise invalid("Invalid params: a filter has a dataSize or a memcmp.")
    place, expected = to_number(given["memcmp"].get("offset")), _bytes(given["memcmp"])
    return lambda data: data[place : place + len(expected)] == expected


def _bytes(memcmp: dict[str, Any]) -> bytes:
    text, encoding = memcmp.get("bytes"), memcmp.get("encoding", "base58")
    if not isinstance(text, str) or encoding not in ("base58", "base64"):
        raise invalid("Invalid params: memcmp has bytes in base58 or base64.")
    try:
        if encoding == "base64":
            return base64.b64decode(text, validate=True)
        return bytes_of_base58(text)
    except (binascii.Error, ValueError) as error:
        raise invalid(f"Invalid param: {error}") from None
