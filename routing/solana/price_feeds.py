"""Pyth's prices on chain: accounts that anyone may bring up to date with signed prices.

An account says what one whole token is worth in dollars, as a number times ten to an exponent.
"""

from fractions import Fraction
from typing import NamedTuple

from solders.pubkey import Pubkey

from routing.solana.layout import Layout, UnreadableAccount, discriminator_of_account
from routing.solana.wallet.money import AccountState

PRICE_PROGRAM = Pubkey.from_string("rec5EKMGg6MxZYaMdyBfgwp4d5rB9T1VQH5pJv5LtFJ")
"""Pyth's receiver, which owns the accounts."""
PRICE_DISCRIMINATOR = discriminator_of_account("PriceUpdateV2")
PRICE_SIZE = 133
MAX_AGE = 90
"""Seconds. A feed is brought up to date each 60 s, and whenever its price moves by 0.5 %."""
MAX_CONFIDENCE_BPS = 100
"""A price whose own error may be larger is none."""

_VERIFIED_FULLY = 1
_MOST_EXPONENT = 18


class FeedPrice(NamedTuple):
    """Dollars for one whole token. `confidence` is how far it may be off."""

    price: Fraction
    confidence: Fraction
    published_at: int
    """Unix seconds."""

    def is_fresh(self, now: int) -> bool:
        """Whether it may be used at `now` (unix seconds)."""
        is_exact = self.confidence * 10_000 <= self.price * MAX_CONFIDENCE_BPS
        return is_exact and abs(now - self.published_at) <= MAX_AGE


def read_price(state: AccountState | None, program: Pubkey = PRICE_PROGRAM) -> FeedPrice:
    """Return the price that the account holds, however old.

    :raises UnreadableAccount: it is no price of this program, or not signed by enough.
    """
    if state is None:
        raise UnreadableAccount("the price feed does not exist")
    if state.owner != program:
        raise UnreadableAccount(f"the price feed belongs to {state.owner}")
    layout = Layout(state.data, "a price feed", PRICE_SIZE, PRICE_DISCRIMINATOR)
    if layout.u8(40) != _VERIFIED_FULLY:
        raise UnreadableAccount("the price was not verified fully")
    price, exponent = layout.i64(73), layout.i32(89)
    if price <= 0 or abs(exponent) > _MOST_EXPONENT:
        raise UnreadableAccount(f"{price} times ten to {exponent} is no price")
    unit = Fraction(10) ** exponent
    return FeedPrice(price * unit, layout.u64(81) * unit, layout.i64(93))
