"""What an order lets its transaction do. Everything else is forbidden."""

from dataclasses import dataclass
from typing import NamedTuple

from solders.pubkey import Pubkey

from routing.solana.addresses import CPMM_PROGRAM, DLMM_PROGRAM
from routing.solana.transactions.legs import Asset
from routing.venue import Bound, WalletRefused


class FeeLimits(NamedTuple):
    """Lamports, beside the fee for the signature."""

    priority_fee: int
    rent: int
    """For one token account."""
    tip: int = 0
    tip_receivers: frozenset[Pubkey] = frozenset()


@dataclass(frozen=True, slots=True)
class Permit:
    """What one order asked, and the limits of the engine for every order.

    Exactly one of `amount_in` and `amount_out` is given, in atoms; `bound` is of the other.
    """

    wallet: Pubkey
    gives: Asset
    takes: Asset
    amount_in: int | None
    amount_out: int | None
    bound: Bound
    pools: frozenset[Pubkey]
    """The pools that it may trade in: those that the operator has added."""
    fees: FeeLimits
    cpmm_program: Pubkey = CPMM_PROGRAM
    dlmm_program: Pubkey = DLMM_PROGRAM

    @property
    def most_in(self) -> int:
        """The most atoms that the order may give; 0 if it said nothing."""
        given = self.amount_in if self.amount_in is not None else self.bound.max_in
        return given or 0

    @property
    def least_out(self) -> int:
        """The least atoms that the order must gain; 0 if it said nothing."""
        least = self.amount_out if self.amount_out is not None else self.bound.min_out
        return least or 0


class TransactionForbidden(WalletRefused):
    """The transaction would do something that its order did not ask. It is never signed.

    This is a fault of ours or of a provider. The same transaction stays forbidden.
    """
