"""The accounts of a CPMM pool, read from their bytes."""

from dataclasses import dataclass
from typing import NamedTuple

from solders.pubkey import Pubkey

from routing.solana.layout import Layout, discriminator_of_account

POOL_SIZE = 637
CONFIG_SIZE = 236
OBSERVATION_SIZE = 4_075
POOL_DISCRIMINATOR = discriminator_of_account("PoolState")
CONFIG_DISCRIMINATOR = discriminator_of_account("AmmConfig")
OBSERVATION_DISCRIMINATOR = discriminator_of_account("ObservationState")

SWAPS_ARE_OFF = 4
"""The bit of `status` that closes the pool for swaps."""

_OBSERVATION_PLACE = 43
_OBSERVATION_ENTRY = 40
_OBSERVATIONS = 100


@dataclass(frozen=True, slots=True)
class PoolAccount:
    """A pool's own account. Amounts are atoms; token 0 has the smaller mint, by bytes."""

    config: Pubkey
    creator: Pubkey
    vault_0: Pubkey
    vault_1: Pubkey
    lp_mint: Pubkey
    mint_0: Pubkey
    mint_1: Pubkey
    token_program_0: Pubkey
    token_program_1: Pubkey
    observation: Pubkey
    authority_bump: int
    status: int
    lp_decimals: int
    decimals_0: int
    decimals_1: int
    lp_supply: int
    protocol_fees_0: int
    protocol_fees_1: int
    fund_fees_0: int
    fund_fees_1: int
    open_time: int
    """Unix seconds. Before it no swap is taken."""
    epoch: int
    creator_fee_on: int
    pays_creator: bool
    creator_fees_0: int
    creator_fees_1: int

    @property
    def takes_swaps(self) -> bool:
        """Whether its status allows swaps; it may still not be open."""
        return not self.status & SWAPS_ARE_OFF


@dataclass(frozen=True, slots=True)
class ConfigAccount:
    """The rates that many pools share, in millionths: see `routing.pools.constant_product`."""

    bump: int
    makes_no_pools: bool
    index: int
    trade_rate: int
    protocol_rate: int
    fund_rate: int
    creation_fee: int
    """Lamports for each new pool."""
    protocol_owner: Pubkey
    fund_owner: Pubkey
    creator_rate: int


class Observation(NamedTuple):
    """Prices times seconds up to `time` (unix seconds), as sums, times 2 ** 32."""

    time: int
    sum_0: int
    sum_1: int


@dataclass(frozen=True, slots=True)
class ObservationAccount:
    """The pool's own price history. A swap names it, and a quote does not need it."""

    is_initialized: bool
    last_index: int
    pool: Pubkey
    observations: tuple[Observation, ...]


def read_pool(data: bytes) -> PoolAccount:
    """:raises UnreadableAccount: the bytes are no CPMM pool."""
    layout = Layout(data, "a CPMM pool", POOL_SIZE, POOL_DISCRIMINATOR)
    return PoolAccount(
        config=layout.key(8),
        creator=layout.key(40),
        vault_0=layout.key(72),
        vault_1=layout.key(104),
        lp_mint=layout.key(136),
        mint_0=layout.key(168),
        mint_1=layout.key(200),
        token_program_0=layout.key(232),
        token_program_1=layout.key(264),
        observation=layout.key(296),
        authority_bump=layout.u8(328),
        status=layout.u8(329),
        lp_decimals=layout.u8(330),
        decimals_0=layout.u8(331),
        decimals_1=layout.u8(332),
        lp_supply=layout.u64(333),
        protocol_fees_0=layout.u64(341),
        protocol_fees_1=layout.u64(349),
        fund_fees_0=layout.u64(357),
        fund_fees_1=layout.u64(365),
        open_time=layout.u64(373),
        epoch=layout.u64(381),
        creator_fee_on=layout.u8(389),
        pays_creator=layout.u8(390) != 0,
        creator_fees_0=layout.u64(397),
        creator_fees_1=layout.u64(405),
    )


def read_config(data: bytes) -> ConfigAccount:
    """:raises UnreadableAccount: the bytes are no CPMM config."""
    layout = Layout(data, "a CPMM config", CONFIG_SIZE, CONFIG_DISCRIMINATOR)
    return ConfigAccount(
        bump=layout.u8(8),
        makes_no_pools=layout.u8(9) != 0,
        index=layout.u16(10),
        trade_rate=layout.u64(12),
        protocol_rate=layout.u64(20),
        fund_rate=layout.u64(28),
        creation_fee=layout.u64(36),
        protocol_owner=layout.key(44),
        fund_owner=layout.key(76),
        creator_rate=layout.u64(108),
    )


def read_observation(data: bytes) -> ObservationAccount:
    """:raises UnreadableAccount: the bytes are no CPMM observation."""
    size, discriminator = OBSERVATION_SIZE, OBSERVATION_DISCRIMINATOR
    layout = Layout(data, "a CPMM observation", size, discriminator)
    starts = (_OBSERVATION_PLACE + one * _OBSERVATION_ENTRY for one in range(_OBSERVATIONS))
    return ObservationAccount(
        is_initialized=layout.u8(8) != 0,
        last_index=layout.u16(9),
        pool=layout.key(11),
        observations=tuple(
            Observation(layout.u64(start), layout.u128(start + 8), layout.u128(start + 24))
            for start in starts
        ),
    )
