"""What exists for the sake of clients of other systems, and for whom: the one place that knows it.

The engine has one form (`docs/orders.md`). A foreign body becomes that form before it is read, and
an answer gets its foreign names after it was made, so nothing in between knows of them. Each entry
has its reason: how many of the 95 public systems of the same brief need it.
"""

import re
from collections.abc import Iterator
from decimal import Context, Decimal
from typing import Any, NamedTuple

import orjson

# --- paths -----------------------------------------------------------------------------------

ID = r"(?P<order_id>[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})"
"""A UUID alone, so that names such as `/ws/prices` stay free."""
STREAM_PATHS = (
    rf"ws/{ID}",  # 6 systems
    rf"ws/orders/{ID}/status",  # 1
    rf"api/orders/{ID}/(?:ws|status|stream)",  # 18
    rf"api/orders/(?:ws|status|stream|updates|execute)/{ID}",  # 11
    rf"orders/{ID}/ws",  # 1
    rf"order/{ID}",  # 1
)
"""WebSockets of one order. Over plain HTTP nothing is there: what they told was only this."""
SUBSCRIBE_PATHS = ("ws", "api/orders/ws", "api/orders/status", "orders/ws")
"""WebSockets whose orders are named by a message (6 systems, C among them), or by the query (4)."""
QUERY_PATHS = ("ws/orders",)
"""Followed by `?orderId=` alone (1 system): without it, the path is the account's own stream."""
ID_PARAMETERS = ("orderId", "id")
"""How the queries of these sockets name the order; `id` on `/orders/ws` (1 system)."""
ENTRY_PATHS = ("api/orders/execute", "api/orders", "orders/execute", "orders", "execute")
"""Orders are sent on each; the first two are our own."""
HEALTH_PATHS = ("api/health",)  # 7 systems

# --- bodies ----------------------------------------------------------------------------------

FIELDS = {
    "inputToken": "tokenIn",  # 7 systems, C among them
    "outputToken": "tokenOut",
    "fromToken": "tokenIn",  # 1
    "toToken": "tokenOut",
    "inputMint": "tokenIn",  # 1
    "outputMint": "tokenOut",
    "baseMint": "baseToken",  # 1
    "quoteMint": "quoteToken",
    "direction": "side",  # 1, beside a pair
    "maxSlippageBps": "slippageBps",  # 1
}
OWN_FIELDS = (
    *("tokenIn", "tokenOut", "baseToken", "quoteToken", "amountIn", "amountOut", "slippageBps"),
    *("orderType", "clientOrderId", "maxPriceImpactBps", "excludeVenues"),
)
"""Our own names of two words and more, which 2 systems write in snake case."""
IDENTITY = ("userId", "userID", "user", "userWallet", "userAddress", "wallet", "walletAddress")
"""Who sends it (16 systems). It is dropped and named in the answer, and never authenticates."""
PAIR = "pair"
"""`SOL/USDC`, `SOL-USDC` or `SOL_USDC`, for base and quote (2 systems)."""
PAIR_FORM = re.compile(r"\s*([^\s/_-]{1,64})[/_-]([^\s/_-]{1,64})\s*")
TOKENS = frozenset(("tokenIn", "tokenOut", "baseToken", "quoteToken"))
REFUSED = {
    "minAmountOut": "It is not taken: the least you get follows from the quote and slippageBps.",
}
"""What would change the order, and cannot be had as it was meant; with the way to have it."""
RATES = ("slippage", "slippageBps", "maxPriceImpactBps")
NOISE_DIGITS, MOST_DIGITS = 15, 17
"""So many digits are written by a computation alone: those of a double (6 systems)."""
NOISE = Decimal("1e-9")
"""How much of a number may be noise, relative to it."""


CLIENT_ORDER_ID = ("clientOrderId", "client_order_id")


def snake(name: str) -> str:
    return re.sub("([A-Z])", r"_\1", name).lower()


SPELLINGS = FIELDS | {snake(name): FIELDS.get(name, name) for name in (*FIELDS, *OWN_FIELDS)}
SPELLINGS = {name: meant for name, meant in SPELLINGS.items() if name != meant}
"""Every foreign name of a field, and ours."""
DROPPED = frozenset((*IDENTITY, *map(snake, IDENTITY)))
REFUSED |= {snake(name): reason for name, reason in REFUSED.items()}
FOREIGN = frozenset((*SPELLINGS, *DROPPED, *REFUSED, PAIR))


class NotTaken(Exception):
    """A body that cannot become ours. Its `field` is named as the client did; change the body."""

    def __init__(self, field: str, code: str, reason: str) -> None:
        self.field, self.code = field, code
        super().__init__(reason)


class Canonical(NamedTuple):
    """A body in our own words."""

    body: Any
    ignored: tuple[str, ...] = ()
    spelled: dict[str, str] = {}
    """How the client spelled our names, where it was otherwise."""


def canonical(sent: Any) -> Canonical:
    """Return an order's body with our names, whatever names it came with.

    What is no object is returned as it is; unknown names are left for the reader to refuse.

    :raises NotTaken: one thing is said in two spellings, or it is what we cannot do.
    """
    if not isinstance(sent, dict):
        return Canonical(sent)
    for name in RATES:
        if type(number := sent.get(name)) is Decimal and is_computed(number):
            sent = sent | {name: without_noise(number)}
    if FOREIGN.isdisjoint(sent):
        return Canonical(sent)
    given = {name: value for name, value in sent.items() if value is not None}
    body: dict[str, Any] = {name: given[name] for name in given if name not in FOREIGN}
    spelled: dict[str, str] = {}
    for name in given:
        for meant, value in _said_by(name, given[name]):
            if meant in body:
                raise NotTaken(
                    name, "conflict", f"Give {name} or {spelled.get(meant, meant)}, not both."
                )
            body[meant], spelled[meant] = value, name
    return Canonical(body, tuple(sorted(DROPPED & given.keys())), spelled)


def _said_by(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Return what a foreign field says, by our names."""
    if name in REFUSED:
        raise NotTaken(name, "unknown_field", REFUSED[name])
    if name in SPELLINGS:
        meant = SPELLINGS[name]
        noisy = meant in RATES and type(value) is Decimal
        yield meant, without_noise(value) if noisy else value
    if name == PAIR:
        found = PAIR_FORM.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            raise NotTaken(name, "invalid_text", "A pair is base and quote, such as SOL/USDC.")
        yield "baseToken", found[1]
        yield "quoteToken", found[2]


def without_noise(number: Decimal) -> Decimal:
    """Return a rate as it was meant by who computed it: 0.7 / 100 is 0.006999999999999999."""
    return Context(prec=12).plus(number).normalize() if is_computed(number) else number


def is_computed(number: Decimal) -> bool:
    """Whether the digits are as many as a double's, so that the last of them may be noise."""
    _, digits, exponent = number.as_tuple()
    is_double = NOISE_DIGITS <= len(digits) <= MOST_DIGITS
    return is_double and isinstance(exponent, int) and -40 < exponent < 0


# --- answers ---------------------------------------------------------------------------------


def with_names(order: dict[str, Any]) -> dict[str, Any]:
    """Return an order also under the names that others read: `id`, `websocketUrl` (15 systems)."""
    return {**order, "id": order["orderId"], "websocketUrl": order["wsUrl"]}


def enveloped(answer: dict[str, Any], ignored: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return an answer about one order with all that others look for in it.

    `success` (16 systems), and the order again as `order` (9) and as `data` (5).
    """
    order = with_names(answer)
    order.pop("message", None)
    again = orjson.Fragment(orjson.dumps(order))  # written once
    told = {**answer, **order, "success": True, "order": again, "data": again}
    return {**told, "ignored": list(ignored)} if ignored else told


def as_list(page: dict[str, Any]) -> dict[str, Any]:
    """Return a page of orders that has them as `orders`, too (23 systems)."""
    named = [with_names(order) for order in page["results"]]
    orders = orjson.Fragment(orjson.dumps(named))  # written once
    return {**page, "results": orders, "orders": orders}


# --- messages --------------------------------------------------------------------------------

NUMBERS = frozenset(
    (
        *("executedPrice", "price", "minAcceptablePrice", "maxAcceptablePrice"),
        *("amount", "amountIn", "amountOut", "minAmountOut", "maxAmountIn", "networkFee"),
        *("marginBps", "splitGainBps", "priceImpactBps", "retryInSeconds"),
    )
)
"""The decimals of events, which 13 systems' clients, C among them, take for numbers."""


def with_numbers(text: str | bytes) -> str:
    """Return an event whose decimals are JSON numbers: for show, as doubles hold fewer digits."""
    return orjson.dumps(_numbered(orjson.loads(text))).decode()


def _numbered(value: Any) -> Any:
    if isinstance(value, list):
        return [_numbered(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        name: as_number(one) if name in NUMBERS and isinstance(one, str) else _numbered(one)
        for name, one in value.items()
    }


def as_number(text: str) -> float | int:
    """Return the double next to a decimal; a whole one without a fraction."""
    number = float(text)
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


# --- frames ----------------------------------------------------------------------------------

PONG = "pong"
"""The answer to `ping` as a message (10 systems)."""
PING = frozenset(("type", "action", "id", "timestamp", "time", "ts"))
"""All that a ping may hold; with anything else it is no ping, but an order of a type unknown."""


def word_of(frame: dict[str, Any]) -> Any:
    """Return what a frame wants: `type` or `action`; None if it does not say."""
    return frame.get("type", frame.get("action"))


def is_ping(frame: dict[str, Any]) -> bool:
    return word_of(frame) == "ping" and frame.keys() <= PING


def order_named_in(frame: dict[str, Any]) -> Any:
    """Return the id in `{orderId}` or `{payload: {orderId}}`; None if there is none, or two."""
    payload = frame.get("payload")
    places = (frame, payload) if isinstance(payload, dict) else (frame,)
    named = [place.get(name) for place in places for name in ("orderId", "order_id")]
    first, *others = [one for one in named if one is not None] or [None]
    return first if all(one == first for one in others) else None
