"""Address tables: accounts whose addresses a transaction may name by one byte each."""

from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.pubkey import Pubkey

from routing.solana.layout import Layout, UnreadableAccount

_HEAD = 56
_IS_TABLE = 1
_NEVER = 2**64 - 1
_KEY = 32


def read_address_table(address: Pubkey, data: bytes) -> AddressLookupTableAccount:
    """Return the table that stands at `address`.

    :raises UnreadableAccount: the bytes are no table, or one that is being closed.
    """
    layout = Layout(data, "an address table", _HEAD)
    if layout.u32(0) != _IS_TABLE or (len(data) - _HEAD) % _KEY:
        raise UnreadableAccount("the account is no address table")
    if layout.u64(4) != _NEVER:
        raise UnreadableAccount("the address table is being closed")
    addresses = [layout.key(place) for place in range(_HEAD, len(data), _KEY)]
    return AddressLookupTableAccount(address, addresses)
