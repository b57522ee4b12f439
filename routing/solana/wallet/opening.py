"""How a worker comes by its signer: a key in a file, or a service that signs."""

from pathlib import Path
from typing import NamedTuple

from solders.pubkey import Pubkey

from routing.solana.wallet.key_file import KeyInFile, UnusableKey
from routing.solana.wallet.remote import RemoteSigner
from routing.solana.wallet.signer import Signer


class RemoteKey(NamedTuple):
    """A signer somewhere else, and the wallet that it signs for."""

    url: str
    wallet: str
    token: str = ""

    def __repr__(self) -> str:
        return f"RemoteKey(wallet={self.wallet})"


def address_of(text: str) -> Pubkey:
    """:raises UnusableKey: it is no address."""
    try:
        return Pubkey.from_string(text)
    except ValueError:
        raise UnusableKey(f"{text} is no address of Solana") from None


def open_signer(key_file: Path | None, remote: RemoteKey | None, wallet: str = "") -> Signer:
    """Return the signer. `wallet`: the address that the operator expects, if one is named.

    :raises UnusableKey: the file is no key, or one of another wallet; or there is no signer.
    :raises UnusableSigner: the address of the remote signer cannot be used.
    """
    if remote is not None:
        return RemoteSigner(remote.url, address_of(remote.wallet), token=remote.token)
    if key_file is None:
        raise UnusableKey("there is neither a key file nor a remote signer")
    signer = KeyInFile(key_file)
    if wallet and str(signer.wallet) != wallet:
        raise UnusableKey(f"{key_file} is the key of {signer.wallet}, and not of {wallet}")
    return signer
