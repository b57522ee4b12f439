"""What can be traded, as clients see it."""

from functools import lru_cache
from hashlib import blake2b
from typing import Any

import orjson

from orders.terms.minimum import minimum_in
from routing.pricing import significant
from routing.tokens import Market, Registry
from routing.venue import Side
from routing.venues import LABELS


@lru_cache(maxsize=1)
def markets_as_json(known: Registry) -> dict[str, Any]:
    """Return all tokens and all pairs, pairs with pools first. The result is shared."""
    return {
        "tokens": [
            {"symbol": token.symbol, "mint": token.mint, "decimals": token.decimals}
            for token in known.tokens
        ],
        "markets": [_market_as_json(market) for market in (*known.markets, *known.joined())],
    }


@lru_cache(maxsize=1)
def etag_of(known: Registry) -> str:
    """Return a tag that is the same in all processes, as long as the list is the same."""
    content = orjson.dumps(markets_as_json(known))
    return f'"{blake2b(content, digest_size=12).hexdigest()}"'


def _market_as_json(market: Market) -> dict[str, Any]:
    return {
        "market": market.name,
        "baseToken": market.base.symbol,
        "quoteToken": market.quote.symbol,
        "referencePrice": f"{significant(market.reference_price).normalize():f}",
        "minAmountIn": {
            "sell": market.base.to_text(minimum_in(market, Side.SELL)),
            "buy": market.quote.to_text(minimum_in(market, Side.BUY)),
        },
        "takesOrders": market.is_open,
        "through": [path.through.symbol for path in market.paths],
        "venues": list(LABELS),
    }
