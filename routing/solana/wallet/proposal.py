"""What the wallet is asked to sign: an order's legs, what the order allows, and no bytes yet."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.hash import Hash
from solders.message import MessageV0
from solders.pubkey import Pubkey

from routing.solana.programs.compute_budget import MOST_UNITS
from routing.solana.transactions.assembly import (
    Costs,
    Tip,
    Trade,
    accounts_of,
    assemble,
    new_nonce,
    temporary_account,
)
from routing.solana.transactions.legs import SwapLeg
from routing.solana.transactions.message import message_of
from routing.solana.wallet.permit import Permit


@dataclass(frozen=True, slots=True)
class Proposal:
    """Legs and the order's permit. The wallet adds fees, a block and its signature.

    What the permit says of fees is not heeded: the operator's limits hold.
    """

    trade: Trade
    legs: Sequence[SwapLeg]
    permit: Permit
    rent: int
    """Lamports that a new token account needs."""
    existing: frozenset[Pubkey] = frozenset()
    """Accounts of the wallet that need not be made."""
    tables: Sequence[AddressLookupTableAccount] = ()
    attempt: int = 1
    """Each further attempt of an order pays more."""
    nonce: str = field(default_factory=new_nonce)

    def message(self, costs: Costs, blockhash: Hash) -> MessageV0:
        """Return the message at these costs, always with the same nonce.

        :raises TransactionTooLarge: it does not fit into one transaction.
        """
        parts = assemble(
            self.trade,
            self.legs,
            costs,
            nonce=self.nonce,
            rent=self.rent,
            existing=self.existing,
        )
        return message_of(self.trade.wallet, parts, blockhash, self.tables)

    def trial(self, tip: Tip | None) -> MessageV0:
        """Return the message to simulate: it may use all units, and pays nothing for them.

        :raises TransactionTooLarge: as `message`.
        """
        return self.message(Costs(MOST_UNITS, 0, tip), Hash.default())

    @property
    def own_accounts(self) -> list[Pubkey]:
        """The wallet and its accounts that may hold something before, after or meanwhile."""
        wallet = self.trade.wallet
        tokens = accounts_of(self.trade, self.legs, self.nonce).values()
        return list(dict.fromkeys([wallet, *tokens, temporary_account(wallet, self.nonce)]))
