"""What the wallet may still spend: asked before each signature, and answered for all workers."""

from typing import Protocol

from solders.pubkey import Pubkey


class Allowance(Protocol):
    """The limits, and whether the engine trades, at this moment."""

    async def reserve(self, wallet: Pubkey, value: int) -> int:
        """Count `value`, in atoms of USDC, against the limits. Return the reservation's number.

        It stays counted until the transaction is proven dead, or the day is over.

        :raises WalletRefused: a limit does not allow it. Nothing was counted.
        :raises SigningHalted: trading is halted. Nothing was counted.
        :raises VenueUnavailable: the limits cannot be asked. It may have been counted.
        """
        ...

    async def confirm(self, reservation: int, signature: str) -> None:
        """Note which transaction the reservation is for, before anything else learns of it.

        :raises SigningHalted: trading was halted meanwhile. The signature must not be used.
        :raises VenueUnavailable: it cannot be noted. The signature must not be used either.
        """
        ...
