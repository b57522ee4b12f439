"""Examples of what is sent and answered; the tests send and compare them."""

from typing import Any

from drf_spectacular.utils import OpenApiExample

from orders.access.admission import Overloaded
from orders.access.keys import TooManyKeys
from orders.access.open_orders import TooManyOpenOrders
from orders.api.problems import (
    NOTHING_STORED,
    AllRefused,
    AmendmentUnknown,
    CancellationUnknown,
    DatabaseUnavailable,
    OrderNotFound,
    SeqRequired,
    encode_json,
    problem,
    problem_of,
    refusal,
    too_many_requests,
)
from orders.api.schema.sockets import events_of
from orders.engine.changes.amending import NotAmendable, OrderChanged
from orders.engine.moves import TradingHalted
from orders.engine.quotes import NotQuoted
from orders.engine.submission import (
    AccountRequired,
    ClientOrderIdTaken,
    IdempotencyKeyReused,
    NotCancellable,
    OutcomeUnknown,
    PricesUnavailable,
)
from orders.lifecycle import Status
from orders.streams.cursor import UnknownCursor
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

SELL: dict[str, Any] = {"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1.5"}
BY_TYPE: dict[str, tuple[str, dict[str, Any]]] = {
    "limit": (
        "Fills at this price or better, fees included",
        SELL | {"type": "limit", "limitPrice": "112", "expiresInSeconds": 86400},
    ),
    "stop": (
        "Sells once the best bid has fallen so far",
        SELL | {"type": "stop", "triggerPrice": "95"},
    ),
    "stopLimit": (
        "The same, but never below the limit",
        SELL | {"type": "stopLimit", "triggerPrice": "95", "limitPrice": "94"},
    ),
    "takeProfit": (
        "Sells once the best bid has risen so far",
        SELL | {"type": "takeProfit", "triggerPrice": "112"},
    ),
    "trailingStop": (
        "Follows the best bid by 1.5 %, from 110 on",
        SELL | {"type": "trailingStop", "trailBps": 150, "activationPrice": "110"},
    ),
    "oco": (
        "A target and a stop for one amount, of which one at most fills",
        SELL
        | {
            "type": "oco",
            "takeProfit": {"limitPrice": "112"},
            "stopLoss": {"triggerPrice": "95", "slippageBps": 500},
        },
    ),
    "twap": (
        "In 20 slices, one a minute, each at this price or better",
        {
            **{"tokenIn": "USDC", "tokenOut": "SOL", "amountIn": "10000", "type": "twap"},
            **{"slices": 20, "intervalSeconds": 60, "limitPrice": "103", "slippageBps": 50},
        },
    ),
    "sniper": (
        "Buys as soon as a first pool that holds 50 SOL can be traded in",
        {
            **{"tokenIn": "SOL", "tokenOut": "JUP", "amountIn": "2", "type": "sniper"},
            **{"limitPrice": "0.0055", "poolEvent": "launch", "minLiquidity": "50"},
            "expiresInSeconds": 3600,
        },
    ),
    "bracket": (
        "A purchase whose exits are made when it fills",
        {
            **{"tokenIn": "USDC", "tokenOut": "SOL", "amountIn": "150"},
            **{"type": "limit", "limitPrice": "100", "tags": {"desk": "a"}},
            **{"takeProfit": {"limitPrice": "112"}, "stopLoss": {"trailBps": 200}},
        },
    ),
}
"""An order of each type: what it does, and the order."""

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
    *(
        OpenApiExample(f"Type {name}", summary=f"{name}: {summary}", value=value)
        for name, (summary, value) in BY_TYPE.items()
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
STOP = events_of("open")["data"]["order"]
ACCEPTED_STOP: dict[str, Any] = {
    "message": events_of("open")["message"],
    **PENDING,
    **STOP,
    **{"status": "open", "phase": "waiting", "releases": 0},
}
GROUP: dict[str, Any] = {
    "groupId": "01a1fc02-2219-7ea8-9f11-ba64b00749b0",
    "groupRole": "stopLoss",
    "siblingOrderId": "01a1fc02-2219-7ea8-9f11-ba64b00749ae",
}
TARGET_TERMS: dict[str, Any] = {
    **{"type": "limit", "slippageBps": None, "limitPrice": "112", "minAmountOut": "168"},
    **{"timeInForce": "gtc", "expiresAt": None, "phase": "waiting", "releases": 0},
    "summary": "Sell 1.5 SOL at 112 USDC per SOL or better, fees included; good till cancelled;"
    " one of two, of which one at most is filled.",
}
ACCEPTED_GROUP = {
    "groupId": GROUP["groupId"],
    "orders": [
        {
            **{"message": events_of("open")["message"], **PENDING, **TARGET_TERMS, **GROUP},
            **{"status": "open", "groupRole": "takeProfit", "siblingOrderId": ORDER_ID},
            "orderId": GROUP["siblingOrderId"],
            "wsUrl": f"/ws/orders/{GROUP['siblingOrderId']}",
        },
        ACCEPTED_STOP | GROUP,
    ],
}
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
CANCELLATION = OpenApiExample("When possible", value={"whenPossible": True}, request_only=True)
CANCEL_REQUESTED = {
    **PENDING,
    **{"status": "submitted", "seq": 4, "cancelRequested": True},
    "links": links(is_cancellable=False),
}
WAY = ("pending", "routing", "building", "submitted", "confirmed")
LOG = {
    "orderId": ORDER_ID,
    "status": "confirmed",
    "events": [events_of(name) for name in WAY],
    "links": links(is_cancellable=False),
}
CURSOR = "5d0c2ad1.20714"
EVENT_PAGE = {"events": LOG["events"], "cursor": CURSOR, "more": False}
STREAM = (
    "event: status_update\n"
    f"data: {encode_json(events_of('routing'))}\n\n"
    f"event: checkpoint\nid: {CURSOR}\n"
    f"data: {encode_json({'type': 'checkpoint', 'cursor': CURSOR})}\n\n"
)
ORDER_TABLE = f"orderId,createdAt,…\r\n{ORDER_ID},2026-11-21T02:49:20.660112Z,…\r\n"
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
            **{"priceDecimals": 4, "amountDecimals": {"base": 4, "quote": 4}},
            **{"referencePrice": price, "minAmountIn": {"sell": sell, "buy": buy}},
            **{"takesOrders": True, "through": through},
            "venues": ["raydium", "meteora"],
        }
        for base, quote, price, sell, buy, through in (
            ("SOL", "USDC", "100", "0.000001", "0.00001", []),
            ("JUP", "USDC", "0.5", "0.0002", "0.00005", []),
            ("JUP", "USDT", "0.5", "0.0002", "0.00005", ["SOL", "USDC"]),
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
ME = {
    **{"account": "ada", "isStaff": False, "mayTradeAnonymously": True},
    "scopes": ["read", "trade"],
    "limits": {
        **{"ordersPerMinute": 600, "restingPerMinute": 600, "previewsPerMinute": 240},
        **{"openOrders": 10_000, "maxOrderValue": None},
        **{"maxSlippageBps": 5_000, "maxPriceImpactBps": 1_000},
    },
}
COMPARED = {"orders": 12, "amount": "1.36", "bps": "92.99", "p5Bps": "3.1", "medianBps": "71.4"}
FIGURES = {
    **{"orders": 14, "confirmed": 12, "failed": 1, "cancelled": 1, "expired": 0},
    **{"confirmedPercent": "92.31", "volume": "1480.2"},
    "vsQuote": COMPARED | {"amount": "-0.04", "bps": "-0.27", "p5Bps": "-4.1", "medianBps": "0.3"},
    "vsOther": COMPARED,
    "secondsToConfirm": {"p50": 2.84, "p95": 3.31},
}
EXECUTION_QUALITY = {
    **{"window": "24h", "whose": "mine", "isWhole": True},
    **{"from": "2026-11-20T02:50:00.000000Z", "to": "2026-11-21T02:50:00.000000Z"},
    "total": FIGURES,
    "byVenue": [{"venue": "meteora"} | FIGURES],
    "byMarket": [{"market": "SOL/USDC"} | FIGURES],
    "bySide": [{"side": "sell"} | FIGURES],
    "bySize": [{"size": "100-1000"} | FIGURES],
    "byHour": [{"hour": "2026-11-21T02:00:00.000000Z"} | FIGURES],
}
HEALTH = {
    **{"status": "ok", "state": "active", "database": "ok", "redis": "ok", "worker": "ok"},
    **{"workers": 1, "since": {}},
}
NO_DATABASE = {
    **{"status": "failed", "state": "unknown"},
    **{"database": "down", "redis": "ok", "worker": "unknown"},
    "workers": None,
    "since": {"database": "2026-11-21T09:34:48.720821Z"},
}


def invalid(code: str, field: str, reason: str, message: str, **members: Any) -> dict[str, Any]:
    errors = [{"field": field, "code": reason, "message": message}]
    return problem(400, code, f"{field}: {message}", errors=errors, **members)


CROSSED = invalid(
    "invalid_order",
    field="triggerPrice",
    reason="would_trigger_immediately",
    message="The price is 94.2, so it would go off at once. If that is meant, give ifCrossed:"
    " execute (now it is reject).",
    fields=["amountIn", "tokenIn", "tokenOut", "triggerPrice", "type"],
)
CROSSED["errors"][0]["price"] = "94.2"
INVALID_ORDERS = [
    OpenApiExample("A stop that has been crossed", value=CROSSED),
    OpenApiExample(
        "A field of another type",
        value=invalid(
            "invalid_order",
            field="stopLoss",
            reason="not_for_this_type",
            message="Orders of type trailingStop have no use for it.",
            fields=["amountIn", "stopLoss", "tokenIn", "tokenOut", "trailBps", "type"],
        ),
    ),
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
UNKNOWN_CURSOR = OpenApiExample("Of another database", value=refusal(UnknownCursor()))
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
    TooManyOpenOrders(),
    PricesUnavailable(),
    Overloaded(),
    TradingHalted(),
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
NO_PRICES = OpenApiExample("No prices", value=refusal(NotQuoted()) or {})
QUOTE = {name: value for name, value in events_of("quote").items() if name not in ("type", "seq")}
PREVIEW = {name: value for name, value in REQUESTED.items() if name not in ("orderId", "wsUrl")} | {
    **{name: QUOTE[name] for name in QUOTE if name not in REQUESTED and name != "market"},
    "executesNow": True,
    "reserved": {"token": "SOL", "amount": "1.5"},
    "warnings": [],
}
NO_DATABASE_PROBLEM = OpenApiExample("No database", value=problem_of(DatabaseUnavailable()))
NOTHING_STORED_PROBLEM = OpenApiExample(
    "No database", value=problem_of(DatabaseUnavailable(NOTHING_STORED))
)
CANCELLATION_UNKNOWN = OpenApiExample(
    "Outcome unknown",
    value=problem_of(CancellationUnknown(ORDER_ID), orderId=ORDER_ID),
)
BATCH = OpenApiExample(
    "Two orders, both or neither",
    value={
        "mode": "all",
        "orders": [
            {"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1.5"},
            {"tokenIn": "USDC", "tokenOut": "SOL", "amountIn": "100"},
        ],
    },
)
BATCH_REFUSED = OpenApiExample(
    "One is no order",
    value=problem_of(
        AllRefused([]), items=[{"index": 0, "status": 503, "problem": refusal(Overloaded())}]
    ),
)
BATCH_ANSWER = [{"index": 0, "status": 201, "order": ACCEPTED}]
CANCEL_MANY = OpenApiExample("One", value={"orderIds": [ORDER_ID], "whenPossible": True})
CANCEL_MANY_ANSWER = [
    {"index": 0, "orderId": ORDER_ID, "status": 404, "problem": problem_of(OrderNotFound())}
]
CANCEL_ALL = OpenApiExample(
    "Entries of one market", value={"market": "SOL/USDC", "scope": "entries", "tag.book": "a"}
)
CANCELLED_ALL = {"cancelled": 1, "requested": 0, "orderIds": [ORDER_ID]}
AMENDMENT = OpenApiExample("Another price", value={"limitPrice": "102.5", "seq": 1})
AMENDED = PENDING | {"seq": 2}
ORDER_CHANGED = OpenApiExample("Changed", value=refusal(OrderChanged(4, Status.PENDING)) or {})
NOT_AMENDABLE = OpenApiExample("Filled", value=refusal(NotAmendable(Status.CONFIRMED)) or {})
SEQ_REQUIRED = OpenApiExample("No seq", value=problem_of(SeqRequired()))
AMENDMENT_UNKNOWN = OpenApiExample(
    "Outcome unknown", value=problem_of(AmendmentUnknown(ORDER_ID), orderId=ORDER_ID)
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

BY_STATUS = {
    str(found["status"]): {"summary": found["title"], "value": found}
    for found in (
        invalid("invalid_request", "a", "unknown_parameter", "There is no such parameter."),
        problem(403, "permission_denied", "CSRF Failed: CSRF token missing."),
        problem(404, "key_not_found", "You have no such API key."),
        problem(406, "not_acceptable", "Could not satisfy the request Accept header."),
        refusal(TooManyKeys()) or {},
        problem(413, "body_too_large", "The body may have 65536 bytes."),
        problem(415, "unsupported_media_type", 'Unsupported media type "text/plain" in request.'),
        refusal(IdempotencyKeyReused()) or {},
        too_many_requests(7),
    )
}
"""Of answers that are alike everywhere, an example for each status."""
