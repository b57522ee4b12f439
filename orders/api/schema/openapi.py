"""The OpenAPI schema: what each path takes and answers. It is declared only here.

Views are decorated with the constants below. The schema is generated once for each process.
`docs/openapi.yaml` is a copy that `manage.py spectacular --file docs/openapi.yaml` writes. A test
compares the two.
"""

from functools import cache
from threading import Lock
from typing import Any

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiRequest,
    OpenApiResponse,
    extend_schema,
    extend_schema_view,
)

from orders.api.filters import STATES, TYPES, OrderFilter
from orders.api.lists.search import CUT, NAME
from orders.api.pagination import DEFAULT_EVENTS, DEFAULT_LIMIT, MAX_EVENTS, MAX_LIMIT, MAX_WAIT
from orders.api.problems import CONTENT_TYPE
from orders.api.reading.dialects import ENTRY_PATHS, HEALTH_PATHS
from orders.api.schema import examples, security
from orders.api.schema.shapes import SCHEMAS, ref
from orders.api.schema.sockets import shared_schemas
from orders.lifecycle import Status
from orders.words import Phase

__all__ = ("security",)  # importing it registers its classes with drf-spectacular
JSON = "application/json"
Errors = dict[int, tuple[str, list[OpenApiExample]]]
NAMES = {("GET", "/api/orders"): "listOrders", ("POST", "/api/orders/execute"): "placeOrder"}
ENTRIES = tuple(f"/{path}" for path in ENTRY_PATHS)
FIRST = ("/api/orders/execute", "/api/orders/preview", "/api/orders", "/api/orders/{order_id}")
"""The paths that a reader of the schema sees first. The others are in the order of their names."""
OLD_PATHS = ENTRIES[2:]
"""The same views, for clients of systems A, D and E."""


class NamedOperations(AutoSchema):
    """Names the operations of the entry paths, which share a view, by their path."""

    def get_operation_id(self) -> str:
        if self.path not in ENTRIES:
            return super().get_operation_id()
        words = [word.title() for word in self.path.strip("/").split("/")]
        alias = {"GET": "listOrdersAt", "POST": "placeOrderAt"}[self.method] + "".join(words)
        return NAMES.get((self.method, self.path), alias)

    def get_tags(self) -> list[str]:
        is_alias = self.path in ENTRIES and (self.method, self.path) not in NAMES
        return ["aliases" if is_alias else "orders"]


def problems(
    statuses: dict[int, tuple[str, list[OpenApiExample]]],
) -> dict[tuple[int, str], OpenApiResponse]:
    return {
        (status, CONTENT_TYPE): OpenApiResponse(ref("Problem"), description, shown)
        for status, (description, shown) in statuses.items()
    }


def answer(name: str, description: str, *values: tuple[str, Any]) -> OpenApiResponse:
    examples = [OpenApiExample(title, value=value) for title, value in values]
    return OpenApiResponse(ref(name), description, examples)


def query(name: str, schema: dict[str, Any], text: str, *shown: Any) -> OpenApiParameter:
    examples = [OpenApiExample(str(value), value=value) for value in shown]
    return OpenApiParameter(
        name, schema, OpenApiParameter.QUERY, description=text, examples=examples
    )


def filter_parameter(name: str, schema: dict[str, Any], *shown: Any) -> OpenApiParameter:
    return query(name, schema, OrderFilter.base_filters[name].extra.get("help_text", ""), *shown)


TIME = {"type": "string", "format": "date-time"}
STATUSES, PHASES, OF_TYPES = "|".join(Status), "|".join(Phase), "|".join(TYPES)
UUID = {"type": "string", "format": "uuid"}
SEARCHED = f"^{CUT}?{NAME.pattern}$"
FILTERS = [
    filter_parameter(
        *("status", {"type": "string", "pattern": f"^({STATUSES})(,({STATUSES}))*$"}),
        *("failed", "failed,cancelled"),
    ),
    filter_parameter("state", {"type": "string", "enum": list(STATES)}),
    filter_parameter("market", {"type": "string"}, "SOL/USDC"),
    filter_parameter("side", {"type": "string", "enum": ["buy", "sell"]}),
    filter_parameter(
        *("type", {"type": "string", "pattern": f"^({OF_TYPES})(,({OF_TYPES}))*$"}),
        *("limit", "stop,stopLimit"),
    ),
    filter_parameter("venue", ref("Venue")),
    filter_parameter(
        "clientOrderId", {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,64}$"}, "mine-1"
    ),
    filter_parameter("q", {"type": "string", "pattern": SEARCHED}, "ba64b00749af"),
    filter_parameter("createdAfter", TIME, "2026-11-21T09:30:00Z"),
    filter_parameter("createdBefore", TIME, "2026-11-21T10:00:00+01:00"),
    filter_parameter("expiresBefore", TIME, "2026-11-21T10:00:00Z"),
    filter_parameter(
        *("phase", {"type": "string", "pattern": f"^({PHASES})(,({PHASES}))*$"}), "waiting"
    ),
    filter_parameter("groupId", UUID),
    filter_parameter("parentOrderId", UUID),
]
PAGES = [
    query(
        "limit",
        {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
        "Orders on a page.",
    ),
    query("offset", {"const": 0}, "An alias of the first page: go on by `cursor`."),
    query("cursor", {"type": "string"}, "A place in the list, out of `next` or `previous`."),
]
ORDER_ID = OpenApiParameter("order_id", {"type": "string", "format": "uuid"}, OpenApiParameter.PATH)
SEQ_TAG = OpenApiParameter(
    "ETag",
    str,
    OpenApiParameter.HEADER,
    description='The `seq` in quotes, such as `"3"`: an amendment needs it.',
    response=[200],
)
LOCATION = OpenApiParameter(
    "Location", str, OpenApiParameter.HEADER, description="The order's path.", response=[201]
)
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "pattern": "^[!-+\\--~]{1,255}$"},
    OpenApiParameter.HEADER,
    description="For an account: the same request again finds the same order. No comma in it.",
)
REPLAYED = OpenApiParameter(
    "Idempotent-Replayed",
    {"const": "true"},
    OpenApiParameter.HEADER,
    description="The order was accepted before.",
    response=[200],
)
RETRY_AFTER = OpenApiParameter(
    "Retry-After",
    {"type": "integer"},
    OpenApiParameter.HEADER,
    description="Seconds after which to come again.",
    response=[429, 503],
)
ACCOUNT = {401: ("No API key, or one that does not hold.", [examples.WHO_ARE_YOU])}
TOO_MANY_READS: dict[int, tuple[str, list[OpenApiExample]]] = {
    429: ("More reading than is allowed: see `Retry-After`.", [])
}
NO_DATABASE = {503: ("The database does not answer: come again.", [examples.NO_DATABASE_PROBLEM])}
NO_ORDER = {404: ("No order has this id.", [examples.UNKNOWN_ORDER])}
UNWRITABLE: dict[int, tuple[str, list[OpenApiExample]]] = {
    406: ("`Accept` asks for what we cannot write.", [])
}

ORDERS = extend_schema_view(
    get=extend_schema(
        summary="List orders",
        description=(
            "The newest first. All filters that are given must hold; a value that means nothing and"
            " a parameter that does not exist are refused by name. `next` and `previous` are places"
            " between orders, not counts: pages stay as they were while orders come in. An account"
            " also finds orders by their tags: `tag.NAME=VALUE`, at most ten of them."
        ),
        parameters=[*FILTERS, *PAGES],
        responses={
            (200, JSON): answer(
                "OrderPage",
                "A page of orders.",
                ("A page", {"next": None, "previous": None, "results": [examples.CONFIRMED]}),
            ),
            **problems(
                {
                    400: ("A parameter means nothing.", examples.INVALID_LISTS),
                    **ACCOUNT,
                    **TOO_MANY_READS,
                    **UNWRITABLE,
                    **NO_DATABASE,
                }
            ),
        },
    ),
    post=extend_schema(
        summary="Place an order",
        description=(
            "Takes the dialects of five systems, on every path. The order is stored when this"
            " answers; follow it at `wsUrl`, or read its events. A WebSocket on the same path takes"
            " the same orders as frames."
        ),
        request={JSON: OpenApiRequest(ref("OrderRequest"), examples=examples.REQUESTS)},
        parameters=[IDEMPOTENCY_KEY, LOCATION, REPLAYED, RETRY_AFTER],
        responses={
            (200, JSON): answer(
                *("Accepted", "Sent again under the same key: the answer of the first time."),
                ("Accepted before", examples.ACCEPTED),
            ),
            (201, JSON): answer(
                *("Accepted", "Stored, and queued or at rest; of an oco both orders."),
                *(("Accepted", examples.ACCEPTED), ("At rest", examples.ACCEPTED_STOP)),
                ("An oco", examples.ACCEPTED_GROUP),
            ),
            **problems(
                {
                    400: ("It is no order.", examples.INVALID_ORDERS + examples.REFUSED[400]),
                    **ACCOUNT,
                    403: ("A form of another site's page; or clear text, under HTTPS.", []),
                    409: (
                        "The clientOrderId is another order's; or too many of yours rest.",
                        examples.REFUSED[409],
                    ),
                    413: ("The body has more than 64 KiB.", []),
                    415: ("It is not JSON.", []),
                    422: ("The Idempotency-Key is another order's.", examples.REFUSED[422]),
                    429: ("More orders than the account may send.", [examples.TOO_MANY]),
                    **UNWRITABLE,
                    503: (
                        "Too many orders wait, no price is fresh, or the database does not answer:"
                        " come again. Or it did not say whether the order was stored: look for its"
                        " orderId.",
                        [*examples.REFUSED[503], examples.NOTHING_STORED_PROBLEM],
                    ),
                }
            ),
        },
    ),
)
ORDERS_CSV = extend_schema(
    operation_id="exportOrders",
    summary="Export orders as CSV",
    description=(
        "All of the account's orders that pass the filters of the list, newest first, with a head;"
        " not in pages, and sent while it is read. A text that a spreadsheet would run begins with"
        " a quote. An answer that is cut off is not whole: its chunks do not end."
    ),
    parameters=FILTERS,
    responses={
        (200, "text/csv"): answer("OrderTable", "The table.", ("A table", examples.ORDER_TABLE)),
        **problems(
            {
                400: ("A parameter means nothing.", examples.INVALID_LISTS),
                **ACCOUNT,
                **TOO_MANY_READS,
                **NO_DATABASE,
            }
        ),
    },
)
ORDER = extend_schema(
    operation_id="getOrder",
    summary="Show an order",
    parameters=[ORDER_ID, SEQ_TAG],
    responses={
        (200, JSON): answer(
            *("Order", "As it stands."),
            *(("Confirmed", examples.CONFIRMED), ("Pending", examples.PENDING)),
        ),
        **problems(
            {
                400: ("There are no parameters.", []),
                **ACCOUNT,
                **TOO_MANY_READS,
                **NO_ORDER,
                **UNWRITABLE,
                **NO_DATABASE,
            }
        ),
    },
)
BODY: dict[int, tuple[str, list[OpenApiExample]]] = {
    413: ("The body has more than 64 KiB.", []),
    415: ("It is not JSON.", []),
}
TOO_MANY_SENT: dict[int, tuple[str, list[OpenApiExample]]] = {
    429: ("More than the account may send.", [examples.TOO_MANY])
}
AMEND = extend_schema(
    operation_id="amendOrder",
    summary="Amend an order that rests",
    description=(
        "The id stays. The order is amended only if it is still at the seq that you name, and still"
        " open: so it is amended or triggered, never both. What is not named stays as it is; null"
        " takes away what may be missing. In a group the amount is of both orders."
    ),
    parameters=[
        ORDER_ID,
        OpenApiParameter(
            *("If-Match", {"type": "string", "pattern": '^(W/)?"[0-9]{1,9}"$'}),
            OpenApiParameter.HEADER,
            description='The seq that you saw, such as `"3"`; or give `seq` in the body.',
        ),
        SEQ_TAG,
        RETRY_AFTER,
    ],
    request={JSON: OpenApiRequest(ref("Amendment"), examples=[examples.AMENDMENT])},
    responses={
        (200, JSON): answer("Order", "As it stands now.", ("Amended", examples.AMENDED)),
        **problems(
            {
                400: ("A field means nothing, or cannot be amended.", []),
                **ACCOUNT,
                403: ("The key is not for this; or clear text, under HTTPS.", []),
                **NO_ORDER,
                409: (
                    "It changed since you saw it; or it rests no more.",
                    [examples.ORDER_CHANGED, examples.NOT_AMENDABLE],
                ),
                **BODY,
                428: ("No seq is named.", [examples.SEQ_REQUIRED]),
                **TOO_MANY_SENT,
                **UNWRITABLE,
                503: (
                    "No price to compare a trigger with, or the database does not answer; or it did"
                    " not say whether the order was amended: its seq tells.",
                    [examples.NO_DATABASE_PROBLEM, examples.AMENDMENT_UNKNOWN],
                ),
            }
        ),
    },
)
EVENTS = extend_schema(
    operation_id="getOrderEvents",
    summary="Read an order's events",
    description="The messages of its stream, in order and without a gap.",
    parameters=[
        ORDER_ID,
        query(
            "after",
            shared_schemas()["After"] | {"description": ""},
            "Only events after this seq.",
            2,
        ),
    ],
    responses={
        (200, JSON): answer("EventLog", "The log.", ("A confirmed order", examples.LOG)),
        **problems(
            {
                400: ("`after` is no seq.", [examples.INVALID_AFTER]),
                **ACCOUNT,
                **TOO_MANY_READS,
                **NO_ORDER,
                **UNWRITABLE,
                **NO_DATABASE,
            }
        ),
    },
)
OF_EVENTS = [
    query("market", {"type": "string"}, "Of orders in this market.", "SOL/USDC"),
    query(
        *("type", {"type": "string", "pattern": f"^({OF_TYPES})(,({OF_TYPES}))*$"}),
        *("Of orders of these types.", "limit,stop"),
    ),
    query("ticket", ref("Ticket"), "In place of a key, for pages: it works once."),
    RETRY_AFTER,
]
CURSOR = query(
    "cursor",
    ref("Cursor"),
    "Where to begin: out of a page, or out of a `hello` or `checkpoint`. Without it: now.",
)
ALL_SOCKETS_TAKEN: dict[int, tuple[str, list[OpenApiExample]]] = {
    400: ("A parameter means nothing, or the cursor is unknown.", [examples.UNKNOWN_CURSOR]),
    **ACCOUNT,
    403: ("The key is not for reading.", []),
    429: ("All places of the account are taken, or it reads too much: see `Retry-After`.", []),
    **NO_DATABASE,
}
STREAM = extend_schema(
    operation_id="streamEvents",
    summary="Follow all orders of the account",
    description=(
        "Server-sent events: every event of every order of the account, from `cursor` on. Each has"
        " the JSON of a frame on `/ws/orders` as `data`, and its `type` as name. `hello` and"
        " `checkpoint` have an `id`, a cursor: all before it was sent. Come again with the last one"
        " in `Last-Event-ID`, and nothing is missed. Orders are also chosen by `tag.NAME=VALUE`."
    ),
    parameters=[
        CURSOR,
        OpenApiParameter(
            *("Last-Event-ID", ref("Cursor"), OpenApiParameter.HEADER),
            description="As `cursor`, and wins over it. Browsers send it by themselves.",
        ),
        query("snapshot", {"const": "open"}, "Begin with the orders that are open."),
        *OF_EVENTS,
    ],
    responses={
        (200, "text/event-stream"): answer(
            "EventStream", "Events, until you go.", ("An event", examples.STREAM)
        ),
        **problems(ALL_SOCKETS_TAKEN),
    },
)
FEED = extend_schema(
    operation_id="listEvents",
    summary="Read what happened to all orders of the account",
    description=(
        "The events after a cursor, those of an order by `seq`. Without a cursor there are none,"
        " and the answer has the cursor of now. Go on with the answer's `cursor`; if `more` is"
        " true, at once. A page may be empty and have more, if no order of its events was chosen."
        " Orders are also chosen by `tag.NAME=VALUE`."
    ),
    parameters=[
        CURSOR,
        query(
            "limit",
            {"type": "integer", "minimum": 1, "maximum": MAX_EVENTS, "default": DEFAULT_EVENTS},
            "Events on a page, about: what one transaction wrote is not divided.",
        ),
        query(
            "wait",
            {"type": "integer", "minimum": 0, "maximum": MAX_WAIT, "default": 0},
            "Seconds to wait for the first event, if there is none yet.",
        ),
        *OF_EVENTS,
    ],
    responses={
        (200, JSON): answer("EventPage", "A page of events.", ("A page", examples.EVENT_PAGE)),
        **problems(ALL_SOCKETS_TAKEN),
    },
)
ROUTE = extend_schema(
    operation_id="getOrderRoute",
    summary="Read how an order was routed",
    description=(
        "For each attempt the quotes, what was chosen, by how much and why, and what was dropped."
    ),
    parameters=[ORDER_ID],
    responses={
        (200, JSON): answer("RouteLog", "All attempts.", ("One attempt", examples.ROUTE)),
        **problems(
            {
                400: ("There are no parameters.", []),
                **ACCOUNT,
                **TOO_MANY_READS,
                **NO_ORDER,
                **UNWRITABLE,
                **NO_DATABASE,
            }
        ),
    },
)
CANCELLING = {
    **problems(
        {
            400: ("There are no parameters.", []),
            **ACCOUNT,
            **NO_ORDER,
            409: ("It was submitted, or has ended otherwise.", [examples.NOT_CANCELLABLE]),
            **UNWRITABLE,
            503: (
                "The database does not answer, or did not say: cancel again.",
                [examples.NO_DATABASE_PROBLEM, examples.CANCELLATION_UNKNOWN],
            ),
        }
    ),
}
CANCELLED = answer("Order", "It is cancelled, now or before.", ("Cancelled", examples.CANCELLED))
CANCEL = extend_schema(
    operation_id="cancelOrder",
    summary="Cancel an order",
    description=(
        "Possible until it is submitted: from then on it may have filled. An order is cancelled or"
        " executed, never both. The other order of its group ends with it. No body is needed. With"
        " `whenPossible`, a submitted order is answered 202: it is confirmed if its transaction"
        " lands, and cancelled if that is proven dead."
    ),
    parameters=[ORDER_ID],
    request={JSON: OpenApiRequest(ref("Cancellation"), examples=[examples.CANCELLATION])},
    responses={
        (200, JSON): CANCELLED,
        (202, JSON): answer(
            *("Order", "It was submitted: it is cancelled unless its transaction lands."),
            ("Submitted", examples.CANCEL_REQUESTED),
        ),
        **CANCELLING,
        **problems({403: ("A form of another site's page.", [])}),
    },
)
DELETE = extend_schema(
    operation_id="deleteOrder",
    summary="Cancel an order, by DELETE",
    description="As `cancelOrder` without a body. The order stays in the lists, as cancelled.",
    parameters=[ORDER_ID],
    responses={(200, JSON): CANCELLED, **CANCELLING},
)
SENT: Errors = {
    **ACCOUNT,
    403: ("The key is not for this; or clear text, under HTTPS.", []),
    **BODY,
    **TOO_MANY_SENT,
    **UNWRITABLE,
}
BATCH = extend_schema(
    operation_id="sendOrders",
    summary="Send several orders",
    description=(
        "From 1 to 100, in one statement. `independent`: each is taken or refused by itself. `all`:"
        " all are stored, or none. Each counts as an order. Under an Idempotency-Key each order has"
        " the key with its place, so a repeated batch finds the same orders. Another batch under"
        " it is refused as a whole."
    ),
    request={JSON: OpenApiRequest(ref("Batch"), examples=[examples.BATCH])},
    parameters=[IDEMPOTENCY_KEY, RETRY_AFTER],
    responses={
        (207, JSON): answer(
            "BatchAnswer", "What became of each, by its place.", ("One", examples.BATCH_ANSWER)
        ),
        **problems(
            {
                400: ("It is no batch.", []),
                **SENT,
                409: (
                    "With `all`: one cannot be taken, so none is stored.",
                    [examples.BATCH_REFUSED],
                ),
                422: ("The Idempotency-Key is another order's, or another batch's.", []),
                503: (
                    "The database does not answer; or, with `all`, it did not say whether they are"
                    " stored.",
                    [examples.NOTHING_STORED_PROBLEM],
                ),
            }
        ),
    },
)
CANCEL_MANY = extend_schema(
    operation_id="cancelOrders",
    summary="Cancel several orders",
    description=(
        "From 1 to 500, by their ids. With an order of a group the other one ends too. With"
        " `whenPossible` those that were submitted are marked: 202."
    ),
    request={JSON: OpenApiRequest(ref("CancelMany"), examples=[examples.CANCEL_MANY])},
    responses={
        (207, JSON): answer(
            "CancelManyAnswer",
            "What became of each, by its place.",
            ("One of none", examples.CANCEL_MANY_ANSWER),
        ),
        **problems({400: ("It is no list of ids.", []), **SENT, **NO_DATABASE}),
    },
)
CANCEL_ALL = extend_schema(
    operation_id="cancelAllOrders",
    summary="Cancel all orders, or those that pass a filter",
    description=(
        "In one statement over the account's orders of this moment: later ones are not touched."
        " `entries` spares what protects a position: stops, orders of groups, exits of brackets."
        " Members `tag.NAME` ask for tags."
    ),
    request={JSON: OpenApiRequest(ref("CancelAll"), examples=[examples.CANCEL_ALL])},
    responses={
        (200, JSON): answer(
            "CancelAllAnswer", "How many, and the first 1,000 ids.", ("Two", examples.CANCELLED_ALL)
        ),
        **problems({400: ("A filter means nothing.", []), **SENT, **NO_DATABASE}),
    },
)
REPLACE = extend_schema(
    operation_id="replaceOrder",
    summary="Replace an order by another one",
    description=(
        "It is cancelled and the other one stored in one transaction, or neither: for what an"
        " amendment cannot change. `replaces` and `replacedBy` name the two. With an order of a"
        " group the other one of it ends too."
    ),
    parameters=[ORDER_ID, IDEMPOTENCY_KEY, LOCATION, REPLAYED, RETRY_AFTER],
    request={JSON: OpenApiRequest(ref("OrderRequest"), examples=examples.REQUESTS)},
    responses={
        (200, JSON): answer(
            *("AcceptedOrder", "Sent again under the same key: the answer of the first time."),
            ("Accepted before", examples.ACCEPTED),
        ),
        (201, JSON): answer(
            "AcceptedOrder", "Cancelled and stored.", ("Accepted", examples.ACCEPTED)
        ),
        **problems(
            {
                400: ("It is no order.", examples.REFUSED[400]),
                **SENT,
                **NO_ORDER,
                409: ("The order was submitted, or has ended.", [examples.NOT_CANCELLABLE]),
                422: ("The Idempotency-Key is another order's.", examples.REFUSED[422]),
                503: (
                    "The database does not answer; or it did not say whether this was done.",
                    [examples.NOTHING_STORED_PROBLEM],
                ),
            }
        ),
    },
)
TICKETS = extend_schema(
    operation_id="createSocketTicket",
    summary="Get a ticket for a WebSocket or a stream",
    description=(
        "For pages, which can give a WebSocket or an EventSource no header: `?ticket=` opens one"
        " connection, once, within 30 seconds. Programs send their key with the handshake."
    ),
    request=None,
    parameters=[
        OpenApiParameter(
            *("Retry-After", {"type": "integer"}, OpenApiParameter.HEADER),
            description="Seconds after which to come again.",
            response=[429],
        )
    ],
    responses={
        (201, JSON): answer(
            *("SocketTicket", "A ticket."),
            (
                "A ticket",
                {
                    "ticket": "hG2m0rLxq2b2zSPcY8m1uJrO0d0bY3vYVt8mCk1t5uE",
                    "expiresAt": "2026-11-21T02:49:50.667653Z",
                },
            ),
        ),
        **problems(
            {
                400: ("There are no parameters.", []),
                **ACCOUNT,
                403: ("A form of another site's page.", []),
                429: ("Many tickets that were not used.", []),
                **UNWRITABLE,
                **NO_DATABASE,
            }
        ),
    },
)
MARKETS = extend_schema(
    operation_id="listMarkets",
    summary="List tokens and markets",
    description=(
        "Operators add and close them while the engine runs; ask with the `ETag` of the last answer"
        " as `If-None-Match`. Markets with pools of their own come first, then those in two hops."
    ),
    tags=["engine"],
    parameters=[
        OpenApiParameter(
            *("If-None-Match", {"type": "string"}, OpenApiParameter.HEADER),
            description="The `ETag` of an earlier answer.",
        ),
        OpenApiParameter(
            *("ETag", {"type": "string"}, OpenApiParameter.HEADER),
            description="The same as long as the answer is.",
            response=[200, 304],
        ),
    ],
    responses={
        (200, JSON): answer("MarketList", "What can be traded.", ("Some", examples.MARKETS)),
        304: OpenApiResponse(description="Nothing has changed."),
        **problems({400: ("There are no parameters.", []), **TOO_MANY_READS, **UNWRITABLE}),
    },
)
PRICES = extend_schema(
    operation_id="listPrices",
    summary="Read the prices of a market",
    description=(
        "The best net prices over all venues, fees included, and the market's reference: what"
        " resting orders are compared with. Seconds are kept for two hours, minutes for 90 days. At"
        " most 1,000 points; where no prices were made there is no point."
    ),
    tags=["engine"],
    parameters=[
        OpenApiParameter(
            *("market", {"type": "string"}, OpenApiParameter.QUERY),
            required=True,
            description="Base and quote.",
            examples=[OpenApiExample("SOL/USDC", value="SOL/USDC")],
        ),
        query("from", TIME, "The first point's time, an RFC 3339 time; by default 300 points ago."),
        query("to", TIME, "The points before this RFC 3339 time; by default now."),
        query(
            "step",
            {"type": "integer", "minimum": 1, "maximum": 86_400, "default": 60},
            "Seconds of a point: 1, or whole minutes.",
            *(1, 300),
        ),
    ],
    responses={
        (200, JSON): answer(
            "PriceHistory", "The points.", ("Minutes", examples.PRICES), ("Seconds", examples.TICKS)
        ),
        **problems(
            {
                400: ("A parameter means nothing, or there would be too many points.", []),
                **TOO_MANY_READS,
                **UNWRITABLE,
                **NO_DATABASE,
            }
        ),
    },
)
ME = extend_schema(
    operation_id="getMe",
    summary="Ask who you are, and what you may do",
    description=(
        "The account of the session or the key, and its limits. Without a credential the answer is"
        " the anonymous one, also where anonymous orders are not taken. A key that does not hold is"
        " refused as everywhere."
    ),
    tags=["engine"],
    responses={
        (200, JSON): answer("Me", "Who you are.", ("An account", examples.ME)),
        **problems(
            {
                400: ("There are no parameters.", []),
                401: ("The key does not hold.", [examples.WHO_ARE_YOU]),
                **TOO_MANY_READS,
                **UNWRITABLE,
                **NO_DATABASE,
            }
        ),
    },
)
EXECUTION_QUALITY = extend_schema(
    operation_id="getExecutionQuality",
    summary="See how well orders were executed",
    description=(
        "Of the account's orders that ended within the window, of all orders for staff: how many"
        " were confirmed, how the fills compare with their quotes and with what the runner-up"
        " offered, and how long it took; together, and by venue, market, side, size and hour."
        " Orders are counted a few seconds after their end. A read costs 40 units."
    ),
    tags=["engine"],
    parameters=[
        query(
            "window",
            {"type": "string", "pattern": "^[1-9][0-9]{0,3}[mhd]$", "default": "24h"},
            "Minutes, hours or days until now, at most 31d.",
            *("24h", "7d"),
        ),
        query("whose", {"const": "mine"}, "For staff: their own orders alone."),
    ],
    responses={
        (200, JSON): answer(
            "ExecutionQuality", "The figures.", ("A day", examples.EXECUTION_QUALITY)
        ),
        **problems(
            {
                400: ("A parameter means nothing.", []),
                **ACCOUNT,
                **TOO_MANY_READS,
                **UNWRITABLE,
                **NO_DATABASE,
            }
        ),
    },
)
BODY_IS_OPTIONAL = {"rotateKey", "cancelOrder", "cancelAllOrders"}
TOO_MANY_PREVIEWS: dict[int, tuple[str, list[OpenApiExample]]] = {
    429: ("More previews and quotes than are allowed: see `Retry-After`.", [])
}
NO_PRICES = {
    503: (
        "No venue quotes at present, or the database does not answer: come again.",
        [examples.NO_PRICES, examples.NO_DATABASE_PROBLEM],
    )
}
DECIMAL_TEXT = {"type": "string"}
QUOTES = extend_schema(
    operation_id="getQuote",
    summary="Ask what an amount would get now",
    description=(
        "All venues are asked, as for an order, and nothing is stored. The fields are those of an"
        " order. If no venue can fill the amount, `failureCode` and `error` say how an order would"
        " fail."
    ),
    tags=["engine"],
    parameters=[
        query("baseToken", {"type": "string"}, "What is traded, with quoteToken and side.", "SOL"),
        query("quoteToken", {"type": "string"}, "The token its price is in.", "USDC"),
        query("tokenIn", {"type": "string"}, "Or: what you give."),
        query("tokenOut", {"type": "string"}, "What you get. With tokenIn, the side follows."),
        query("side", {"type": "string"}, "buy or sell.", "sell"),
        query("amountIn", DECIMAL_TEXT, "What leaves the wallet.", "1.5"),
        query("amountOut", DECIMAL_TEXT, "Or: what must arrive."),
        query("slippageBps", {"type": "string"}, "100 if left out, which is 1 %."),
        query("slippage", DECIMAL_TEXT, "Or as a fraction."),
        query("maxPriceImpactBps", {"type": "string"}, "As of an order."),
        query("venues", {"type": "string"}, "These only; commas between several."),
        query("excludeVenues", {"type": "string"}, "None of these."),
        RETRY_AFTER,
    ],
    responses={
        (200, JSON): answer("QuoteAnswer", "What it would get.", ("A quote", examples.QUOTE)),
        **problems(
            {
                400: ("A parameter means nothing.", []),
                **ACCOUNT,
                **TOO_MANY_PREVIEWS,
                **UNWRITABLE,
                **NO_PRICES,
            }
        ),
    },
)
PREVIEW = extend_schema(
    operation_id="previewOrder",
    summary="See what an order would do",
    description=(
        "The body of an order, read and routed by the same code; nothing is stored, and what would"
        " be refused is refused. Of what executes now: the data of its event `building`. Of what"
        " rests: whether its price is there, and how far it is."
    ),
    request={JSON: OpenApiRequest(ref("OrderRequest"), examples=examples.REQUESTS)},
    parameters=[RETRY_AFTER],
    responses={
        (200, JSON): answer("Preview", "What it would do.", ("A market order", examples.PREVIEW)),
        **problems(
            {
                400: ("It is no order.", []),
                **ACCOUNT,
                403: ("The key is not for this; or clear text, under HTTPS.", []),
                **BODY,
                **TOO_MANY_PREVIEWS,
                **UNWRITABLE,
                **NO_PRICES,
            }
        ),
    },
)
HEALTH = extend_schema(
    operation_id="getHealth",
    summary="Ask for health",
    tags=["engine"],
    responses={
        (200, JSON): answer(
            "Health", "`ok`, or `degraded`: orders are taken.", ("All is well", examples.HEALTH)
        ),
        (503, JSON): answer(
            "Health", "The database takes no orders.", ("No database", examples.NO_DATABASE)
        ),
        **problems(UNWRITABLE),
    },
)


PREFIX = OpenApiParameter("prefix", {"type": "string"}, OpenApiParameter.PATH)
NO_KEY: Errors = {404: ("You have no such key.", [])}
KEY_ERRORS: Errors = {
    400: ("A field or a parameter means nothing.", []),
    **ACCOUNT,
    **TOO_MANY_READS,
    403: ("The key is not for this; or a form of another site's page.", []),
    **UNWRITABLE,
    **NO_DATABASE,
}
BODY_ERRORS: Errors = {
    413: ("The body has more than 64 KiB.", []),
    415: ("It is not JSON.", []),
}
FULL: Errors = {409: ("The account has as many keys as it may.", [])}
NOT_ROTATABLE: Errors = {
    409: ("It was rotated before, no longer holds, or there are too many.", [])
}
A_KEY, A_MADE_KEY = ("A key", examples.KEY), ("A new key", examples.MADE_KEY)
KEYS = extend_schema(
    operation_id="listKeys",
    summary="List one's API keys",
    tags=["account"],
    responses={
        (200, JSON): answer("KeyList", "All of them.", ("One", {"keys": [examples.KEY]})),
        **problems(KEY_ERRORS),
    },
)
NEW_KEY = extend_schema(
    operation_id="makeKey",
    summary="Make an API key",
    description="For a person who has logged in. The key is in this answer and in no other.",
    tags=["account"],
    request={JSON: OpenApiRequest(ref("NewKey"), examples=[examples.NEW_KEY])},
    responses={
        (201, JSON): answer("MadeKey", "Keep it.", A_MADE_KEY),
        **problems({**KEY_ERRORS, **BODY_ERRORS, **FULL}),
    },
)
KEY = extend_schema(
    operation_id="getKey",
    summary="Show an API key's facts",
    tags=["account"],
    parameters=[PREFIX],
    responses={
        (200, JSON): answer("Key", "All but the key.", A_KEY),
        **problems({**KEY_ERRORS, **NO_KEY}),
    },
)
NAME_KEY = extend_schema(
    operation_id="nameKey",
    summary="Give an API key a name",
    description="For a person who has logged in.",
    tags=["account"],
    parameters=[PREFIX],
    request={JSON: OpenApiRequest(ref("NewName"), examples=[examples.NEW_NAME])},
    responses={
        (200, JSON): answer("Key", "It is named.", A_KEY),
        **problems({**KEY_ERRORS, **BODY_ERRORS, **NO_KEY}),
    },
)
ROTATE_KEY = extend_schema(
    operation_id="rotateKey",
    summary="Make an API key's successor",
    description=(
        "With the same rights, and an end as far away. The old key holds for some hours more. A key"
        " may rotate itself; others need a person who has logged in."
    ),
    tags=["account"],
    parameters=[PREFIX],
    request={JSON: OpenApiRequest(ref("Rotation"), examples=[examples.ROTATION])},
    responses={
        (201, JSON): answer("MadeKey", "Keep it.", A_MADE_KEY),
        **problems({**KEY_ERRORS, **BODY_ERRORS, **NO_KEY, **NOT_ROTATABLE}),
    },
)
REVOKE_KEY = extend_schema(
    operation_id="revokeKey",
    summary="Revoke an API key",
    description=(
        "At once and for ever; once more does no harm. A key may revoke itself; others need a"
        " person who has logged in. What came of it by rotation holds on."
    ),
    tags=["account"],
    parameters=[PREFIX],
    request=None,
    responses={
        (200, JSON): answer("Key", "It is revoked.", ("Revoked", examples.REVOKED_KEY)),
        **problems({**KEY_ERRORS, **NO_KEY}),
    },
)


def merge_slashes(endpoints: list[Any], **_: Any) -> list[Any]:
    """Name each path once, without the slash that may end it (a hook of drf-spectacular).

    Aliases are no separate operations: `finish` lists them.
    """
    unique = {}
    for path, regex, method, view in endpoints:
        if path.strip("/") in HEALTH_PATHS or path.rstrip("/") in OLD_PATHS:
            continue
        unique[path.rstrip("/"), method] = (path.rstrip("/"), regex, method, view)
    return list(unique.values())


def finish(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Add the shapes, and say that a body is required (a hook of drf-spectacular)."""
    result["components"]["schemas"] = dict(sorted((shared_schemas() | SCHEMAS).items()))
    result["components"]["examples"] = examples.BY_STATUS
    first = {path: result["paths"][path] for path in FIRST}
    result["paths"] = first | result["paths"]
    for methods in result["paths"].values():
        for operation in methods.values():
            if "requestBody" in operation and operation["operationId"] not in BODY_IS_OPTIONAL:
                operation["requestBody"]["required"] = True
            show_problems(operation["responses"])
    result["paths"]["/health"]["get"]["x-aliases"] = [f"/{path}" for path in HEALTH_PATHS]
    for path, method in (("/api/orders/execute", "post"), ("/api/orders", "get")):
        result["paths"][path][method]["x-aliases"] = list(OLD_PATHS)
    return result


def show_problems(responses: dict[str, Any]) -> None:
    """Give each problem without an example that of its status. Else readers make one up."""
    for status, response in responses.items():
        content = response.get("content", {}).get(CONTENT_TYPE)
        if content is not None and status in examples.BY_STATUS:
            shown = {status: {"$ref": f"#/components/examples/{status}"}}
            content.setdefault("examples", shown)


def openapi() -> dict[str, Any]:
    """Return the schema. It is shared, so do not change it."""
    with _one_at_a_time:
        return _generate()


_one_at_a_time = Lock()  # two threads that make the schema at once would spoil it


@cache
def _generate() -> dict[str, Any]:
    generator = SchemaGenerator()  # type: ignore[no-untyped-call]
    schema: dict[str, Any] = generator.get_schema(public=True)  # type: ignore[no-untyped-call]
    return schema
