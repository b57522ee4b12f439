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

from orders.api.dialects import ENTRY_PATHS, HEALTH_PATHS
from orders.api.filters import STATES, TYPES, OrderFilter
from orders.api.pagination import DEFAULT_LIMIT, MAX_LIMIT
from orders.api.problems import CONTENT_TYPE
from orders.api.schema import examples, security
from orders.api.schema.shapes import SCHEMAS, ref
from orders.api.schema.sockets import shared_schemas
from orders.lifecycle import Status

__all__ = ("security",)  # importing it registers its classes with drf-spectacular
JSON = "application/json"
NAMES = {("GET", "/api/orders"): "listOrders", ("POST", "/api/orders/execute"): "placeOrder"}
ENTRIES = tuple(f"/{path}" for path in ENTRY_PATHS)
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


def answer(name: str, description: str, *values: tuple[str, dict[str, Any]]) -> OpenApiResponse:
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
STATUSES = "|".join(Status)
FILTERS = [
    filter_parameter(
        *("status", {"type": "string", "pattern": f"^({STATUSES})(,({STATUSES}))*$"}),
        *("failed", "failed,cancelled"),
    ),
    filter_parameter("state", {"type": "string", "enum": list(STATES)}),
    filter_parameter("market", {"type": "string"}, "SOL/USDC"),
    filter_parameter("side", {"type": "string", "enum": ["buy", "sell"]}),
    filter_parameter("type", {"type": "string", "enum": list(TYPES)}),
    filter_parameter("venue", ref("Venue")),
    filter_parameter(
        "clientOrderId", {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,64}$"}, "mine-1"
    ),
    filter_parameter("createdAfter", TIME, "2026-11-21T09:30:00Z"),
    filter_parameter("createdBefore", TIME, "2026-11-21T10:00:00+01:00"),
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
            " between orders, not counts: pages stay as they were while orders come in."
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
                *("AcceptedOrder", "Sent again under the same key: the answer of the first time."),
                ("Accepted before", examples.ACCEPTED),
            ),
            (201, JSON): answer(
                "AcceptedOrder", "Stored and queued.", ("Accepted", examples.ACCEPTED)
            ),
            **problems(
                {
                    400: ("It is no order.", examples.INVALID_ORDERS + examples.REFUSED[400]),
                    **ACCOUNT,
                    403: ("A form of another site's page; or clear text, under HTTPS.", []),
                    409: ("The clientOrderId is another order's.", examples.REFUSED[409]),
                    413: ("The body has more than 64 KiB.", []),
                    415: ("It is not JSON.", []),
                    422: ("The Idempotency-Key is another order's.", examples.REFUSED[422]),
                    429: ("More orders than the account may send.", [examples.TOO_MANY]),
                    **UNWRITABLE,
                    503: (
                        "Too many orders wait, or the database does not answer: come again."
                        " Or it did not say whether the order was stored: look for its orderId.",
                        [*examples.REFUSED[503], examples.NOTHING_STORED_PROBLEM],
                    ),
                }
            ),
        },
    ),
)
ORDER = extend_schema(
    operation_id="getOrder",
    summary="Show an order",
    parameters=[ORDER_ID],
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
CANCEL = extend_schema(
    operation_id="cancelOrder",
    summary="Cancel an order",
    description=(
        "Possible until it is submitted: from then on it may have filled. An order is cancelled or"
        " executed, never both. No body is needed."
    ),
    parameters=[ORDER_ID],
    request=None,
    responses={
        (200, JSON): answer("Order", "It is cancelled.", ("Cancelled", examples.CANCELLED)),
        **problems(
            {
                400: ("There are no parameters.", []),
                **ACCOUNT,
                403: ("A form of another site's page.", []),
                **NO_ORDER,
                409: ("It was submitted, or has ended.", [examples.NOT_CANCELLABLE]),
                **UNWRITABLE,
                503: (
                    "The database does not answer, or did not say: cancel again.",
                    [examples.NO_DATABASE_PROBLEM, examples.CANCELLATION_UNKNOWN],
                ),
            }
        ),
    },
)
TICKETS = extend_schema(
    operation_id="createSocketTicket",
    summary="Get a ticket for a WebSocket",
    description=(
        "For pages, which can give a WebSocket no header: `?ticket=` opens one socket, once, within"
        " 30 seconds. Programs send their key with the handshake."
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
Errors = dict[int, tuple[str, list[OpenApiExample]]]
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
    for methods in result["paths"].values():
        for operation in methods.values():
            if "requestBody" in operation and operation["operationId"] != "rotateKey":
                operation["requestBody"]["required"] = True
    result["paths"]["/health"]["get"]["x-aliases"] = [f"/{path}" for path in HEALTH_PATHS]
    for path, method in (("/api/orders/execute", "post"), ("/api/orders", "get")):
        result["paths"][path][method]["x-aliases"] = list(OLD_PATHS)
    return result


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
