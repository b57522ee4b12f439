"""The shapes of HTTP answers, as JSON Schema. Those of events are in `asyncapi.yaml`."""

from typing import Any

from orders.access.keys import MAX_ADDRESSES, MOST_DAYS, MOST_OVERLAP_HOURS, OVERLAP_HOURS, SCOPES
from orders.api.key_requests import MAX_NAME
from orders.api.schema.problem_codes import problem_codes
from orders.api.schema.sockets import shared_schemas
from orders.lifecycle import CANCELLABLE
from orders.words import Phase

Schema = dict[str, Any]

REQUESTED: Schema = shared_schemas()["RequestedOrder"]


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def nullable(schema: Schema, description: str = "") -> Schema:
    shape: Schema = {"anyOf": [schema, {"type": "null"}]}
    return shape | {"description": description} if description else shape


def closed(properties: dict[str, Schema], *optional: str, description: str = "") -> Schema:
    """Return an object with these members and no others; all but the optional ones are required."""
    shape: Schema = {
        "type": "object",
        "additionalProperties": False,
        "required": [name for name in properties if name not in optional],
        "properties": properties,
    }
    return shape | {"description": description} if description else shape


TEXT: Schema = {"type": "string"}
TIME: Schema = {"type": "string", "format": "date-time"}
URL: Schema = {"type": "string", "format": "uri"}
COUNT: Schema = {"type": "integer", "minimum": 0}
DECIMAL = ref("Decimal")

LINKS = closed(
    {
        "order": URL,
        "events": URL,
        "route": URL | {"description": "How it was routed, and why."},
        "stream": URL | {"description": "The order's WebSocket."},
        "cancel": URL | {"description": f"While it is {', '.join(sorted(CANCELLABLE))}."},
        "admin": URL | {"description": "For people who may enter the admin."},
        "orders": URL,
    },
    "cancel",
    "admin",
)
GAIN: Schema = ref("SignedDecimal")
QUALITY: dict[str, Schema] = {
    "quotedAmount": nullable(
        DECIMAL,
        "What the fill was quoted at: the output of a fixed input, the input of a fixed output."
        " Null without a fill. This and what follows is there a few seconds after the end.",
    ),
    "vsQuoteBps": nullable(GAIN, "The fill against the quote; positive: better."),
    "otherVenue": nullable(TEXT, "The runner-up; of a split the best single venue."),
    "vsOtherBps": nullable(GAIN, "The fill against what the runner-up offered; null: none did."),
    "vsOtherAmount": nullable(GAIN, "The same as an amount."),
    "arrivalPrice": nullable(
        DECIMAL, "The market's reference in the second of acceptance, quote per base."
    ),
    "executionParts": nullable(
        ref("ExecutionParts"), "From the arrival price to the fill; null: without one of the two."
    ),
}
ORDER: dict[str, Schema] = {
    **REQUESTED["properties"],
    "status": ref("Status"),
    "seq": {"type": "integer", "minimum": 1, "description": "Of its last event."},
    "attempts": COUNT,
    "route": nullable(TEXT, "The venue's name as people write it."),
    "routedDex": nullable(ref("Venue")),
    "minAmountOut": nullable(DECIMAL, "The bound of a fixed input."),
    "maxAmountIn": nullable(DECIMAL, "The bound of a fixed output."),
    "txHash": nullable(TEXT),
    "executedPrice": nullable(DECIMAL, "Quote per base, all fees included."),
    "executedAmountIn": nullable(DECIMAL),
    "executedAmountOut": nullable(DECIMAL),
    "failureCode": nullable(ref("FailureCode")),
    "error": nullable(TEXT, "Why it failed, for people."),
    "createdAt": TIME,
    "startedAt": nullable(TIME),
    "finishedAt": nullable(TIME),
    "phase": {"enum": list(Phase), "description": "What it does while it is `open`."},
    "triggeredAt": TIME,
    "triggerTick": {"type": "integer", "description": "The unix second of those prices."},
    "releases": COUNT | {"description": "How often it was released to be filled."},
    "restUntil": TIME | {"description": "When it is tried again."},
    "watermark": DECIMAL | {"description": "The best price that it trails: of one order alone."},
    "currentTriggerPrice": DECIMAL | {"description": "Where it goes off now: of one order alone."},
    "children": {
        "type": "array",
        "items": TEXT | {"format": "uuid"},
        "description": "The orders that were made of it: a bracket's exits.",
    },
    "slicesFilled": COUNT | {"description": "Of a twap: how many of its slices filled."},
    "remainingAmount": DECIMAL | {"description": "Of a twap: what is not traded yet."},
    "filledPercent": DECIMAL | {"description": "Of a twap: what is traded, of its amountIn."},
    "nextSliceAt": {
        "type": ["string", "null"],
        "format": "date-time",
        "description": "Of a twap: when its next slot is due. Null after its last.",
    },
    "warnings": {
        "type": "array",
        "items": {"enum": ["no_price_limit"]},
        "description": "When it is accepted: what to think about once more.",
    },
    **QUALITY,
    "cancelRequested": {"type": "boolean"},
    "replacedBy": TEXT | {"format": "uuid"},
    "reason": ref("EndReason"),
    "links": ref("Links"),
}
TOLD_OF_ALL = {*REQUESTED["required"], "summary", "minAmountOut", "maxAmountIn"}
ASKED_BY_SOME = tuple(name for name in REQUESTED["properties"] if name not in TOLD_OF_ALL)
OF_SOME = (
    *ASKED_BY_SOME,
    *("phase", "triggeredAt", "triggerTick", "releases", "restUntil", "watermark"),
    *("currentTriggerPrice", "children", "cancelRequested", "replacedBy", "reason"),
    *("slicesFilled", "remainingAmount", "filledPercent", "nextSliceAt", "warnings"),
    *QUALITY,
)
"""Members that only some orders have."""
ALIAS: Schema = {"x-alias": True}
"""Marks members for other systems (`orders/api/reading/dialects.py`). Examples lack them."""
NAMES: dict[str, Schema] = {
    "id": TEXT | ALIAS | {"format": "uuid", "description": "The same as orderId."},
    "websocketUrl": TEXT | ALIAS | {"description": "The same as wsUrl."},
}
ENVELOPE: dict[str, Schema] = {
    "success": ALIAS | {"const": True},
    "order": ALIAS | {"allOf": [ref("NamedOrder")], "description": "The order again."},
    "data": ALIAS | {"allOf": [ref("NamedOrder")], "description": "The order again."},
}
SCOPE_LIST: Schema = {
    "type": "array",
    "items": {"enum": list(SCOPES)},
    "minItems": 1,
    "description": "`read` sees and follows orders; `trade` sends and cancels them.",
}
ADDRESSES: Schema = {
    "type": "array",
    "items": TEXT | {"maxLength": 64},
    "maxItems": MAX_ADDRESSES,
    "description": "Addresses and networks from which alone it may be used; none: from anywhere.",
}
KEY_NAME: Schema = TEXT | {"maxLength": MAX_NAME, "description": "For people."}
KEY: dict[str, Schema] = {
    "prefix": TEXT | {"description": "The first characters, by which the key is named."},
    "name": KEY_NAME,
    "scopes": SCOPE_LIST,
    "addresses": ADDRESSES,
    "standing": {"enum": ["holds", "expired", "revoked"]},
    "createdAt": TIME,
    "expiresAt": nullable(TIME),
    "revokedAt": nullable(TIME),
    "lastUsedAt": nullable(TIME, "To the minute."),
    "lastUsedFrom": nullable(TEXT, "The address; of IPv6 its /64."),
    "rotatedFrom": nullable(TEXT, "The prefix of the key whose place it takes."),
    "rotatedTo": nullable(TEXT, "The prefix of the key that takes its place."),
}
IGNORED: Schema = {
    "type": "array",
    "items": TEXT,
    "description": "Fields that say who sends it, such as userId: not read, and no credential.",
}
DECISION: dict[str, Schema] = shared_schemas()["DecisionData"]["properties"]
SWAP: dict[str, Schema] = {
    "market": TEXT | {"description": "Base and quote: `SOL/USDC`."},
    "side": {"enum": ["buy", "sell"]},
    "tokenIn": TEXT,
    "tokenOut": TEXT,
    "amountIn": nullable(DECIMAL),
    "amountOut": nullable(DECIMAL),
}
NO_ROUTE: dict[str, Schema] = {
    "failureCode": ref("FailureCode"),
    "error": TEXT | {"description": "Why an order would fail, for people."},
}
OFFER: dict[str, Schema] = {
    **DECISION,
    "expiresInMs": COUNT | {"description": "Milliseconds until the prices may change."},
    **NO_ROUTE,
}
"""What the venues offer, or why none of them does."""
NUMBER = ref("Amount")
FLAG: Schema = {
    **{"type": "boolean", "default": False},
    "description": "Also those that were submitted, once their transactions are proven dead.",
}
AMENDMENT: dict[str, Schema] = {
    "seq": {"type": "integer", "minimum": 1, "description": "That you saw; or as If-Match."},
    "limitPrice": nullable(NUMBER),
    "triggerPrice": nullable(NUMBER),
    "trailBps": nullable(NUMBER, "The watermark is kept."),
    "activationPrice": nullable(NUMBER, "Null: armed at once."),
    "slippageBps": nullable(NUMBER),
    "slippage": nullable(NUMBER, "Or as a fraction."),
    "amountIn": nullable(NUMBER, "More of it takes its place behind others of its price."),
    "amountOut": nullable(NUMBER),
    "expiresAt": nullable(TIME, "Null: good till cancelled."),
    "expiresInSeconds": nullable(NUMBER),
    "tags": nullable({"type": "object", "additionalProperties": TEXT}),
    "catchUp": nullable(TEXT, "Of a twap, as are limitPrice, slippageBps, amountIn and tags."),
    "takeProfit": nullable({"type": "object"}, "Of a bracket; null: none."),
    "stopLoss": nullable({"type": "object"}, "Of a bracket; null: none."),
    "ifCrossed": nullable(TEXT, "execute: also if it then goes off at once."),
}
PRICE = nullable(DECIMAL, "Null: no price is fresh.")
OUTLOOK: dict[str, Schema] = {
    "type": TEXT,
    "summary": TEXT,
    "executesNow": {"type": "boolean"},
    "reserved": nullable(
        closed({"token": TEXT, "amount": DECIMAL}), "What it takes at most; null: a quote decides."
    ),
    "warnings": {
        "type": "array",
        "items": {
            "enum": [
                *("no_price_limit", "wide_slippage", "far_from_market", "below_cost_of_network")
            ]
        },
    },
    **OFFER,
    "wouldTrigger": {
        **{"type": ["boolean", "null"]},
        "description": "Of what rests: whether its price is there now. Null: no price is fresh.",
    },
    "price": PRICE,
    "distanceBps": nullable(DECIMAL, "From that price to its own; negative: it was passed."),
    "sized": closed(
        {
            "fits": {"type": "boolean", "description": "Whether the whole amount nets the limit."},
            "netPrice": nullable(DECIMAL, "Of the whole amount."),
            "atPrice": nullable(DECIMAL, "At which price of the pair it would."),
        }
    ),
    "slots": {
        **{"type": "array", "items": closed({"slice": COUNT, "at": TIME, "amountIn": DECIMAL})},
        "description": "Of a twap: when each slice is due, and how large it is.",
    },
    "orders": {
        **{"type": "array", "items": {"type": "object"}},
        "description": "Of an OCO the same of each of its two orders.",
    },
}
FIGURES: dict[str, Schema] = {
    "orders": COUNT,
    **dict.fromkeys(("confirmed", "failed", "cancelled", "expired"), COUNT),
    "confirmedPercent": nullable(DECIMAL, "Of those that were confirmed or failed."),
    "volume": DECIMAL | {"description": "In USDC."},
    "vsQuote": ref("Comparison"),
    "vsOther": ref("Comparison"),
    "secondsToConfirm": closed(dict.fromkeys(("p50", "p95"), nullable({"type": "number"})))
    | {"description": "Since the acceptance, or the last release of an order that rested."},
}


def figures_by(key: str, shape: Schema) -> Schema:
    return {"type": "array", "items": closed({key: shape, **FIGURES})}


SCHEMAS: dict[str, Schema] = {
    "Preview": {
        "type": "object",
        "description": "An order as it would be shown, and what it would do.",
        "required": ["type"],
        "properties": OUTLOOK,
    },
    "Batch": closed(
        {
            "orders": {
                **{"type": "array", "items": {}, "minItems": 1, "maxItems": 100},
                "description": (
                    "Each as the body of `POST /api/orders/execute`. What is none is answered so by"
                    " itself."
                ),
            },
            "mode": {"enum": ["independent", "all", None], "default": "independent"},
        },
        "mode",
    ),
    "BatchAnswer": {
        "type": "array",
        "items": closed(
            {
                "index": COUNT,
                "status": {"type": "integer", "description": "As of a request of its own."},
                "order": ref("NamedAcceptedOrder"),
                "groupId": TEXT | {"description": "Of an OCO, beside its two orders."},
                "orders": {"type": "array", "items": ref("NamedAcceptedOrder")},
                "problem": ref("Problem"),
            },
            *("order", "groupId", "orders", "problem"),
        ),
    },
    "NamedAcceptedOrder": closed({"message": TEXT, **ORDER, **NAMES}, *OF_SOME, *NAMES),
    "CancelMany": closed(
        {
            "orderIds": {"type": "array", "items": TEXT, "minItems": 1, "maxItems": 500},
            "whenPossible": FLAG,
        },
        "whenPossible",
    ),
    "CancelManyAnswer": {
        "type": "array",
        "items": closed(
            {
                "index": COUNT,
                "orderId": {"description": "As it was sent; null if it cannot be repeated."},
                "status": {"type": "integer", "description": "As of a request of its own."},
                "order": ref("NamedOrder"),
                "problem": ref("Problem"),
            },
            *("order", "problem"),
        ),
    },
    "CancelAll": {
        "type": "object",
        "properties": {
            "market": TEXT,
            "side": TEXT,
            "types": {"type": "array", "items": TEXT, "minItems": 1},
            "scope": {"enum": ["all", "entries"], "default": "all"},
            "whenPossible": FLAG,
        },
        "patternProperties": {"^tag\\.": TEXT},
        "additionalProperties": False,
    },
    "CancelAllAnswer": closed(
        {
            "cancelled": COUNT,
            "requested": COUNT | {"description": "Submitted, and marked (`whenPossible`)."},
            "orderIds": {"type": "array", "items": TEXT, "maxItems": 1000},
        }
    ),
    "Amendment": closed(
        AMENDMENT,
        *AMENDMENT,
        description="What is to be another; what is not named stays as it is.",
    ),
    "QuoteAnswer": closed(
        {**SWAP, "slippageBps": COUNT, **OFFER},
        *OFFER,
        description="What an order would get now; or how it would fail.",
    ),
    "Key": closed(KEY),
    "KeyList": closed({"keys": {"type": "array", "items": ref("Key")}}),
    "MadeKey": closed(
        {"key": TEXT | {"description": "The key itself. It is in no other answer."}, **KEY}
    ),
    "NewKey": closed(
        {
            **{"name": KEY_NAME, "scopes": SCOPE_LIST, "addresses": ADDRESSES},
            "expiresInDays": {"type": "integer", "minimum": 1, "maximum": MOST_DAYS},
        },
        *("name", "addresses", "expiresInDays"),
    ),
    "NewName": closed({"name": KEY_NAME}),
    "Rotation": closed(
        {
            "overlapHours": {
                **{"type": "integer", "minimum": 0, "maximum": MOST_OVERLAP_HOURS},
                **{"default": OVERLAP_HOURS, "description": "For which the old key holds on."},
            }
        },
        "overlapHours",
    ),
    "Cancellation": closed(
        {
            "whenPossible": {
                "type": "boolean",
                "default": False,
                "description": "Cancel a submitted order once its transaction is proven dead.",
            }
        },
        "whenPossible",
    ),
    "Links": LINKS,
    "NamedOrder": closed(
        {**ORDER, **NAMES}, *OF_SOME, *NAMES, description="An order in a list or an answer."
    ),
    "Order": closed(
        {**ORDER, **NAMES, **ENVELOPE},
        *(*OF_SOME, *NAMES, *ENVELOPE),
        description="An order as it stands; null where nothing is known yet.",
    ),
    "AcceptedOrder": closed(
        {"message": TEXT, **ORDER, "ignored": IGNORED, **NAMES, **ENVELOPE},
        *(*OF_SOME, "ignored", *NAMES, *ENVELOPE),
    ),
    "AcceptedGroup": closed(
        {
            "groupId": TEXT | {"format": "uuid"},
            "orders": {
                "type": "array",
                "items": ref("AcceptedOrder"),
                "minItems": 2,
                "maxItems": 2,
                "description": "The target, then the stop.",
            },
            "ignored": IGNORED,
        },
        "ignored",
        description="The two orders of an oco, of which at most one fills.",
    ),
    "Accepted": {"oneOf": [ref("AcceptedOrder"), ref("AcceptedGroup")]},
    "OrderPage": closed(
        {
            "next": nullable(URL, "Older orders; null at the end."),
            "previous": nullable(URL, "Newer orders; null at the beginning."),
            "results": {"type": "array", "items": ref("NamedOrder")},
            "orders": ALIAS
            | {
                "type": "array",
                "items": ref("NamedOrder"),
                "description": "The same as results.",
            },
        },
        "orders",
        description=(
            "Newest first. A page may hold fewer orders than the limit, or none, while `next` is"
            " there: it has then looked through as many as it may, and `next` goes on from there."
        ),
    ),
    "SocketTicket": closed({"ticket": ref("Ticket"), "expiresAt": TIME}),
    "EventLog": closed(
        {
            "orderId": {"type": "string", "format": "uuid"},
            "status": ref("Status"),
            "events": {"type": "array", "items": ref("Event")},
            "links": ref("Links"),
        }
    ),
    "Cursor": {
        "type": "string",
        "description": "A place in the log of all events: letters, digits, `.` and `-`.",
    },
    "EventPage": closed(
        {
            "events": {"type": "array", "items": ref("Event")},
            "cursor": ref("Cursor"),
            "more": {"type": "boolean", "description": "Go on at once: there are more."},
        }
    ),
    "EventStream": {"type": "string", "description": "Server-sent events, in UTF-8."},
    "OrderTable": {"type": "string", "description": "Comma-separated values, in UTF-8."},
    "RouteLog": closed(
        {
            "orderId": {"type": "string", "format": "uuid"},
            "status": ref("Status"),
            "route": nullable(ref("DecisionData"), "The latest decision."),
            "attempts": {"type": "array", "items": ref("RoutedAttempt")},
            "links": ref("Links"),
        }
    ),
    "RoutedAttempt": closed(
        {
            "attempt": COUNT,
            "startedAt": TIME,
            "decidedAt": nullable(TIME),
            "decision": nullable(ref("DecisionData"), "None if no venue was chosen."),
            "dropped": {"type": "array", "items": ref("DroppedQuote")},
            "failureCode": nullable(ref("FailureCode"), "Why the attempt came to nothing."),
            "reason": nullable(TEXT, "The same for people."),
        }
    ),
    "Event": {
        "description": "One step of an order: the same as a message of its stream.",
        "oneOf": [ref(f"{status.title()}Event") for status in shared_schemas()["Status"]["enum"]],
    },
    "MarketList": closed(
        {
            "tokens": {"type": "array", "items": ref("TradedToken")},
            "markets": {"type": "array", "items": ref("TradedMarket")},
        }
    ),
    "TradedToken": closed(
        {
            "symbol": TEXT,
            "mint": TEXT | {"description": "Its address, in base58."},
            "decimals": COUNT | {"description": "Amounts may have as many."},
        }
    ),
    "TradedMarket": closed(
        {
            "market": TEXT | {"description": "Base and quote: `SOL/USDC`."},
            "baseToken": TEXT,
            "quoteToken": TEXT,
            "referencePrice": DECIMAL,
            "priceDecimals": COUNT | {"description": "Its prices are shown with as many."},
            "amountDecimals": closed({"base": COUNT, "quote": COUNT})
            | {"description": "Amounts of its tokens are shown with as many; they may have more."},
            "minAmountIn": closed({"sell": DECIMAL, "buy": DECIMAL})
            | {
                "description": "The least input of a slice of a TWAP, and of a bracket's exits, by"
                " side, in whole tokens of what goes in. Market orders are not held to it."
            },
            "takesOrders": {
                "type": "boolean",
                "description": "If not, new orders are refused with `market_closed`.",
            },
            "through": {
                "type": "array",
                "items": TEXT,
                "description": "Of two hops, the tokens in the middle. Empty: it has pools.",
            },
            "venues": {"type": "array", "items": ref("Venue")},
        }
    ),
    "PriceSpan": closed(
        dict.fromkeys(("first", "low", "high", "last"), DECIMAL),
        description="Whole quote tokens for a base token, fees included.",
    ),
    "PricePoint": closed(
        {
            "at": TIME | {"description": "When its time begins."},
            "bid": nullable(ref("PriceSpan"), "What the next atom of base is sold at."),
            "ask": nullable(ref("PriceSpan"), "What it is bought at."),
            "reference": nullable(ref("PriceSpan"), "The market's price, which no venue makes."),
            "venues": {
                "type": "object",
                "additionalProperties": ref("VenuePrices"),
                "description": "By venue, in the last second; not in points older than two hours.",
            },
        },
        "venues",
    ),
    "PriceHistory": closed(
        {
            "market": TEXT,
            "from": TIME,
            "to": TIME | {"description": "Before which the last point begins."},
            "step": COUNT | {"description": "Seconds of a point."},
            "points": {"type": "array", "items": ref("PricePoint")},
        }
    ),
    "Me": closed(
        {
            "account": nullable(TEXT, "Its name; null: anonymous."),
            "isStaff": {"type": "boolean", "description": "Whether the admin is open to it."},
            "mayTradeAnonymously": {"type": "boolean"},
            "scopes": {
                "type": "array",
                "items": {"enum": list(SCOPES)},
                "description": "What this request's credential allows; none without one, unless"
                " anonymous orders are taken.",
            },
            "limits": closed(
                {
                    "ordersPerMinute": nullable(COUNT, "Sent by the account; null: no limit."),
                    "restingPerMinute": nullable(COUNT),
                    "previewsPerMinute": nullable(COUNT),
                    "openOrders": COUNT | {"description": "That may rest at once."},
                    "maxOrderValue": nullable(DECIMAL, "In USDC."),
                    "maxSlippageBps": COUNT,
                    "maxPriceImpactBps": COUNT | {"description": "If an order says nothing."},
                }
            ),
        },
    ),
    "SignedDecimal": TEXT
    | {"pattern": r"^-?(0|[1-9]\d*)(\.\d+)?$", "description": "A decimal; negative: worse."},
    "ExecutionParts": closed(
        {
            "token": TEXT | {"description": "Of the amounts: that of `quotedAmount`."},
            "arrivalAmount": DECIMAL | {"description": "At the arrival price."},
            "price": GAIN | {"description": "How the venues stood to it when they quoted."},
            "impact": GAIN | {"description": "By the size of the order."},
            "fee": GAIN | {"description": "Of the venues."},
            "fill": GAIN | {"description": "Between the quote and the fill."},
        },
        description="A part is positive where it was better for the order. With a fixed input"
        " `arrivalAmount` plus all parts is `executedAmountOut`. With a fixed output it is"
        " `executedAmountIn`, less all parts. Both hold to the last digit.",
    ),
    "Comparison": closed(
        {
            "orders": COUNT | {"description": "That could be compared."},
            "amount": nullable(GAIN, "In USDC, all orders together; positive: better."),
            "bps": nullable(GAIN, "That amount in bps of what was traded."),
            "p5Bps": nullable(GAIN, "One order in twenty was worse."),
            "medianBps": nullable(GAIN),
        }
    ),
    "ExecutionFigures": closed(FIGURES),
    "ExecutionQuality": closed(
        {
            "window": TEXT,
            "from": TIME,
            "to": TIME,
            "whose": {"enum": ["mine", "all"]},
            "isWhole": {
                "type": "boolean",
                "description": "If not, only the newest 100,000 orders are in the sums.",
            },
            "total": ref("ExecutionFigures"),
            "byVenue": figures_by("venue", nullable(TEXT, "Null: none was chosen.")),
            "byMarket": figures_by("market", TEXT),
            "bySide": figures_by("side", {"enum": ["buy", "sell"]}),
            "bySize": figures_by(
                "size", nullable(TEXT, "In USDC, such as 100-1000, or 100000- for the largest.")
            ),
            "byHour": figures_by("hour", TIME),
        },
        description="Of the orders that ended within the window.",
    ),
    "Health": closed(
        {
            "status": {"enum": ["ok", "degraded", "failed"]},
            "state": {
                "enum": ["active", "halted", "unknown"],
                "description": "Whether the engine trades; while it is halted, orders are refused"
                " with `trading_halted`.",
            },
            "database": {"enum": ["ok", "read_only", "down"]},
            "redis": {"enum": ["ok", "refuses", "down"]},
            "worker": {"enum": ["ok", "stuck", "down", "unknown"]},
            "workers": nullable(COUNT, "That are alive."),
            "since": closed(
                {"database": TIME, "redis": TIME, "worker": TIME},
                *("database", "redis", "worker"),
                description="Of each part that fails: from when on this process has known it.",
            ),
            "stoppedVenues": {
                **{"type": "array", "items": TEXT},
                "description": "Venues that filled otherwise than they quoted, and wait for a"
                " person; left out if there are none.",
            },
            "wallet": closed(
                {
                    "address": TEXT,
                    "network": TEXT,
                    "tokens": {"type": "object", "additionalProperties": TEXT},
                    "warnings": {"type": "array", "items": TEXT},
                },
                description="With real venues: the engine's wallet, as a worker saw it last.",
            ),
        },
        *("stoppedVenues", "wallet"),
    ),
    "ProblemCode": {
        **{"type": "string", "enum": [one.code for one in problem_codes()]},
        "description": "A stable code, for programs. docs/sockets.md says what each means.",
    },
    "Problem": closed(
        {
            "type": {"const": "about:blank"},
            "title": TEXT,
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": TEXT | {"description": "For people."},
            "message": TEXT | {"description": "The same as `detail`."},
            "error": ref("ProblemCode"),
            "errors": {"type": "array", "items": ref("FieldError")},
            "fields": {"type": "array", "items": TEXT, "description": "Those that were seen."},
            "orderStatus": ref("Status"),
            "seq": {"type": "integer", "minimum": 1, "description": "Of an order that changed."},
            "items": {
                **{"type": "array", "items": {"type": "object"}},
                "description": "Of a refused batch: index, status and problem of an order.",
            },
            "retryAfter": COUNT | {"description": "Seconds after which to come again."},
            "orderId": TEXT | {"description": "Of an order of which the outcome is unknown."},
            "wsUrl": TEXT | {"description": "The path of its stream, if it was stored."},
        },
        "errors",
        "fields",
        "orderStatus",
        "seq",
        "items",
        "retryAfter",
        "orderId",
        "wsUrl",
        description="RFC 9457, with a stable code in `error`.",
    ),
}
