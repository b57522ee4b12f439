"""What others paid lately for compute units, asked for once for all orders of a pool."""

from collections.abc import Sequence
from functools import partial

from solders.pubkey import Pubkey

from routing.solana.rpc.client import RpcClient
from routing.solana.rpc.provider import RpcError, RpcUnavailable
from routing.solana.rpc.shared import Shared

SECONDS = 5.0
"""How long an answer serves all orders in the same pools."""
_MOST_KEPT = 256


class UnitPrices:
    def __init__(self, client: RpcClient) -> None:
        self._client = client
        self._known: dict[tuple[Pubkey, ...], Shared[tuple[int, ...]]] = {}

    async def of(self, written: Sequence[Pubkey]) -> tuple[int, ...]:
        """Return what was paid to write these accounts, in micro-lamports for a unit, in any order.

        It is empty if no provider answers: then the least price holds, and a retry pays more.
        """
        key = tuple(written)
        if key not in self._known:
            if len(self._known) >= _MOST_KEPT:
                self._known.clear()
            self._known[key] = Shared(partial(self._client.priority_fees, key), SECONDS)
        try:
            return await self._known[key].get()
        except (RpcUnavailable, RpcError):
            return ()
