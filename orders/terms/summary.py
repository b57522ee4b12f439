"""What an order with terms is taken for, as one sentence that a person can check.

It is made from the order as clients see it, in the words of the API.
"""

from decimal import Decimal
from functools import lru_cache
from typing import Any

from orders.terms.exits import STOP, TARGET
from orders.terms.type_rules import AT_ONCE, FOK, GTC
from routing.venue import Side

Asked = dict[str, Any]


def sentence(asked: Asked, seconds: float | None = None) -> str:
    """Return the sentence. `seconds`: the order's time, if its end is not known yet."""
    parts = [_deed(asked), _stands(asked, seconds)]
    if asked.get("groupRole"):
        parts.append("one of two, of which one at most is filled")
    parts += [_exit(role, asked[role]) for role in (TARGET, STOP) if role in asked]
    return f"{'; '.join(parts)}."


@lru_cache(maxsize=128)
def percent(bps: int) -> str:
    return f"{Decimal(bps).scaleb(-2).normalize():f} %"


def _deed(asked: Asked) -> str:
    limit, quote, base = asked.get("limitPrice"), asked["quoteToken"], asked["baseToken"]
    if limit is None:
        deed = f"{_what(asked)}{_when(asked)}, slippage at most {percent(asked['slippageBps'])}"
    else:
        worst = f"at {limit} {quote} per {base} or better, fees included"
        when = _when(asked)
        deed = f"{_amount(asked)} {worst}{',' if when else ''}{when}"
        if asked.get("slippageBps") is not None:  # the stricter of the two holds
            deed += f", slippage at most {percent(asked['slippageBps'])}"
    return deed


def _what(asked: Asked) -> str:
    """Return "Sell 1.5 SOL for USDC"."""
    fixed = _fixed(asked)
    if fixed[1] != asked["baseToken"]:
        return _amount(asked)
    return f"{_amount(asked)} {_link(asked)} {asked['quoteToken']}"


def _amount(asked: Asked) -> str:
    """Return "Sell 1.5 SOL", or "Sell SOL for 100 USDC" if that is the amount that is fixed."""
    verb, (amount, token) = asked["side"].capitalize(), _fixed(asked)
    if token == asked["baseToken"]:
        return f"{verb} {amount} {token}"
    return f"{verb} {asked['baseToken']} {_link(asked)} {amount} {token}"


def _link(asked: Asked) -> str:
    return "for" if asked["side"] == Side.SELL else "with"


def _fixed(asked: Asked) -> tuple[str, str]:
    """Return the amount that is given, and its token."""
    if asked["amountIn"] is not None:
        return asked["amountIn"], asked["tokenIn"]
    return asked["amountOut"], asked["tokenOut"]


def _when(asked: Asked) -> str:
    """Return what it waits for, such as " once the best bid is 95 USDC or lower"."""
    is_sale, quote = asked["side"] == Side.SELL, asked["quoteToken"]
    line = "best bid" if is_sale else "best ask"
    if asked.get("triggerBy") == "reference":
        line = "reference price"
    if asked.get("trailBps") is not None:
        return _trails(asked, line)
    if asked["type"] == "sniper":
        return _pool(asked)
    if asked.get("triggerPrice") is None:
        return ""
    is_up = is_sale == (asked["type"] == "takeProfit")
    return f" once the {line} is {asked['triggerPrice']} {quote} or {_way(is_up=is_up)}"


def _trails(asked: Asked, line: str) -> str:
    is_sale, quote = asked["side"] == Side.SELL, asked["quoteToken"]
    away, best = ("below", "highest") if is_sale else ("above", "lowest")
    since = "from now on"
    if asked.get("activationPrice") is not None:
        since = f"after it was {asked['activationPrice']} {quote} or {_way(is_up=is_sale)}"
    return f" once the {line} is {percent(asked['trailBps'])} {away} its {best} {since}"


def _pool(asked: Asked) -> str:
    """Return " as soon as a pool of it can be traded in that holds at least 50 SOL"."""
    kind = {"launch": "a first pool", "migration": "a pool that took over from another"}
    parts = [f" as soon as {kind.get(asked['poolEvent'], 'a pool')} can be traded in"]
    if "minLiquidity" in asked:
        parts.append(f"that holds at least {asked['minLiquidity']} {asked['tokenIn']}")
    if "maxPoolAgeSeconds" in asked:
        parts.append(f"and opened at most {asked['maxPoolAgeSeconds']} s ago")
    return " ".join(parts)


def _slices(asked: Asked) -> str:
    start = f"from {asked['startAt']} on" if "startAt" in asked else "from now on"
    missed = "what is missed is spread over those left"
    if asked["catchUp"] == "skip":
        missed = "what is missed is left undone"
    return f"in {asked['slices']} slices, one every {asked['intervalSeconds']} s {start}; {missed}"


def _way(*, is_up: bool) -> str:
    return "higher" if is_up else "lower"


def _stands(asked: Asked, seconds: float | None) -> str:
    """Return how long it stands."""
    if asked["type"] == "twap":
        return _slices(asked)
    time_in_force, ends_at = asked["timeInForce"], asked.get("expiresAt")
    end = f"till {ends_at}" if ends_at else f"for {seconds:.15g} s" if seconds else ""
    if time_in_force in AT_ONCE:
        tries = "in one attempt" if time_in_force == FOK else "at once"
        return f"{tries} or not at all{f', to be sent in time {end}' if end else ''}"
    return "good till cancelled" if time_in_force == GTC else f"good {end}"


def _exit(role: str, asked: Asked) -> str:
    name = "a target" if role == TARGET else "a stop"
    if "trailBps" in asked:
        at = f"{percent(asked['trailBps'])} behind the best price"
    else:
        at = f"at {asked.get('triggerPrice') or asked['limitPrice']}"
        if "triggerPrice" in asked and "limitPrice" in asked:
            at += f", limit {asked['limitPrice']}"
    return f"then {name} {at}"
