"""Tokens and markets, how their amounts are written, and how they are found.

This engine's tokens and markets are in the database. `routing.registry` has a process's copy.
`SOL` is native. Venues trade its wrapped form `WSOL`, so the engine wraps and unwraps. Both share
one mint, which is read as `SOL`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Context, Decimal
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

WRAPPED_SOL_MINT = "So11111111111111111111111111111111111111112"

_TENS = tuple(int(10**exponent) for exponent in range(256))

_PRECISE = Context(prec=20)


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
        number = int("".join(map(str, digits)))  # as an int: Decimal would round at 28 digits
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

    def to_full_text(self, atoms: int) -> str:
        """Return `atoms` in whole tokens as text, with all the token's decimals."""
        return fixed_point(atoms, self.decimals)

    def to_text(self, atoms: int) -> str:
        """Return `atoms` in whole tokens as text, without exponent or trailing zeros."""
        return _shortest_text(atoms, self.decimals)


@lru_cache(maxsize=1_024)  # an order tells each of its amounts several times
def _shortest_text(atoms: int, decimals: int) -> str:
    whole, rest = divmod(atoms, _TENS[decimals])
    return f"{whole}.{str(rest).zfill(decimals).rstrip('0')}" if rest else str(whole)


def fixed_point(number: int, decimals: int) -> str:
    """Return `number` / 10 ** `decimals` as text, with so many decimals."""
    digits = str(number).zfill(decimals + 1)
    return f"{digits[:-decimals]}.{digits[-decimals:]}" if decimals else digits


@dataclass(frozen=True, slots=True)
class Market:
    """A pair that can be traded. Prices are whole quote tokens per whole base token."""

    base: Token
    quote: Token
    reference_price: Decimal
    paths: tuple["Path", ...] = ()
    """The ways through a third token, for a pair that has no pools of its own."""
    is_open: bool = True
    """Whether new orders are taken. Orders that were taken before always go on."""
    min_base: int | None = None
    """The least input of a sale, in atoms; None: no operator has set one."""
    min_quote: int | None = None
    """The least input of a purchase, in atoms."""

    @property
    def name(self) -> str:
        return f"{self.base.symbol}/{self.quote.symbol}"

    @property
    def pair(self) -> str:
        """The name under which its prices are kept: SOL and WSOL have the same."""
        return f"{_asset_of(self.base)}/{_asset_of(self.quote)}"


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

# The migration stores these in a new database. The mints are the real ones of Solana's mainnet.
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

    Two tokens without a market of their own form a market if both are traded against a third.
    Its orders take two hops, in either direction. New orders find only ways with open markets, as
    long as there is such a way.
    """

    def __init__(self, tokens: Iterable[Token], markets: Iterable[Market]) -> None:
        self.tokens = tuple(tokens)
        self.markets = tuple(markets)
        """The markets with pools of their own."""
        self._tokens: dict[str, Token] = {}
        for token in reversed(self.tokens):  # the first of two tokens with one mint wins
            self._tokens[token.symbol] = token
            self._tokens[token.mint] = token
        self._direct = {(market.base.mint, market.quote.mint): market for market in self.markets}
        self._joined: dict[tuple[str, str], Market] = {}  # only markets that were asked for
        self._beside: defaultdict[str, dict[str, Market]] = defaultdict(dict)
        for market in self.markets:
            self._beside[market.base.mint][market.quote.mint] = market
            self._beside[market.quote.mint][market.base.mint] = market
        self._assets = list(dict.fromkeys(token.mint for token in self.tokens))
        quotes = Counter(market.quote.mint for market in self.markets)
        self._rank = {mint: (-quotes[mint], place) for place, mint in enumerate(self._assets)}

    def token(self, symbol_or_mint: str) -> Token:
        """:raises UnknownToken: no token has this name."""
        token = self._tokens.get(symbol_or_mint)
        if token is None and symbol_or_mint.isascii():  # a long s would become an S
            token = self._tokens.get(symbol_or_mint.upper())
        if token is None:
            raise UnknownToken(symbol_or_mint)
        return token

    def market(self, base: Token, quote: Token) -> Market:
        """Return the market of exactly these tokens, in the form (SOL or WSOL) that was named.

        :raises UnknownMarket: the pair is not traded in this direction.
        """
        if (quote.mint, base.mint) in self._direct:
            raise UnknownMarket(f"{base.symbol}/{quote.symbol}")
        return self.market_of_order(base, quote)

    def market_of(self, first: Token, second: Token) -> Market:
        """Return the market of these two tokens, whichever of them is its base.

        In two hops, the quote token is the one in which more markets are quoted. If both are
        equal, it is the one that is listed first.

        :raises UnknownMarket: they are not traded against each other.
        """
        if (first.mint, second.mint) in self._direct:
            return self.market(first, second)
        if (second.mint, first.mint) in self._direct or self._is_quote_of(first, second):
            return self.market(second, first)
        return self.market(first, second)

    def market_of_order(self, base: Token, quote: Token) -> Market:
        """Return the market of a stored order, whatever was added since.

        The pair may have got pools of its own, in the other direction. Two hops are still possible.

        :raises UnknownMarket: no order can be of these tokens.
        """
        market = self._direct.get((base.mint, quote.mint)) or self._in_two_hops(base, quote)
        if market is None:
            raise UnknownMarket(f"{base.symbol}/{quote.symbol}")
        if (market.base, market.quote) == (base, quote):
            return market
        return replace(market, base=base, quote=quote)

    def value_of(self, token: Token, atoms: int, unit: Token) -> Decimal:
        """Return the value of an amount by the reference prices, in whole tokens of `unit`.

        :raises UnknownMarket: they are not traded against each other.
        """
        amount = token.to_decimal(atoms)
        if token.same_asset_as(unit):
            return amount
        return _PRECISE.multiply(amount, _price_of(token, self.market_of(token, unit)))

    def paths_between(self, base: Token, quote: Token) -> list[Path]:
        """Return the ways through a third token, even if the two have a market of their own."""
        return self._paths(base.mint, quote.mint)

    def joined(self) -> list[Market]:
        """Return the market of each pair without pools of its own that a third token joins."""
        markets = []
        for pair in combinations(map(self.token, self._assets), 2):
            market = self._market_or_none(*pair)
            if market is not None and market.paths:
                markets.append(market)
        return markets

    def _market_or_none(self, first: Token, second: Token) -> Market | None:
        try:
            return self.market_of(first, second)
        except UnknownMarket:
            return None

    def _is_quote_of(self, quote: Token, base: Token) -> bool:
        return self._rank[quote.mint] < self._rank[base.mint]

    def _in_two_hops(self, base: Token, quote: Token) -> Market | None:
        pair = base.mint, quote.mint
        market = self._joined.get(pair)
        if market is None and (paths := self._paths(*pair)):
            open_paths = [path for path in paths if path.of_base.is_open and path.of_quote.is_open]
            price = _joined_price(base, paths[0])
            is_open = bool(open_paths)
            market = Market(base, quote, price, tuple(open_paths or paths), is_open)
            self._joined[pair] = market
        return market

    def _paths(self, base: str, quote: str) -> list[Path]:
        if base == quote:
            return []
        of_base, of_quote = self._beside.get(base, {}), self._beside.get(quote, {})
        through = sorted(of_base.keys() & of_quote.keys(), key=self._assets.index)
        return [Path(self._tokens[mint], of_base[mint], of_quote[mint]) for mint in through]


def _asset_of(token: Token) -> str:
    return SOL.symbol if token.same_asset_as(SOL) else token.symbol


def _joined_price(base: Token, path: Path) -> Decimal:
    in_through = _price_of(base, path.of_base)
    return _PRECISE.multiply(in_through, _price_of(path.through, path.of_quote))


def _price_of(token: Token, market: Market) -> Decimal:
    """Return the value of one whole token in the market's other token."""
    if market.base.same_asset_as(token):
        return market.reference_price
    return _PRECISE.divide(Decimal(1), market.reference_price)


REGISTRY = Registry(TOKENS, MARKETS)
"""What a new engine trades. `routing.registry` says what this engine trades."""
