"""The account of a DLMM pair, read from its bytes."""

from dataclasses import dataclass

from solders.pubkey import Pubkey

from routing.pools.volatility import Volatility
from routing.solana.addresses import NONE, TOKEN_2022_PROGRAM, TOKEN_PROGRAM
from routing.solana.layout import Layout, discriminator_of_account

PAIR_SIZE = 904
PAIR_DISCRIMINATOR = discriminator_of_account("LbPair")

BITMAP_PLACE = 584
BITMAP_BITS = 1_024
BITMAP_ZERO = 512
"""The bit of the array with index 0."""

_OPENS_AT_A_POINT = frozenset({1, 2})
_TIME = 1
_NO_FARMING_CHOSEN, _LIMIT_ORDERS = 0, 2


@dataclass(frozen=True, slots=True)
class LbPair:
    """A pair's own account: amounts in atoms, times in unix seconds, kinds by number."""

    base_factor: int
    filter_period: int
    decay_period: int
    reduction_factor: int
    variable_fee_control: int
    max_volatility_accumulator: int
    min_bin_id: int
    max_bin_id: int
    protocol_share: int
    base_fee_power_factor: int
    function_type: int
    collect_fee_mode: int
    volatility: Volatility
    pair_type: int
    active_id: int
    bin_step: int
    status: int
    needs_base_factor_seed: int
    base_factor_seed: int
    activation_type: int
    creator_may_close: int
    mint_x: Pubkey
    mint_y: Pubkey
    reserve_x: Pubkey
    reserve_y: Pubkey
    protocol_fees_x: int
    protocol_fees_y: int
    reward_mints: tuple[Pubkey, Pubkey]
    oracle: Pubkey
    bitmap: int
    """One bit for each bin array that has liquidity, from index -512 to 511."""
    last_updated_at: int
    pre_swap_address: Pubkey
    """It may swap before the activation point; `NONE` if there is none."""
    base_key: Pubkey
    activation_point: int
    pre_duration: int
    creator: Pubkey
    token_flag_x: int
    token_flag_y: int
    version: int

    @property
    def token_program_x(self) -> Pubkey:
        return TOKEN_2022_PROGRAM if self.token_flag_x else TOKEN_PROGRAM

    @property
    def token_program_y(self) -> Pubkey:
        return TOKEN_2022_PROGRAM if self.token_flag_y else TOKEN_PROGRAM

    @property
    def has_limit_orders(self) -> bool:
        """Whether the program fills limit orders that lie in its bins."""
        if self.function_type == _NO_FARMING_CHOSEN:
            return self.reward_mints == (NONE, NONE)
        return self.function_type == _LIMIT_ORDERS

    @property
    def opens_at(self) -> int | None:
        """The unix second from which on it takes swaps; None: it does not open at a time."""
        is_timed = self.pair_type in _OPENS_AT_A_POINT and self.activation_type == _TIME
        return self.activation_point if is_timed else None

    def takes_swaps(self, *, slot: int, now: int) -> bool:
        """Whether the pair is open at this slot and time."""
        if self.status != 0:
            return False
        if self.pair_type not in _OPENS_AT_A_POINT:
            return True
        return (now if self.activation_type == _TIME else slot) >= self.activation_point


def read_lb_pair(data: bytes) -> LbPair:
    """:raises UnreadableAccount: the bytes are no DLMM pair."""
    layout = Layout(data, "a DLMM pair", PAIR_SIZE, PAIR_DISCRIMINATOR)
    return LbPair(
        base_factor=layout.u16(8),
        filter_period=layout.u16(10),
        decay_period=layout.u16(12),
        reduction_factor=layout.u16(14),
        variable_fee_control=layout.u32(16),
        max_volatility_accumulator=layout.u32(20),
        min_bin_id=layout.i32(24),
        max_bin_id=layout.i32(28),
        protocol_share=layout.u16(32),
        base_fee_power_factor=layout.u8(34),
        function_type=layout.u8(35),
        collect_fee_mode=layout.u8(36),
        volatility=Volatility(layout.u32(40), layout.u32(44), layout.i32(48), layout.i64(56)),
        pair_type=layout.u8(75),
        active_id=layout.i32(76),
        bin_step=layout.u16(80),
        status=layout.u8(82),
        needs_base_factor_seed=layout.u8(83),
        base_factor_seed=layout.u16(84),
        activation_type=layout.u8(86),
        creator_may_close=layout.u8(87),
        mint_x=layout.key(88),
        mint_y=layout.key(120),
        reserve_x=layout.key(152),
        reserve_y=layout.key(184),
        protocol_fees_x=layout.u64(216),
        protocol_fees_y=layout.u64(224),
        reward_mints=(layout.key(264), layout.key(408)),
        oracle=layout.key(552),
        bitmap=layout.unsigned(BITMAP_PLACE, BITMAP_BITS // 8),
        last_updated_at=layout.i64(712),
        pre_swap_address=layout.key(752),
        base_key=layout.key(784),
        activation_point=layout.u64(816),
        pre_duration=layout.u64(824),
        creator=layout.key(848),
        token_flag_x=layout.u8(880),
        token_flag_y=layout.u8(881),
        version=layout.u8(882),
    )
