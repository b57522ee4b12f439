"""The tokens and markets this engine knows, and how their amounts are written.

Mints are the real ones of Solana's mainnet. `SOL` is native; venues trade its wrapped form
`WSOL`, so the engine wraps and unwraps. Both share one mint, which is read as `SOL`.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Context, Decimal
from itertools import combinations
from typing import NamedTuple

WRAPPED_SOL_MINT = "So11111111111111111111111111111111111111112"

_TENS = tuple(int(10**exponent) for exponent in range(256))


@dataclass(frozen=True, slots=True)
class Token:
    symbol: str
    mint: str
    decimals: int

    @property
    def is_native(self) -> bool:
        return self.symbol == "SOL"

    def same_asset_as(self, other: "Token") -> bool:
        """SOL and WSOL are one asset in two forms."""
        return self.mint == other.mint

    def to_atoms(self, amount: Decimal) -> int:
        """Return `amount` whole tokens in atoms, exactly.

        :raises ValueError: the amount is not finite, or has more decimals than the token.
        """
        sign, digits, exponent = amount.as_tuple()
        if not isinstance(exponent, int):
            raise ValueError(f"{amount} is not a number")
        number = int("".join(map(str, digits)))  # in integers: Decimal would round at 28 digits
        shift = exponent + self.decimals
        if shift >= 0:
            atoms = number * int(10**shift)
        else:
            atoms, rest = divmod(number, int(10**-shift))
            if rest:
                raise ValueError(f"{self.symbol} has {self.decimals} decimals")
        return -atoms if sign else atoms

    def to_decimal(self, atoms: int) -> Decimal:
        """Return `atoms` in whole tokens, with all the token's decimals."""
        return Decimal(atoms).scaleb(-self.decimals)

    def to_text(self, atoms: int) -> str:
        """Return `atoms` in whole tokens as text, without exponent or trailing zeros."""
        whole, rest = divmod(atoms, _TENS[self.decimals])
        return f"{whole}.{str(rest).zfill(self.decimals).rstrip('0')}" if rest else str(whole)


@dataclass(frozen=True, slots=True)
class Market:
    """A pair that can be traded; prices are whole quote tokens per whole base token."""

    base: Token
    quote: Token
    reference_price: Decimal
    paths: tuple["Path", ...] = ()
    """The ways through a third token, for a pair that has no pools of its own."""

    @property
    def name(self) -> str:
        return f"{self.base.symbol}/{self.quote.symbol}"


class Path(NamedTuple):
    """Two markets that share the token `through`, and so join a base and a quote token."""

    through: Token
    of_base: Market
    of_quote: Market


class UnknownToken(LookupError):
    """No token has this symbol or mint. Trying again does not help."""


class UnknownMarket(LookupError):
    """These two tokens are not traded against each other here. Trying again does not help."""


SOL = Token("SOL", WRAPPED_SOL_MINT, 9)
WSOL = Token("WSOL", WRAPPED_SOL_MINT, 9)
USDC = Token("USDC", "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v", 6)
USDT = Token("USDT", "Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB", 6)
JUP = Token("JUP", "JUPyiwrYJFskUPiHa7hkeR8VUtAeFoSYbKedZNsDvCN", 6)
RAY = Token("RAY", "4k3Dyjzvzp8eMZWUXbBCjEvwSkkk59S5iCNLY3QrkX6R", 6)
BONK = Token("BONK", "DezXAZ8z7PnrnRJjz3wXBoRgixCa6xjnB7YaB1pPB263", 5)

TOKENS = (SOL, WSOL, USDC, USDT, JUP, RAY, BONK)
MARKETS = tuple(
    Market(base, quote, Decimal(price))
    for base, quote, price in [
        (SOL, USDC, "100"),
        (SOL, USDT, "100"),
        (JUP, USDC, "0.5"),
        (RAY, USDC, "2"),
        (BONK, USDC, "0.00002"),
        (JUP, SOL, "0.005"),
        (RAY, SOL, "0.02"),
        (BONK, SOL, "0.0000002"),
        (USDT, USDC, "1"),
    ]
)


class Registry:
    """Finds tokens by symbol (any letter case) or mint, and markets by their two tokens.

    Two tokens that are not traded against each other, but both against a third, are a market too:
    its orders take two hops.
    """

    def __init__(self, tokens: Iterable[Token], markets: Iterable[Market]) -> None:
        self.tokens = tuple(tokens)
        self.markets = tuple(markets)
        """Those with pools of their own."""
        self._tokens: dict[str, Token] = {}
        for token in reversed(self.tokens):  # the first of two tokens with one mint wins
            self._tokens[token.symbol] = token
            self._tokens[token.mint] = token
        self._markets = {(m.base.mint, m.quote.mint): m for m in joined(self.tokens, self.markets)}
        self._markets |= {(m.base.mint, m.quote.mint): m for m in self.markets}

    def token(self, symbol_or_mint: str) -> Token:
        """:raises UnknownToken: nothing has this name."""
        found = self._tokens.get(symbol_or_mint) or self._tokens.get(symbol_or_mint.upper())
        if found is None:
            raise UnknownToken(symbol_or_mint)
        return found

    def market(self, base: Token, quote: Token) -> Market:
        """Return the market with just these tokens, in the form (SOL or WSOL) they were named.

        :raises UnknownMarket: the pair is not traded in this direction.
        """
        found = self._markets.get((base.mint, quote.mint))
        if found is None:
            raise UnknownMarket(f"{base.symbol}/{quote.symbol}")
        if (found.base, found.quote) == (base, quote):
            return found
        return Market(base, quote, found.reference_price, found.paths)

    def market_of(self, one: Token, other: Token) -> Market:
        """Return the market of these two tokens, whichever of them is its base.

        :raises UnknownMarket: they are not traded against each other.
        """
        if (one.mint, other.mint) in self._markets:
            return self.market(one, other)
        return self.market(other, one)


def joined(tokens: tuple[Token, ...], markets: tuple[Market, ...]) -> list[Market]:
    """Return a market for each pair that has none and that a third token joins.

    Its quote token is the one in which more markets are quoted, or else the one listed first.
    """
    assets = list({token.mint: token for token in reversed(tokens)}.values())[::-1]
    direct = {frozenset((m.base.mint, m.quote.mint)): m for m in markets}
    quotes = Counter(market.quote.mint for market in markets)
    found = []
    for first, second in combinations(assets, 2):
        if frozenset((first.mint, second.mint)) in direct:
            continue
        base, quote = second, first
        if quotes[base.mint] > quotes[quote.mint]:
            base, quote = quote, base
        paths = tuple(
            Path(
                through,
                direct[frozenset((base.mint, through.mint))],
                direct[frozenset((through.mint, quote.mint))],
            )
            for through in assets
            if frozenset((base.mint, through.mint)) in direct
            and frozenset((through.mint, quote.mint)) in direct
        )
        if paths:
            found.append(Market(base, quote, _joined_price(base, paths[0]), paths))
    return found


def _joined_price(base: Token, path: Path) -> Decimal:
    in_through = _price_of(base, path.of_base)
    return _PRECISE.multiply(in_through, _price_of(path.through, path.of_quote))


def _price_of(token: Token, market: Market) -> Decimal:
    """Return what one whole token is worth in the market's other token."""
    if market.base.same_asset_as(token):
        return market.reference_price
    return _PRECISE.divide(Decimal(1), market.reference_price)


_PRECISE = Context(prec=20)

REGISTRY = Registry(TOKENS, MARKETS)
