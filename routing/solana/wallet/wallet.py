"""The wallet: the only way from an order's legs to a signature, through all checks."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import NamedTuple

from solders.pubkey import Pubkey

from routing.solana.networks import NetworkCheck
from routing.solana.rpc.client import RpcClient
from routing.solana.rpc.unit_prices import UnitPrices
from routing.solana.transactions.assembly import Costs, Tip
from routing.solana.transactions.costs import FeePolicy, costs_of
from routing.solana.transactions.message import Blockhash
from routing.solana.wallet.allowance import Allowance
from routing.solana.wallet.permit import FeeLimits, Permit
from routing.solana.wallet.proposal import Proposal
from routing.solana.wallet.signer import Signer, sign_transaction
from routing.solana.wallet.structure import check_structure
from routing.solana.wallet.trial import try_out
from routing.solana.wallet.worth import Worth
from routing.venue import InsufficientFunds, SignedTransaction

MOST_RENT = 2_039_280
"""Lamports for a token account, as much as it ever needed. A node that asks more is not believed.
"""


class Terms(NamedTuple):
    """What the operator allows for every transaction."""

    fees: FeePolicy
    tip: Tip | None = None
    least_lamports: int = 0
    """What the wallet keeps for fees."""

    @property
    def limits(self) -> FeeLimits:
        if self.tip is None:
            return FeeLimits(self.fees.most_lamports, MOST_RENT)
        receivers = frozenset({self.tip.receiver})
        return FeeLimits(self.fees.most_lamports, MOST_RENT, self.tip.lamports, receivers)


class Wallet:
    """Signs what an order asked, within the operator's limits, and nothing else.

    No other code has the signer, and each signature passes through `sign`.
    """

    def __init__(
        self,
        signer: Signer,
        *,
        client: RpcClient,
        blockhash: Callable[[], Awaitable[Blockhash]],
        network: NetworkCheck,
        allowance: Allowance,
        worth: Worth | None,
        terms: Terms,
    ) -> None:
        """`worth`: None where no limit of value is set, which only a local cluster may have."""
        self._signer = signer
        self._client = client
        self._blockhash = blockhash
        self._network = network
        self._allowance = allowance
        self._worth = worth
        self._terms = terms
        self._prices = UnitPrices(client)

    @property
    def address(self) -> Pubkey:
        return self._signer.wallet

    async def sign(self, proposal: Proposal) -> SignedTransaction:
        """Return the signed transaction of a proposal, or sign nothing.

        It is checked in structure, tried out, and checked in money. Then its costs and its block
        are set, the limits are asked, and it is signed.

        :raises TransactionForbidden: it is not what the order asked.
        :raises WalletRefused: an order or a day may not be worth so much.
        :raises ForbiddenNetwork: nothing may be signed for this network.
        :raises WrongSignature: the signature is not this wallet's.
        :raises SlippageExceeded, InsufficientFunds, InsufficientLiquidity: it would fail so.
        :raises VenueUnavailable: a passing fault: of a node, the signer or the database; or trading
            is halted.
        :raises NetworkUnavailable: there is no blockhash.
        :raises TransactionTooLarge: the legs do not fit into one transaction.
        """
        await self._network.check()
        permit = replace(proposal.permit, wallet=self.address, fees=self._terms.limits)
        costs = await self._tried(proposal, permit)
        value = await self._value(permit)
        blockhash = await self._blockhash()
        message = proposal.message(costs, blockhash.hash)
        check_structure(message, permit, proposal.tables)
        reservation = await self._allowance.reserve(self.address, value)
        signed = await sign_transaction(message, self._signer, blockhash)
        await self._allowance.confirm(reservation, signed.signature)
        return signed._replace(costs=costs.as_told())

    async def close(self) -> None:
        await self._signer.close()

    def __repr__(self) -> str:
        return f"Wallet({self.address})"

    async def _tried(self, proposal: Proposal, permit: Permit) -> Costs:
        """Return the costs that a trial shows to be right."""
        tip = self._terms.tip
        message = proposal.trial(tip)
        check_structure(message, permit, proposal.tables)
        trial = await try_out(self._client, proposal, message, permit)
        paid = await self._prices.of(
            sorted(permit.pools.intersection(message.account_keys), key=bytes)
        )
        costs = costs_of(trial.units, paid, self._terms.fees, attempt=proposal.attempt, tip=tip)
        left, least = trial.lamports - costs.priority_fee, self._terms.least_lamports
        if left < least:
            raise InsufficientFunds(
                f"the wallet would keep {left} lamports for fees, and is to keep {least}"
            )
        return costs

    async def _value(self, permit: Permit) -> int:
        """Return what the wallet gives at most, in atoms of USDC."""
        if self._worth is None:
            return 0
        return await self._worth.of(permit.gives.mint, permit.most_in)
