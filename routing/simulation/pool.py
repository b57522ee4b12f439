"""A pool of the simulation: its venue and market, its state, and the form in which it is stored."""

from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import orjson

from routing.pools.bins import Bin
from routing.pools.constant_product import ConstantProductPool, CreatorFeeOn, FeeRates
from routing.pools.liquidity_bins import LiquidityBinPool
from routing.pools.pool import Direction
from routing.pools.volatility import BinParameters, CollectFeeMode, Volatility
from routing.tokens import Market
from routing.venue import Side

AnyPool = ConstantProductPool | LiquidityBinPool

CONSTANT_PRODUCT = "constant_product"
LIQUIDITY_BINS = "liquidity_bins"


class PoolKey(NamedTuple):
    """One venue's pool of one market, whose tokens are named by mint. The base token is x."""

    venue: str
    base: str
    quote: str

    @classmethod
    def of(cls, venue: str, market: Market) -> "PoolKey":
        return cls(venue, market.base.mint, market.quote.mint)


class Price(NamedTuple):
    """The price of base atoms: `quote_atoms` for `base_atoms`."""

    quote_atoms: int
    base_atoms: int


@dataclass(frozen=True, slots=True)
class SimulatedPool:
    key: PoolKey
    reference: Price
    """The market's reference price, around which its price wanders."""
    pool: AnyPool
    tick: int
    """The unix second to which the pool was brought."""
    version: int = 0
    """It grows by one with each stored change."""

    @property
    def kind(self) -> str:
        is_constant_product = isinstance(self.pool, ConstantProductPool)
        return CONSTANT_PRODUCT if is_constant_product else LIQUIDITY_BINS

    def state(self) -> dict[str, Any]:
        """Return everything except key, kind, tick and version, for orjson."""
        state = {field.name: getattr(self.pool, field.name) for field in fields(self.pool)}
        if isinstance(self.pool, LiquidityBinPool):
            # As one text: PostgreSQL would read hundreds of numbers at each landing.
            state["bins"] = orjson.dumps([tuple(bin_) for bin_ in self.pool.bins]).decode()
        # As text: a price's integers may be too long for JSON.
        return {"reference": [str(number) for number in self.reference], "pool": state}


def read_pool(key: PoolKey, kind: str, state: Any, tick: int, version: int) -> SimulatedPool:
    """Return a pool from its stored form."""
    quote_atoms, base_atoms = state["reference"]
    of_kind = _constant_product if kind == CONSTANT_PRODUCT else _liquidity_bins
    pool: AnyPool = of_kind(state["pool"])
    return SimulatedPool(key, Price(int(quote_atoms), int(base_atoms)), pool, tick, version)


def direction(side: Side) -> Direction:
    """Return the direction of a swap on this side: a sale gives base tokens, which are x."""
    return Direction.X_TO_Y if side is Side.SELL else Direction.Y_TO_X


def _constant_product(stored: dict[str, Any]) -> ConstantProductPool:
    rates = dict(stored["rates"])
    rates["creator_fee_on"] = CreatorFeeOn(rates["creator_fee_on"])
    return ConstantProductPool(**stored | {"rates": FeeRates(**rates)})


def _liquidity_bins(stored: dict[str, Any]) -> LiquidityBinPool:
    parameters = dict(stored["parameters"])
    parameters["collect_fee_mode"] = CollectFeeMode(parameters["collect_fee_mode"])
    return LiquidityBinPool(
        **stored
        | {
            "parameters": BinParameters(**parameters),
            "volatility": Volatility(**stored["volatility"]),
            "bins": tuple([Bin._make(numbers) for numbers in orjson.loads(stored["bins"])]),
        }
    )
