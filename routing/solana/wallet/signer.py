"""What signs, wherever its key is, and a transaction that it has signed."""

from typing import Protocol

from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature

from routing.solana.transactions.message import Blockhash, bytes_to_sign, with_signature
from routing.venue import SignedTransaction, VenueUnavailable, WalletRefused


class SignerUnavailable(VenueUnavailable):
    """The signer gave no signature. Nothing was sent, and trying again may help."""


class WrongSignature(WalletRefused):
    """What the signer gave is not its wallet's signature of the message. Nothing was sent."""


class Signer(Protocol):
    @property
    def wallet(self) -> Pubkey:
        """The address whose signatures it makes."""
        ...

    async def sign(self, message: bytes) -> bytes:
        """Return the wallet's signature of `message`, 64 bytes.

        :raises SignerUnavailable: there is none.
        """
        ...

    async def close(self) -> None:
        """Close all connections. Signing again opens new ones."""
        ...


async def sign_transaction(
    message: MessageV0, signer: Signer, blockhash: Blockhash
) -> SignedTransaction:
    """Return the signed transaction, whose signature is known before anything is sent.

    :raises SignerUnavailable: the signer gave no signature.
    :raises WrongSignature: it gave another one, or the message is another wallet's.
    """
    content = bytes_to_sign(message)
    if message.header.num_required_signatures != 1 or message.account_keys[0] != signer.wallet:
        raise WrongSignature("the message does not ask for this wallet's signature alone")
    if message.recent_blockhash != blockhash.hash:
        raise WrongSignature("the message names another block than the one it expires with")
    signature = await signer.sign(content)
    if len(signature) != Signature.LENGTH or not Signature(signature).verify(
        signer.wallet, content
    ):
        raise WrongSignature("the signature is not this wallet's of this message")
    payload = with_signature(message, signature)
    return SignedTransaction(str(Signature(signature)), payload, blockhash.expires_at_height)
