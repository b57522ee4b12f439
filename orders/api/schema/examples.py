"""Examples of what is sent and answered; the tests send and compare them."""

from typing import Any

from drf_spectacular.utils import OpenApiExample

from orders.access.admission import Overloaded
from orders.api.problems import (
    NOTHING_STORED,
    CancellationUnknown,
    DatabaseUnavailable,
    OrderNotFound,
    problem,
    problem_of,
    refusal,
    too_many_requests,
)
from orders.api.schema.sockets import asyncapi
from orders.engine.submission import (
    AccountRequired,
    ClientOrderIdTaken,
    IdempotencyKeyReused,
    NotCancellable,
    OutcomeUnknown,
)
from orders.lifecycle import Status
from routing.tokens import JUP, SOL, USDC, USDT

ORDER_ID = "01a1fc02-2219-7ea8-9f11-ba64b00749af"
SITE = "http://127.0.0.1:8000"

DIALECTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "A": (
        "/orders",
        "A side and an amount of the base token, in the default market",
        {"type": "market", "side": "buy", "amount": 10},
    ),
    "B": (
        "/api/orders/execute",
        "Base and quote, a tolerance in bps",
        {
            **{"baseToken": "SOL", "quoteToken": "USDC", "side": "sell"},
            **{"amountIn": "1.5", "slippageBps": 50},
        },
    ),
    "C": (
        "/api/orders/execute",
        "As B, the default tolerance",
        {"baseToken": "SOL", "quoteToken": "USDC", "side": "buy", "amountIn": "250"},
    ),
    "D": (
        "/orders/execute",
        "In and out, a tolerance as a fraction",
        {"tokenIn": "SOL", "tokenOut": "USDC", "amount": 0.5, "slippage": 0.01},
    ),
    "E": (
        "/execute",
        "In and out alone",
        {"tokenIn": "SOL", "tokenOut": "USDC", "amount": 0.5},
    ),
}
"""By system: the path that its clients send to, its particular, and an order."""

REQUESTS = [
    *(
        OpenApiExample(f"Dialect {name}", summary=f"{name}: {summary}", value=value)
        for name, (_, summary, value) in DIALECTS.items()
    ),
    OpenApiExample(
        "Fixed output",
        summary="What must arrive is fixed",
        value={"tokenIn": "USDC", "tokenOut": "SOL", "amountOut": "2", "slippageBps": 100},
    ),
    OpenApiExample(
        "Limited route",
        summary="At one venue only, and no further than 50 bps",
        value={
            **{"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1.5"},
            **{"venues": ["raydium"], "maxPriceImpactBps": 50},
        },
    ),
]


def links(*, is_cancellable: bool) -> dict[str, str]:
    order = f"{SITE}/api/orders/{ORDER_ID}"
    urls = {
        "order": order,
        "events": f"{order}/events",
        "route": f"{order}/route",
        "stream": f"ws://127.0.0.1:8000/ws/orders/{ORDER_ID}",
    }
    if is_cancellable:
        urls["cancel"] = f"{order}/cancel"
    return urls | {"orders": f"{SITE}/api/orders"}


def events_of(name: str) -> dict[str, Any]:
    """Return the first example of a message of the sockets."""
    payload: dict[str, Any] = asyncapi()["components"]["messages"][name]["examples"][0]["payload"]
    return payload


REQUESTED = events_of("pending")["data"]["order"]
PENDING: dict[str, Any] = {
    **REQUESTED,
    **{"status": "pending", "seq": 1, "attempts": 0, "route": None, "routedDex": None},
    **{"minAmountOut": None, "maxAmountIn": None, "txHash": None, "executedPrice": None},
    **{"executedAmountIn": None, "executedAmountOut": None, "failureCode": None, "error": None},
    **{"createdAt": "2026-11-21T02:49:20.667653Z", "startedAt": None, "finishedAt": None},
    "links": links(is_cancellable=True),
}
ACCEPTED = {"message": "Order received and queued", **PENDING}
CONFIRMED = {
    **PENDING,
    **{"status": "confirmed", "seq": 5, "attempts": 1, "route": "Raydium"},
    **{"routedDex": "raydium", "minAmountOut": "146.315008", "txHash": "RFSQU79R2jgb"},
    **{"executedPrice": "98.717504", "executedAmountIn": "1.5"},
    "executedAmountOut": "148.076256",
    "startedAt": "2026-11-21T02:49:20.671002Z",
    "finishedAt": "2026-11-21T02:49:23.301855Z",
    "links": links(is_cancellable=False),
}
CANCELLED = {
    **PENDING,
    **{"status": "cancelled", "seq": 2, "finishedAt": "2026-11-21T02:49:20.880120Z"},
    "links": links(is_cancellable=False),
}
WAY = ("pending", "routing", "building", "submitted", "confirmed")
LOG = {
    "orderId": ORDER_ID,
    "status": "confirmed",
    "events": [events_of(name) for name in WAY],
    "links": links(is_cancellable=False),
}
DECISION = events_of("building")["data"]
ROUTE = {
    "orderId": ORDER_ID,
    "status": "confirmed",
    "route": DECISION,
    "attempts": [
        {
            "attempt": 1,
            "startedAt": "2026-11-21T02:49:20.671002Z",
            "decidedAt": "2026-11-21T02:49:20.874110Z",
            "decision": DECISION,
            "dropped": DECISION["dropped"],
            "failureCode": None,
            "reason": None,
        }
    ],
    "links": links(is_cancellable=False),
}
MARKETS = {
    "tokens": [
        {"symbol": token.symbol, "mint": token.mint, "decimals": token.decimals}
        for token in (SOL, USDC, JUP, USDT)
    ],
    "markets": [
        {
            **{"market": f"{base}/{quote}", "baseToken": base, "quoteToken": quote},
            **{"referencePrice": price, "takesOrders": True, "through": through},
            "venues": ["raydium", "meteora"],
        }
        for base, quote, price, through in (
            ("SOL", "USDC", "100", []),
            ("JUP", "USDC", "0.5", []),
            ("JUP", "USDT", "0.5", ["SOL", "USDC"]),
        )
    ],
}
PRICES = {
    **{"market": "SOL/USDC", "step": 60},
    **{"from": "2026-11-21T02:49:00.000000Z", "to": "2026-11-21T02:50:00.000000Z"},
    "points": [
        {
            "at": "2026-11-21T02:49:00.000000Z",
            "bid": {"first": "99.7", "low": "99.61", "high": "99.75", "last": "99.7"},
            "ask": {"first": "100.3", "low": "100.24", "high": "100.38", "last": "100.31"},
            "reference": {"first": "100", "low": "99.95", "high": "100.06", "last": "100.02"},
        }
    ],
}
TICKS = {
    **{"market": "SOL/USDC", "step": 1},
    **{"from": "2026-11-21T02:49:20.000000Z", "to": "2026-11-21T02:49:21.000000Z"},
    "points": [
        {
            "at": "2026-11-21T02:49:20.000000Z",
            "bid": dict.fromkeys(("first", "low", "high", "last"), "99.7"),
            "ask": dict.fromkeys(("first", "low", "high", "last"), "100.3"),
            "reference": dict.fromkeys(("first", "low", "high", "last"), "100"),
            "venues": {
                "raydium": {"bid": "99.7", "ask": "100.301"},
                "meteora": {"bid": "99.62", "ask": "100.3"},
            },
        }
    ],
}
HEALTH = {
    **{"status": "ok", "database": "ok", "redis": "ok", "worker": "ok"},
    **{"workers": 1, "since": {}},
}
NO_DATABASE = {
    **{"status": "failed", "database": "down", "redis": "ok", "worker": "unknown"},
    "workers": None,
    "since": {"database": "2026-11-21T09:34:48.720821Z"},
}


def invalid(code: str, field: str, reason: str, message: str, **members: Any) -> dict[str, Any]:
    errors = [{"field": field, "code": reason, "message": message}]
    return problem(400, code, f"{field}: {message}", errors=errors, **members)


INVALID_ORDERS = [
    OpenApiExample(
        "A field that does not exist",
        value=invalid(
            "invalid_order",
            field="slipage",
            reason="unknown_field",
            message="There is no such field.",
            fields=["amount", "slipage", "tokenIn", "tokenOut"],
        ),
    ),
    OpenApiExample(
        "A negative amount",
        value=invalid(
            "invalid_order",
            field="amountIn",
            reason="out_of_range",
            message="The amount must be above zero.",
            fields=["amountIn", "tokenIn", "tokenOut"],
        ),
    ),
    OpenApiExample(
        "No JSON",
        value=problem(
            400, "malformed_json", "The body is not valid JSON: NaN is not a JSON number."
        ),
    ),
]
INVALID_LISTS = [
    OpenApiExample(
        "A status that does not exist",
        value=invalid(
            "invalid_request",
            field="status",
            reason="invalid_choice",
            message=f"Not one of {', '.join(Status)}.",
        ),
    ),
    OpenApiExample(
        "A cursor of somebody else",
        value=invalid(
            "invalid_request",
            field="cursor",
            reason="invalid_cursor",
            message="Not a cursor of ours: take it from next or previous.",
        ),
    ),
]
INVALID_AFTER = OpenApiExample(
    "No seq",
    value=invalid(
        "invalid_request", "after", "invalid_number", "A seq: a whole number, 0 or more."
    ),
)
UNKNOWN_ORDER = OpenApiExample("No such order", value=problem_of(OrderNotFound()))
NOT_CANCELLABLE = OpenApiExample(
    "Submitted",
    value=refusal(NotCancellable(Status.SUBMITTED)),
)
WHO_ARE_YOU = OpenApiExample(
    "No API key",
    value=problem(
        401, "not_authenticated", "Give an API key: Authorization: Bearer KEY, or log in."
    ),
)


ORDERS_REFUSED = (
    AccountRequired(),
    IdempotencyKeyReused(),
    ClientOrderIdTaken(),
    Overloaded(),
    OutcomeUnknown(ORDER_ID),
)
REFUSED = {
    status: [
        OpenApiExample(problem_body["error"], value=problem_body)
        for problem_body in filter(None, map(refusal, ORDERS_REFUSED))
        if problem_body["status"] == status
    ]
    for status in (400, 409, 422, 503)
}
TOO_MANY = OpenApiExample("Too many", value=too_many_requests(7))
NO_DATABASE_PROBLEM = OpenApiExample("No database", value=problem_of(DatabaseUnavailable()))
NOTHING_STORED_PROBLEM = OpenApiExample(
    "No database", value=problem_of(DatabaseUnavailable(NOTHING_STORED))
)
CANCELLATION_UNKNOWN = OpenApiExample(
    "Outcome unknown",
    value=problem_of(CancellationUnknown(ORDER_ID), orderId=ORDER_ID),
)

KEY: dict[str, Any] = {
    **{"prefix": "oee_test_Tb3k91Qx", "name": "trading bot", "scopes": ["read", "trade"]},
    **{"addresses": ["203.0.113.0/24"], "standing": "holds"},
    **{"createdAt": "2026-11-21T02:49:50.667653Z", "expiresAt": "2027-02-19T02:49:50.667653Z"},
    **{"revokedAt": None, "lastUsedAt": "2026-11-21T09:30:01.104Z", "lastUsedFrom": "203.0.113.7"},
    **{"rotatedFrom": None, "rotatedTo": None},
}
REVOKED_KEY = KEY | {"standing": "revoked", "revokedAt": "2026-11-22T08:00:00.312Z"}
MADE_KEY = {
    "key": "oee_test_Tb3k91QxW7m0aJkq5dXn2sVf8rZtYb4uHc6LgPpEoTi9",
    **KEY,
    **{"lastUsedAt": None, "lastUsedFrom": None},
}
NEW_KEY = OpenApiExample(
    "A bot at one place",
    value={"name": "trading bot", "scopes": ["read", "trade"], "addresses": ["203.0.113.0/24"]},
)
NEW_NAME = OpenApiExample("A name", value={"name": "trading bot"})
ROTATION = OpenApiExample("An hour for the change", value={"overlapHours": 1})
