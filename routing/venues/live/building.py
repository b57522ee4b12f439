"""Builds the transactions of live venues: what an order asks, in the pools of its route.

The wallet tries it out, prices it and signs it.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from solders.pubkey import Pubkey

from routing.solana.addresses import WRAPPED_SOL, associated_token_account
from routing.solana.reading.known import direction_of
from routing.solana.reading.memory import PoolsInMemory
from routing.solana.reading.seen_pools import ARRAYS_IN_A_LEG
from routing.solana.records.agreement import Agreement, Promised
from routing.solana.rpc.client import RpcClient
from routing.solana.rpc.provider import RpcError, RpcUnavailable
from routing.solana.rpc.shared import Shared
from routing.solana.token_accounts import TOKEN_ACCOUNT_SIZE
from routing.solana.transactions.assembly import Trade
from routing.solana.transactions.leg_amounts import leg_amounts
from routing.solana.transactions.legs import Asset, SwapLeg
from routing.solana.transactions.message import TransactionTooLarge
from routing.solana.wallet.permit import FeeLimits, Permit
from routing.solana.wallet.proposal import Proposal
from routing.solana.wallet.wallet import Wallet
from routing.tokens import Token
from routing.venue import (
    Bound,
    InsufficientLiquidity,
    Leg,
    NetworkUnavailable,
    SignedTransaction,
    Swap,
    UnsupportedToken,
    VenueUnavailable,
)

RENT_SECONDS = 600.0


class Builder:
    """Builds for one wallet. For one asyncio loop."""

    def __init__(
        self,
        client: RpcClient,
        pools: PoolsInMemory,
        wallet: Wallet,
        agreement: Agreement | None = None,
    ) -> None:
        """`agreement` remembers what each transaction was calculated on."""
        self._client = client
        self._pools = pools
        self._wallet = wallet
        self._agreement = agreement
        self._rent = Shared(lambda: client.rent(TOKEN_ACCOUNT_SIZE), RENT_SECONDS)
        self._existing: set[Pubkey] = set()
        """Token accounts of the wallet that were seen: they stay, as only their owner closes them.
        """

    async def build(
        self, swap: Swap, legs: Sequence[Leg], bound: Bound, attempt: int = 1
    ) -> SignedTransaction:
        """See `Venue.build`."""
        try:
            return await self._build(swap, legs, bound, attempt)
        except (RpcUnavailable, RpcError, NetworkUnavailable) as error:
            raise VenueUnavailable(f"the transaction cannot be built: {error}") from error
        except TransactionTooLarge as error:
            raise InsufficientLiquidity(f"the route is too long: {error}") from error

    async def close(self) -> None:
        await self._rent.close()
        await self._wallet.close()

    async def _build(
        self, swap: Swap, legs: Sequence[Leg], bound: Bound, attempt: int
    ) -> SignedTransaction:
        promised = await self._promised(swap, legs, bound)
        signed = await self._signed(swap, promised, bound, attempt)
        if self._agreement is not None:
            self._agreement.remember(signed.signature, promised)
        return signed

    async def _signed(
        self, swap: Swap, promised: Sequence[Promised], bound: Bound, attempt: int
    ) -> SignedTransaction:
        """Sign with as many bin arrays as fit: one too few makes a swap fail in its trial.

        :raises TransactionTooLarge: it does not fit with one array a leg.
        """
        for arrays in range(ARRAYS_IN_A_LEG, 1, -1):
            with suppress(TransactionTooLarge):
                return await self._sign(swap, promised, bound, attempt, arrays)
        return await self._sign(swap, promised, bound, attempt, 1)

    async def _sign(
        self, swap: Swap, promised: Sequence[Promised], bound: Bound, attempt: int, arrays: int
    ) -> SignedTransaction:
        swaps = [one.pool.leg(one.amounts, one.direction, arrays) for one in promised]
        proposal = await self._proposal(swap, swaps, bound)
        return await self._wallet.sign(replace(proposal, attempt=attempt))

    async def _promised(self, swap: Swap, legs: Sequence[Leg], bound: Bound) -> Sequence[Promised]:
        """Return what each leg has to trade, and its pool as it is now."""
        places = [_place(leg) for leg in legs]
        pools = await self._pools.usable(places)
        promised = []
        for leg, place, amounts in zip(legs, places, leg_amounts(swap, legs, bound), strict=True):
            own = leg.swap or swap
            way = direction_of(pools[place], own.market, own.side)
            promised.append(Promised(pools[place], amounts, way))
        return promised

    async def _proposal(self, swap: Swap, legs: Sequence[SwapLeg], bound: Bound) -> Proposal:
        gives = _asset(legs[0].asset_in, swap.token_in)
        takes = _asset(legs[-1].asset_out, swap.token_out)
        wallet, rent = self._wallet.address, await self._rent.get()
        most = swap.amount_in if swap.amount_in is not None else bound.max_in
        permit = Permit(
            wallet=wallet,
            gives=gives,
            takes=takes,
            amount_in=swap.amount_in,
            amount_out=swap.amount_out,
            bound=bound,
            pools=self._pools.addresses,
            fees=FeeLimits(priority_fee=0, rent=rent),  # the wallet has its own
        )
        existing = await self._of_wallet({leg.asset_out for leg in legs})
        trade = Trade(wallet, gives, takes, most or 0)
        return Proposal(trade, legs, permit, rent=rent, existing=existing)

    async def _of_wallet(self, assets: set[Asset]) -> frozenset[Pubkey]:
        """Return which of the wallet's accounts for these need not be made."""
        wallet = self._wallet.address
        wanted = {associated_token_account(wallet, one.mint, one.token_program) for one in assets}
        if unknown := sorted(wanted - self._existing, key=bytes):
            states = (await self._client.accounts(unknown)).states
            self._existing |= {
                place for place, state in zip(unknown, states, strict=True) if state is not None
            }
        return frozenset(wanted & self._existing)


def _place(leg: Leg) -> Pubkey:
    """:raises UnsupportedToken: the leg names no live pool, as those of a simulation."""
    name = leg.pool or leg.quote.pool
    try:
        return Pubkey.from_string(name)
    except ValueError as error:
        raise UnsupportedToken(f"{name or 'a pool without a name'} is no live pool") from error


def _asset(asset: Asset, token: Token) -> Asset:
    return asset._replace(is_native=token.is_native and asset.mint == WRAPPED_SOL)
