"""A wallet on a local cluster, its limits in memory, and what orders propose to it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from routing.solana.addresses import associated_token_account
from routing.solana.cpmm.accounts import read_pool
from routing.solana.cpmm.instructions import PoolAt
from routing.solana.networks import NetworkCheck
from routing.solana.rpc.answers import Simulation
from routing.solana.rpc.client import RpcClient
from routing.solana.rpc.network import SolanaNetwork
from routing.solana.rpc.provider import Provider
from routing.solana.swap_amounts import SwapAmounts, exact_in
from routing.solana.transactions.assembly import Trade
from routing.solana.transactions.costs import FeePolicy
from routing.solana.transactions.legs import NATIVE_SOL, Asset, CpmmLeg, SwapLeg
from routing.solana.wallet.permit import FeeLimits, Permit
from routing.solana.wallet.proposal import Proposal
from routing.solana.wallet.wallet import Terms, Wallet
from routing.solana.wallet.worth import Worth
from routing.venue import Bound, SigningHalted, WalletRefused
from tests.routing.cluster.swaps import market
from tests.routing.solana.signers import KeyInMemory
from tests.support.local_cluster import Client

SOL = 10**9
SOL_USDC = market("SOL/USDC")
TERMS = Terms(FeePolicy(least_price=10_000, most_lamports=100_000), least_lamports=SOL // 100)


@dataclass
class AllowanceInMemory:
    most: int = 10**15
    is_halted: bool = False
    halts_while_signing: bool = False
    reserved: list[int] = field(default_factory=list)
    confirmed: list[str] = field(default_factory=list)

    async def reserve(self, wallet: Pubkey, value: int) -> int:
        if self.is_halted:
            raise SigningHalted("halted")
        if sum(self.reserved) + value > self.most:
            raise WalletRefused("too much")
        self.reserved.append(value)
        self.is_halted = self.halts_while_signing
        return len(self.reserved)

    async def confirm(self, reservation: int, signature: str) -> None:
        if self.is_halted:
            raise SigningHalted("halted")
        self.confirmed.append(signature)


class HundredDollars:
    """A SOL is worth 100 USDC."""

    async def of(self, mint: Pubkey, atoms: int) -> int:
        return atoms // 10


@dataclass(frozen=True)
class TamperedLeg:
    """A leg whose venue makes another instruction than it should."""

    leg: CpmmLeg
    change: Callable[[Instruction], Instruction]

    @property
    def amounts(self) -> SwapAmounts:
        return self.leg.amounts

    @property
    def asset_in(self) -> Asset:
        return self.leg.asset_in

    @property
    def asset_out(self) -> Asset:
        return self.leg.asset_out

    def instruction(self, wallet: Pubkey, accounts: Mapping[Pubkey, Pubkey]) -> Instruction:
        return self.change(self.leg.instruction(wallet, accounts))


class LyingClient(RpcClient):
    """Its node tells of a simulation what `lie` makes of it."""

    def __init__(self, providers: Sequence[Provider], lie: Callable[[Simulation], Simulation]):
        super().__init__(providers)
        self._lie = lie

    async def simulate(self, payload: bytes, addresses: Sequence[Pubkey] = ()) -> Simulation:
        return self._lie(await super().simulate(payload, addresses))


@dataclass
class Desk:
    node: Client
    nodes: Iterable[str] = ("",)
    terms: Terms = TERMS
    worth: Worth | None = field(default_factory=HundredDollars)
    is_live: bool = False
    lie: Callable[[Simulation], Simulation] = lambda found: found

    def __post_init__(self) -> None:
        self.signer = KeyInMemory(self.node.wallet)
        self.allowance = AllowanceInMemory()
        providers = [Provider(self.node.url_of(one)) for one in self.nodes]
        self.client = LyingClient(providers, self.lie)
        self.network = SolanaNetwork(self.client, interval=0.01)
        self.wallet = Wallet(
            self.signer,
            client=self.client,
            blockhash=self.network.blockhash,
            network=NetworkCheck(self.client.providers, is_live=self.is_live),
            allowance=self.allowance,
            worth=self.worth,
            terms=self.terms,
        )

    async def close(self) -> None:
        await self.wallet.close()
        await self.network.close()

    async def leg(self, atoms: int = SOL, least: int = 1) -> CpmmLeg:
        """Return a sale of SOL for USDC in the CPMM pool."""
        pool = PoolAt(SOL_USDC.cpmm, read_pool(await self.node.data(SOL_USDC.cpmm)))
        return CpmmLeg(pool, exact_in(atoms, least), from_0=True)

    async def sale(self, atoms: int = SOL, least: int = 1, **more: Any) -> Proposal:
        leg = await self.leg(atoms, least)
        return self.proposal([leg], atoms, least, **more)

    def proposal(self, legs: Sequence[SwapLeg], atoms: int, least: int, **more: Any) -> Proposal:
        owner, usdc = self.node.owner, legs[0].asset_out
        permit = Permit(
            wallet=owner,
            gives=NATIVE_SOL,
            takes=usdc,
            amount_in=atoms,
            amount_out=None,
            bound=Bound(min_out=least),
            pools=frozenset({SOL_USDC.cpmm, SOL_USDC.pair}),
            fees=FeeLimits(0, 0),
        )
        trade = Trade(owner, NATIVE_SOL, usdc, atoms)
        rent = self.node.cluster.chain.machine.rent_for(165)
        existing = frozenset({associated_token_account(owner, usdc.mint)})
        return Proposal(trade, legs, permit, rent, existing, **more)

    async def tampered(self, change: Callable[[Instruction], Instruction]) -> Proposal:
        """Return a sale whose venue makes what `change` makes of its swap."""
        return self.proposal([TamperedLeg(await self.leg(), change)], SOL, 1)


def with_account(instruction: Instruction, place: int, key: Pubkey) -> Instruction:
    metas = list(instruction.accounts)
    metas[place] = AccountMeta(key, metas[place].is_signer, metas[place].is_writable)
    return Instruction(instruction.program_id, instruction.data, metas)
