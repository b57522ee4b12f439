"""How many decimals people see: as many as tell something, the same in each row of a column."""

from decimal import Decimal

from routing.tokens import USDC, Registry, Token, UnknownMarket, UnknownToken

USUAL = 4


def of_price(reference: Decimal) -> int:
    """Return the decimals of a market's prices: four, or four figures of what is small."""
    return max(USUAL, 3 - reference.adjusted()) if reference else USUAL


def of_amount(known: Registry, token: Token) -> int:
    """Return the decimals of a token's amounts, by its worth: the last one is about 0.0001 USDC."""
    try:
        worth = known.value_of(token, 10**token.decimals, known.token(USDC.symbol))
    except (UnknownToken, UnknownMarket):
        return min(USUAL, token.decimals)
    place = worth.adjusted() if worth else 0
    wanted = max(USUAL, place + 2) if place >= -1 else max(0, place + 5)
    return min(wanted, token.decimals)
