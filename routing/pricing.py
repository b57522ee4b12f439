"""The arithmetic of quotes, bounds and fills, in integer atoms.

Prices are quote per base in whole tokens. Every rounding of an amount goes against the order. So
the order never gets less than it was promised.
"""

from decimal import ROUND_HALF_EVEN, Context, Decimal

from routing.pools.pool import Fill, SwapRefused
from routing.pools.price_impact import price_impact_bps
from routing.tokens import Market
from routing.venue import BPS, Bound, InsufficientLiquidity, Liquidity, Quote, Side, Swap

MAX_ATOMS = 2**63 - 1
"""The largest amount a token account on Solana, or a bigint column, can hold, in atoms."""

SIGNIFICANT_DIGITS = 8
_WIDE = Context(prec=60, rounding=ROUND_HALF_EVEN)


def pool_quote(venue: str, swap: Swap, liquidity: Liquidity) -> Quote:
    """Return what a pool offers for `swap`, with its price before fees and all fees together.

    :raises InsufficientLiquidity: the program would fail this swap.
    """
    pool, direction = liquidity.pool, liquidity.direction
    try:
        if swap.amount_in is not None:
            fill = pool.quote_exact_in(swap.amount_in, direction, liquidity.now)
        else:
            fill = pool.quote_exact_out(swap.amount_out or 0, direction, liquidity.now)
    except SwapRefused as refused:
        raise InsufficientLiquidity(str(refused)) from refused
    if not fill.net_in or max(fill.amount_in, fill.amount_out) > MAX_ATOMS:
        raise InsufficientLiquidity("it cannot fill this amount")
    return Quote(
        venue,
        fill.amount_in,
        fill.amount_out,
        execution_price(swap.market, swap.side, fill.net_in, fill.gross_out),
        fees_bps(fill),
        price_impact_bps(pool.spot(direction), fill.net_in, fill.gross_out),
    )


def fees_bps(fill: Fill) -> int:
    """Return by how much the fees lower the price of an input atom, to the nearest whole bp.

    It is not rounded up. Programs take whole atoms, so a fee of 0.3 % is nearly always a little
    more.
    """
    before = fill.amount_in * fill.gross_out
    taken = before - fill.amount_out * fill.net_in
    return (2 * taken * BPS + before) // (2 * before)


def bound_for(swap: Swap, quote: Quote, slippage_bps: int) -> Bound:
    """Return the worst fill accepted when `quote` may slip by `slippage_bps`.

    Fixed input: ceil(quotedOut * (10000 - bps) / 10000) is the least output. Fixed output:
    floor(quotedIn * (10000 + bps) / 10000) is the most input, or all that an account can hold.
    """
    if swap.is_exact_in:
        return Bound(min_out=-(-quote.amount_out * (BPS - slippage_bps) // BPS))
    return Bound(max_in=min(quote.amount_in * (BPS + slippage_bps) // BPS, MAX_ATOMS))


def execution_price(market: Market, side: Side, amount_in: int, amount_out: int) -> Decimal:
    """Return the price paid per base token, all fees included, in whole quote tokens.

    It is rounded half to even, at the quote token's decimals or at 8 significant digits, whichever
    is finer.
    """
    base, quote = (amount_in, amount_out) if side is Side.SELL else (amount_out, amount_in)
    whole = _WIDE.divide(market.quote.to_decimal(quote), market.base.to_decimal(base))
    exponent = min(-market.quote.decimals, whole.adjusted() - SIGNIFICANT_DIGITS + 1)
    return _WIDE.quantize(whole, Decimal((0, (1,), exponent)))


def significant(price: Decimal, digits: int = 12) -> Decimal:
    """Return a calculated price, rounded half to even to so many digits."""
    return Context(prec=digits, rounding=ROUND_HALF_EVEN).plus(price)


def atoms_ratio(market: Market, price: Decimal) -> tuple[int, int]:
    """Return `price` as an exact ratio: quote atoms, base atoms."""
    quote, base = price.as_integer_ratio()
    return quote * 10**market.quote.decimals, base * 10**market.base.decimals
