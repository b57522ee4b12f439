"""An account's line with made-up orders, so that a page can be looked at in states that pass."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from playwright.sync_api import Page, Route, WebSocketRoute

CURSOR = "made-up"
QUOTES = (
    {"dex": "raydium", "price": "98.1214", "feeBps": 30, "amountIn": "1.5"},
    {"dex": "meteora", "price": "98.9347", "feeBps": 20, "amountIn": "1.5"},
)
NET = {"raydium": "146.740587", "meteora": "148.105200"}


def ago(seconds: float) -> str:
    """Return the time so many seconds ago, as the API writes it."""
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


class MadeUp:
    """One order whose events a test writes; `seq` goes on by itself."""

    def __init__(self, number: int, *, seconds: float = 10, **asked: Any) -> None:
        self.id = f"01a1fc02-2219-7ea8-9f11-{number:012x}"
        self.begin = seconds
        self.asked = {
            **{"orderId": self.id, "type": "market", "side": "sell", "baseToken": "SOL"},
            **{"quoteToken": "USDC", "tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1.5"},
            **{"amountOut": None, "slippageBps": 100, "clientOrderId": None, "summary": "Sell."},
            **asked,
        }
        self.events: list[dict[str, Any]] = []
        first = "open" if self.asked["type"] != "market" else "pending"
        self.add(first, 0, "accepted", message="Order received", data={"order": self.asked})

    def add(
        self, status: str, after: float, event: str | None = None, **more: Any
    ) -> dict[str, Any]:
        """Add an event, so many seconds after the first, and return it."""
        data = more.get("data", {})
        venue = data.get("selectedDex")
        made = {
            **{"type": "status_update", "orderId": self.id, "seq": len(self.events) + 1},
            **{"event": event or status, "status": status, "message": f"Now {status}"},
            **{"timestamp": ago(self.begin - after), "attempt": 0 if after == 0 else 1},
            **{"route": venue and venue.title(), "routedDex": venue, "error": data.get("error")},
            **{"txHash": data.get("txHash"), "executedPrice": data.get("executedPrice")},
            **{"data": data, **more},
        }
        self.events.append(made)
        return made

    def to_submitted(self, **decided: Any) -> "MadeUp":
        self.add("routing", 0.01)
        self.add("building", 0.2, data=decision(**decided))
        self.add("submitted", 0.21, data={"selectedDex": "meteora", "txHash": "5Nx27ainpmZfT4"})
        return self

    def as_json(self) -> dict[str, Any]:
        """Return the order as `GET /api/orders/{id}` would."""
        last = self.events[-1]
        ends = ("confirmed", "failed", "cancelled", "expired")
        tries = max(event["attempt"] for event in self.events)
        built = [event["data"] for event in self.events if event["status"] == "building"]
        shown: dict[str, Any] = {
            **{"route": None, "routedDex": None, "txHash": None, "executedPrice": None},
            **{"executedAmountIn": None, "executedAmountOut": None, "maxAmountIn": None},
            **{"failureCode": None, "error": None, "startedAt": None, "finishedAt": None},
            **{"minAmountOut": built[0]["minAmountOut"] if built else None, **self.asked},
            **{"status": last["status"], "seq": last["seq"], "attempts": tries},
            "createdAt": self.events[0]["timestamp"],
        }
        if last["status"] in ends:
            shown["finishedAt"] = last["timestamp"]
            shown["failureCode"] = last["data"].get("failureCode")
            shown |= {"reason": last["data"]["reason"]} if "reason" in last["data"] else {}
        return shown


def decision(won: str = "meteora", **more: Any) -> dict[str, Any]:
    """Return the data of an event `building`."""
    quotes = [quote | {"amountOut": NET[quote["dex"]]} for quote in QUOTES]
    quote = next(one for one in quotes if one["dex"] == won)
    return {
        **{"selectedDex": won, "runnerUp": "raydium", "marginBps": "92.99", "dropped": []},
        **{"reason": "Meteora nets 148.105200 USDC, 1.364613 more than Raydium"},
        **{"quotes": quotes, "quote": quote, "minAmountOut": "146.624148"},
        **{"legs": [quote | {"market": "SOL/USDC", "side": "sell"}], "steps": [], **more},
    }


class Line:
    """Answers for the account's socket and the orders' paths with what was made up."""

    def __init__(self, page: Page, *orders: MadeUp) -> None:
        self.orders = {order.id: order for order in orders}
        self.sockets: list[WebSocketRoute] = []
        self.asked: list[tuple[str, str, Any]] = []
        self.answers: dict[tuple[str, str], tuple[int, Any]] = {}
        page.route_web_socket("**/ws/orders?**", self.open)
        page.route("**/api/orders**", self.answer)

    def open(self, socket: WebSocketRoute) -> None:
        self.sockets.append(socket)
        socket.on_message(lambda text: "ping" in str(text) and socket.send('{"type":"pong"}'))
        send(socket, {"type": "hello", "cursor": CURSOR, "heartbeatSeconds": 5})
        open_now = [
            one.as_json() for one in self.orders.values() if not one.as_json()["finishedAt"]
        ]
        send(socket, {"type": "snapshot", "orders": open_now, "more": False})

    def tell(self, event: dict[str, Any]) -> None:
        send(self.sockets[-1], event)

    def answer(self, route: Route) -> None:
        request = route.request
        path = request.url.partition("/api/")[2]
        if path.startswith("orders/preview"):
            route.continue_()  # the ticket asks the engine itself
            return
        self.asked.append((request.method, path, request.post_data_json))
        status, body = self.found(request.method, path.partition("?")[0])
        route.fulfill(status=status, content_type="application/json", body=json.dumps(body))

    def found(self, method: str, path: str) -> tuple[int, Any]:
        if (method, path) in self.answers:
            return self.answers[method, path]
        _, _, rest = path.partition("orders/")
        order_id, _, part = rest.partition("/")
        if not rest:
            ended = [one.as_json() for one in self.orders.values() if one.as_json()["finishedAt"]]
            return 200, {"next": None, "previous": None, "results": ended}
        order = self.orders.get(order_id)
        if order is None:
            return 404, {"error": "order_not_found", "detail": "No such order."}
        return 200, {"events": order.events} if part == "events" else order.as_json()

    def sent(self, method: str) -> Iterator[tuple[str, Any]]:
        return ((path, body) for way, path, body in self.asked if way == method)


def send(socket: WebSocketRoute, message: dict[str, Any]) -> None:
    socket.send(json.dumps(message))
