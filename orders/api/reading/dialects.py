"""All that exists for clients of other systems, and for which ones. No other module knows it.

The engine has one form (`docs/orders.md`). A foreign body becomes that form before it is read. An
answer gets its foreign names after it was made. So no code in between knows of them. Each entry
has its reason: how many of the 95 public systems of the same brief need it.
"""

import re
from collections.abc import Iterator
from decimal import Context, Decimal
from typing import Any, NamedTuple

import orjson

# --- paths -----------------------------------------------------------------------------------

ID = r"(?P<order_id>[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})"
"""Only a UUID, so that names such as `/ws/prices` stay free."""
STREAM_PATHS = (
    rf"ws/{ID}",  # 6 systems
    rf"ws/orders/{ID}/status",  # 1
    rf"api/orders/{ID}/(?:ws|status|stream)",  # 18
    rf"api/orders/(?:ws|status|stream|updates|execute)/{ID}",  # 11
    rf"orders/{ID}/ws",  # 1
    rf"order/{ID}",  # 1
)
"""WebSockets of one order. Over plain HTTP they are 404: no client reads anything there."""
SUBSCRIBE_PATHS = ("ws", "api/orders/ws", "api/orders/status", "orders/ws")
"""WebSockets whose orders are named by a message (6 systems, C among them), or by the query (4)."""
QUERY_PATHS = ("ws/orders",)
"""Only `?orderId=` names the order (1 system). Without it, the path is the account's stream."""
ID_PARAMETERS = ("orderId", "id")
"""The parameters that name the order in these sockets' queries; `id` on `/orders/ws` (1 system)."""
ENTRY_PATHS = ("api/orders/execute", "api/orders", "orders/execute", "orders", "execute")
"""Orders are sent to each of them. The first two are our own."""
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
"""The sender (16 systems). It is dropped and named in the answer, and never authenticates."""
PAIR = "pair"
"""`SOL/USDC`, `SOL-USDC` or `SOL_USDC`, for base and quote (2 systems)."""
PAIR_FORM = re.compile(r"\s*([^\s/_-]{1,64})[/_-]([^\s/_-]{1,64})\s*")
TOKENS = frozenset(("tokenIn", "tokenOut", "baseToken", "quoteToken"))
REFUSED = {
    "minAmountOut": "It is not taken: the least you get follows from the quote and slippageBps.",
}
"""Fields that would change the order but cannot be honoured, and what to send instead."""
RATES = ("slippage", "slippageBps", "maxPriceImpactBps")
NOISE_DIGITS, MOST_DIGITS = 15, 17
"""Only a computation writes so many digits: those of a double (6 systems)."""
NOISE = Decimal("1e-9")
"""The part of a number that may be noise."""


CLIENT_ORDER_ID = ("clientOrderId", "client_order_id")


def snake_case(name: str) -> str:
    return re.sub("([A-Z])", r"_\1", name).lower()


SPELLINGS = FIELDS | {snake_case(name): FIELDS.get(name, name) for name in (*FIELDS, *OWN_FIELDS)}
SPELLINGS = {name: meant for name, meant in SPELLINGS.items() if name != meant}
"""Every foreign name of a field, and our name."""
DROPPED = frozenset((*IDENTITY, *map(snake_case, IDENTITY)))
REFUSED |= {snake_case(name): reason for name, reason in REFUSED.items()}
FOREIGN = frozenset((*SPELLINGS, *DROPPED, *REFUSED, PAIR))


class NotTaken(Exception):
    """A body that cannot take our form. `field` is the client's name for it; change the body."""

    def __init__(self, field: str, code: str, reason: str) -> None:
        self.field, self.code = field, code
        super().__init__(reason)


class Canonical(NamedTuple):
    """A body in our own names."""

    body: Any
    ignored: tuple[str, ...] = ()
    spelled: dict[str, str] = {}
    """The client's spelling of our names, where it differs."""


def canonical(sent: Any) -> Canonical:
    """Return an order's body with our names, whatever names it came with.

    A body that is no object is returned unchanged. Unknown names stay, and the reader refuses them.

    :raises NotTaken: the body says one thing in two spellings, or asks for what we cannot do.
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
    """Yield our names and values for a foreign field."""
    if name in REFUSED:
        raise NotTaken(name, "unknown_field", REFUSED[name])
    if name in SPELLINGS:
        meant = SPELLINGS[name]
        noisy = meant in RATES and type(value) is Decimal
        yield meant, without_noise(value) if noisy else value
    if name == PAIR:
        match = PAIR_FORM.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise NotTaken(name, "invalid_text", "A pair is base and quote, such as SOL/USDC.")
        yield "baseToken", match[1]
        yield "quoteToken", match[2]


def without_noise(number: Decimal) -> Decimal:
    """Return a rate without a computation's noise: 0.7 / 100 is 0.006999999999999999."""
    return Context(prec=12).plus(number).normalize() if is_computed(number) else number


def is_computed(number: Decimal) -> bool:
    """Whether a number has as many digits as a double, so that the last ones may be noise."""
    _, digits, exponent = number.as_tuple()
    is_double = NOISE_DIGITS <= len(digits) <= MOST_DIGITS
    return is_double and isinstance(exponent, int) and -40 < exponent < 0


# --- answers ---------------------------------------------------------------------------------


def with_names(order: dict[str, Any]) -> dict[str, Any]:
    """Return an order with its other names as well: `id`, `websocketUrl` (15 systems)."""
    return {**order, "id": order["orderId"], "websocketUrl": order["wsUrl"]}


def envelope(answer: dict[str, Any], ignored: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return an answer about one order, with all that other systems' clients look for in it.

    That is `success` (16 systems), and the order again as `order` (9) and as `data` (5).
    """
    order = with_names(answer)
    order.pop("message", None)
    again = orjson.Fragment(orjson.dumps(order))  # serialized only once
    told = {**answer, **order, "success": True, "order": again, "data": again}
    return {**told, "ignored": list(ignored)} if ignored else told


def as_list(page: dict[str, Any]) -> dict[str, Any]:
    """Return a page of orders that also lists them as `orders` (23 systems)."""
    named = [with_names(order) for order in page["results"]]
    orders = orjson.Fragment(orjson.dumps(named))  # written once
    return {**page, "results": orders, "orders": orders}


# --- messages --------------------------------------------------------------------------------

NUMBERS = frozenset(
    (
        *("executedPrice", "price", "minAcceptablePrice", "maxAcceptablePrice"),
        *("amount", "amountIn", "amountOut", "minAmountOut", "maxAmountIn", "networkFee"),
        *("marginBps", "splitGainBps", "priceImpactBps", "retryInSeconds"),
        *("limitPrice", "triggerPrice", "activationPrice", "watermark", "remaining"),
        *("minLiquidity", "tip", "rent"),
    )
)
"""The decimals of events. The clients of 13 systems, C among them, expect numbers."""


TAGS = "tags"
"""A client's own words, which stay as they are."""


def with_numbers(text: str | bytes) -> str:
    """Return an event whose decimals are JSON numbers. They are for show: doubles lose digits."""
    return orjson.dumps(_numbered(orjson.loads(text))).decode()


def _numbered(value: Any) -> Any:
    if isinstance(value, list):
        return [_numbered(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: _member(name, item) for name, item in value.items()}


def _member(name: str, item: Any) -> Any:
    if name == TAGS:
        return item
    return as_number(item) if name in NUMBERS and isinstance(item, str) else _numbered(item)


def as_number(text: str) -> float | int:
    """Return the double nearest to a decimal, or an int if it is whole."""
    number = float(text)
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


# --- frames ----------------------------------------------------------------------------------

PONG = "pong"
"""The answer to `ping` as a message (10 systems)."""
PING = frozenset(("type", "action", "id", "timestamp", "time", "ts"))
"""All fields that a ping may have. With any other, it is an order of an unknown type."""


def word_of(frame: dict[str, Any]) -> Any:
    """Return the word for what a frame wants, in `type` or `action`; None if there is none."""
    return frame.get("type", frame.get("action"))


def is_ping(frame: dict[str, Any]) -> bool:
    return word_of(frame) == "ping" and frame.keys() <= PING


def order_named_in(frame: dict[str, Any]) -> Any:
    """Return the id in `{orderId}` or `{payload: {orderId}}`; None if there is none, or two."""
    payload = frame.get("payload")
    places = (frame, payload) if isinstance(payload, dict) else (frame,)
    order_ids = [place.get(name) for place in places for name in ("orderId", "order_id")]
    first, *others = [order_id for order_id in order_ids if order_id is not None] or [None]
    return first if all(order_id == first for order_id in others) else None
