"""The frames that are made of the shapes of HTTP bodies and answers: shapes, and examples.

Order entry by frames with a `requestId`, the stream of an account, and quotes.
"""

from typing import Any

from orders.api.schema import examples
from orders.api.schema.shapes import (
    COUNT,
    OF_SOME,
    OFFER,
    ORDER,
    SCHEMAS,
    SWAP,
    TEXT,
    Schema,
    closed,
    nullable,
    ref,
)

KEY_TEXT: Schema = TEXT | {
    "pattern": "^[!-+\\--~]{1,255}$",
    "description": "As the header `Idempotency-Key`.",
}
ORDER_ID: Schema = TEXT | {"format": "uuid"}
CANCEL_ALL: dict[str, Schema] = SCHEMAS["CancelAll"]["properties"]
IDS: dict[str, Schema] = SCHEMAS["CancelMany"]["properties"]


def entry(action: str, members: dict[str, Schema], *optional: str, description: str) -> Schema:
    """Return a frame that is answered by its id."""
    asked = {"action": {"const": action}, "requestId": ref("RequestId")}
    return closed(asked | members, *optional, description=description)


FRAMES: dict[str, Schema] = {
    "RequestId": TEXT
    | {
        "pattern": "^[!-~]{1,64}$",
        "description": "Chosen by the client. A repeated one gets the first answer again, out of"
        " the newest 100 of the connection.",
    },
    "QuoteFrame": closed(
        {
            **{"type": {"const": "quote"}, "seq": {"type": "integer", "minimum": 1}},
            **{**SWAP, "slippageBps": COUNT, **OFFER},
        },
        *OFFER,
        description="The answer of `GET /api/quotes`, with a number that grows by 1.",
    ),
    "Hello": closed(
        {
            **{"type": {"const": "hello"}, "cursor": ref("Cursor")},
            "heartbeatSeconds": COUNT | {"description": "Within which something is told."},
        },
        description="The first message: from this cursor on everything is told.",
    ),
    "SnapshotOrder": closed(
        {name: shape for name, shape in ORDER.items() if name != "links"},
        *OF_SOME,
        description="An order as it stands, without its links.",
    ),
    "Snapshot": closed(
        {
            "type": {"const": "snapshot"},
            "orders": {"type": "array", "items": ref("SnapshotOrder"), "maxItems": 200},
            "more": {"type": "boolean", "description": "Whether another page comes."},
        },
        description="A page of the open orders as they stand, if `snapshot=open` asks for them.",
    ),
    "Checkpoint": closed(
        {"type": {"const": "checkpoint"}, "cursor": ref("Cursor")},
        description="All before this place has been told.",
    ),
    "ExecuteRequest": entry(
        "execute",
        {"order": ref("OrderRequest"), "idempotencyKey": KEY_TEXT},
        "idempotencyKey",
        description="`POST /api/orders/execute`.",
    ),
    "CancelRequest": entry(
        "cancel",
        {"orderId": ORDER_ID, **IDS},
        *("orderId", *IDS),
        description="`POST /api/orders/{id}/cancel`; with `orderIds` `POST /api/orders/cancel`.",
    ),
    "CancelAllRequest": {
        **entry(
            "cancelAll",
            CANCEL_ALL,
            *CANCEL_ALL,
            description="`POST /api/orders/cancel-all`: the filter's members stand beside.",
        ),
        "patternProperties": SCHEMAS["CancelAll"]["patternProperties"],
    },
    "AmendRequest": entry(
        "amend",
        {
            **{"orderId": ORDER_ID, "seq": nullable({"type": "integer", "minimum": 1})},
            "changes": ref("Amendment"),
        },
        "seq",
        description="`PATCH /api/orders/{id}`: `seq` stands beside the changes.",
    ),
    "ReplaceRequest": entry(
        "replace",
        {"orderId": ORDER_ID, "order": ref("OrderRequest"), "idempotencyKey": KEY_TEXT},
        "idempotencyKey",
        description="`POST /api/orders/{id}/replace`.",
    ),
    "PreviewRequest": entry(
        "preview", {"order": ref("OrderRequest")}, description="`POST /api/orders/preview`."
    ),
    "BatchRequest": entry(
        "batch",
        SCHEMAS["Batch"]["properties"] | {"idempotencyKey": KEY_TEXT},
        *("mode", "idempotencyKey"),
        description="`POST /api/orders/batch`.",
    ),
    "Ack": closed(
        {
            **{"type": {"const": "ack"}, "requestId": ref("RequestId")},
            "httpStatus": {"type": "integer", "description": "As over HTTP."},
            "body": {
                "description": "The body of the answer over HTTP.",
                "anyOf": [
                    *(ref(name) for name in ("AcceptedOrder", "AcceptedGroup", "Order")),
                    *(ref(name) for name in ("Preview", "BatchAnswer", "CancelManyAnswer")),
                    ref("CancelAllAnswer"),
                ],
            },
        },
        description="What a frame with a `requestId` asked for was done. An order's first event"
        " comes after it.",
    ),
}


def message(title: str, shape: str, payload: dict[str, Any]) -> dict[str, Any]:
    """Return a message of the AsyncAPI document, with an example of it."""
    place = {"$ref": f"#/components/schemas/{shape}"}
    return {
        "title": title,
        "summary": FRAMES[shape].get("description", title),
        "payload": place,
        "examples": [{"payload": payload}],
    }


def asked(action: str, **members: Any) -> dict[str, Any]:
    return {"action": action, "requestId": f"{action}-1", **members}


AT = examples.CURSOR
SHOWN = {name: value for name, value in examples.PENDING.items() if name != "links"}
STOP = examples.BY_TYPE["stop"][1]
MESSAGES = {
    "executeRequest": message(
        "Send an order", "ExecuteRequest", asked("execute", order=examples.SELL)
    ),
    "cancelRequest": message(
        "Cancel an order", "CancelRequest", asked("cancel", orderId=examples.ORDER_ID)
    ),
    "cancelAllRequest": message(
        "Cancel all that pass a filter", "CancelAllRequest", asked("cancelAll", scope="entries")
    ),
    "amendRequest": message(
        "Amend an order",
        "AmendRequest",
        asked("amend", orderId=examples.ORDER_ID, seq=3, changes={"limitPrice": "102.5"}),
    ),
    "replaceRequest": message(
        "Replace an order",
        "ReplaceRequest",
        asked("replace", orderId=examples.ORDER_ID, order=STOP),
    ),
    "previewRequest": message(
        "See what an order would do", "PreviewRequest", asked("preview", order=STOP)
    ),
    "batchRequest": message("Send several orders", "BatchRequest", asked("batch", orders=[STOP])),
    "ack": message(
        "Acknowledgement",
        "Ack",
        {
            **{"type": "ack", "requestId": "execute-1", "httpStatus": 201},
            "body": examples.ACCEPTED,
        },
    ),
    "hello": message("Hello", "Hello", {"type": "hello", "cursor": AT, "heartbeatSeconds": 5}),
    "snapshot": message(
        "Open orders", "Snapshot", {"type": "snapshot", "orders": [SHOWN], "more": False}
    ),
    "checkpoint": message("Checkpoint", "Checkpoint", {"type": "checkpoint", "cursor": AT}),
}
