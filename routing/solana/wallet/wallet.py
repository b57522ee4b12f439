"""The wallet: the only way from a message to a signature, through the checks."""

from collections.abc import Iterable

from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.message import MessageV0
from solders.pubkey import Pubkey

from routing.solana.transactions.message import Blockhash
from routing.solana.wallet.permit import Permit
from routing.solana.wallet.signer import Signer, sign_transaction
from routing.solana.wallet.structure import check_structure
from routing.venue import SignedTransaction


class Wallet:
    """Signs what an order asked, and nothing else."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    @property
    def address(self) -> Pubkey:
        return self._signer.wallet

    async def sign(
        self,
        message: MessageV0,
        permit: Permit,
        blockhash: Blockhash,
        tables: Iterable[AddressLookupTableAccount] = (),
    ) -> SignedTransaction:
        """Return the signed transaction.

        :raises TransactionForbidden: it is not what the order asked.
        :raises SignerUnavailable: there is no signature; trying again may help.
        :raises WrongSignature: the signature is not this wallet's.
        """
        check_structure(message, permit, tables)
        return await sign_transaction(message, self._signer, blockhash)

    async def close(self) -> None:
        await self._signer.close()

    def __repr__(self) -> str:
        return f"Wallet({self.address})"
