"""Orders' transactions of every shape, in the recorded pools."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from solders.hash import Hash
from solders.instruction import Instruction
from solders.pubkey import Pubkey

from routing.solana.addresses import WRAPPED_SOL
from routing.solana.cpmm.instructions import PoolAt
from routing.solana.swap_amounts import exact_in, exact_out
from routing.solana.transactions.assembly import Costs, Tip, Trade, accounts_of, assemble
from routing.solana.transactions.legs import NATIVE_SOL, Asset, CpmmLeg, DlmmLeg, SwapLeg
from routing.solana.transactions.message import Blockhash
from tests.routing.solana.recorded import PAIR, POOL, USDC_MINT

SOL, USDC = 10**9, 10**6
RENT = 1_488_440
COSTS = Costs(unit_limit=200_000, unit_price=1_000)
TIP = Tip(Pubkey.new_unique(), 5_000)
BLOCK = Blockhash(Hash.new_unique(), 150)
USDC_ASSET = Asset(USDC_MINT)
WSOL_ASSET = Asset(WRAPPED_SOL)
OTHER = Asset(Pubkey.new_unique())
OTHER_POOL = PoolAt(Pubkey.new_unique(), replace(POOL.account, mint_0=USDC_MINT, mint_1=OTHER.mint))

SELL = exact_in(3 * SOL // 2, 149 * USDC)
BUY = exact_out(SOL, 150 * USDC)
SELL_ON_CPMM = CpmmLeg(POOL, SELL, from_0=True)
BUY_ON_CPMM = CpmmLeg(POOL, BUY, from_0=False)
SELL_ON_DLMM = DlmmLeg(PAIR, SELL, to_y=True, arrays=(-17, -18))
BUY_ON_DLMM = DlmmLeg(PAIR, BUY, to_y=False, arrays=(-17, -16))
SECOND_HOP = CpmmLeg(OTHER_POOL, exact_in(149 * USDC, 5), from_0=True)


@dataclass(frozen=True)
class Shape:
    gives: Asset
    takes: Asset
    legs: Sequence[SwapLeg]
    tip: Tip | None = TIP
    has_accounts: bool = False
    """Whether the wallet has held these tokens before."""

    def trade(self, wallet: Pubkey) -> Trade:
        first = [leg for leg in self.legs if leg.asset_in.mint == self.gives.mint]
        return Trade(wallet, self.gives, self.takes, sum(leg.amounts.amount_in for leg in first))

    def instructions(
        self,
        wallet: Pubkey,
        nonce: str = "0123456789abcdef",
        *,
        rent: int = RENT,
    ) -> list[Instruction]:
        costs, trade = replace(COSTS, tip=self.tip), self.trade(wallet)
        existing = set(accounts_of(trade, self.legs, nonce).values()) if self.has_accounts else ()
        return assemble(trade, self.legs, costs, nonce=nonce, rent=rent, existing=existing)


SHAPES = {
    "sell on CPMM": Shape(NATIVE_SOL, USDC_ASSET, [SELL_ON_CPMM]),
    "buy on CPMM": Shape(USDC_ASSET, NATIVE_SOL, [BUY_ON_CPMM]),
    "sell on DLMM": Shape(NATIVE_SOL, USDC_ASSET, [SELL_ON_DLMM]),
    "buy on DLMM": Shape(USDC_ASSET, NATIVE_SOL, [BUY_ON_DLMM]),
    "sell wrapped": Shape(WSOL_ASSET, USDC_ASSET, [SELL_ON_CPMM]),
    "sell on both": Shape(NATIVE_SOL, USDC_ASSET, [SELL_ON_CPMM, SELL_ON_DLMM]),
    "buy on both": Shape(USDC_ASSET, NATIVE_SOL, [BUY_ON_CPMM, BUY_ON_DLMM]),
    "two hops": Shape(NATIVE_SOL, OTHER, [SELL_ON_DLMM, SECOND_HOP], tip=None, has_accounts=True),
}
