"""Which fields each type of order takes, how long it may stand, and what it tolerates by default.

The one table. A field that a type has no use for is refused: an order whose stop was silently
dropped is the worst outcome there is.
"""

from typing import NamedTuple

GTC, GTD, IOC, FOK = "gtc", "gtd", "ioc", "fok"
TIMES_IN_FORCE = (GTC, GTD, IOC, FOK)
AT_ONCE = (IOC, FOK)
"""Orders of these never rest."""

TRIGGER = frozenset(("triggerPrice", "triggerBy", "ifCrossed"))
TRAIL = frozenset(("trailBps", "activationPrice", "triggerBy", "ifCrossed"))
LIMIT = frozenset(("limitPrice",))
SLIPPAGE = frozenset(("slippageBps", "slippage"))
END = frozenset(("expiresAt", "expiresInSeconds"))
MAX_WAIT = frozenset(("maxWaitSeconds",))
EXITS = frozenset(("takeProfit", "stopLoss"))
NAME = frozenset(("clientOrderId",))
FIXED_OUTPUT = frozenset(("amountOut",))
SPECIAL = TRIGGER | TRAIL | LIMIT | SLIPPAGE | END | MAX_WAIT | EXITS | NAME | FIXED_OUTPUT
"""Fields that some types have no use for; all types take the others."""

PROTECTIVE_SLIPPAGE_BPS = 500


class TypeRules(NamedTuple):
    fields: frozenset[str]
    """Those of `SPECIAL` that it takes."""
    times: tuple[str, ...]
    """What `timeInForce` may be; the first is its default."""
    slippage_bps: int | None = None
    """By default; None: as of a market order."""


_USUAL = NAME | FIXED_OUTPUT
_RESTS = (GTC, GTD)
RULES = {
    "market": TypeRules(_USUAL | SLIPPAGE | MAX_WAIT | EXITS, (IOC, FOK)),
    "limit": TypeRules(_USUAL | LIMIT | END | MAX_WAIT | EXITS, (GTC, GTD, IOC, FOK)),
    "stop": TypeRules(_USUAL | TRIGGER | SLIPPAGE | END | EXITS, _RESTS, PROTECTIVE_SLIPPAGE_BPS),
    "stopLimit": TypeRules(_USUAL | TRIGGER | LIMIT | END | EXITS, _RESTS),
    "takeProfit": TypeRules(_USUAL | TRIGGER | LIMIT | SLIPPAGE | END, _RESTS),
    "trailingStop": TypeRules(_USUAL | TRAIL | SLIPPAGE | END, _RESTS, PROTECTIVE_SLIPPAGE_BPS),
    "oco": TypeRules(EXITS | END, _RESTS),
}
"""By the API's word for the type; `oco` is a request for two orders, and no type of an order."""


def type_named(word: str) -> str | None:
    """Return the type that a client names, in any letter case, `_` and `-` left out or not."""
    return _BY_WORD.get(_folded(word))


def _folded(word: str) -> str:
    return word.lower().replace("_", "").replace("-", "")


_BY_WORD = {_folded(name): name for name in RULES}
