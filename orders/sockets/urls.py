"""The WebSocket paths: one stream for each order, and the paths on which orders are sent."""

from typing import Any
from urllib.parse import parse_qs

from django.urls import re_path

from orders.api.reading.dialects import ENTRY_PATHS, QUERY_PATHS, STREAM_PATHS, SUBSCRIBE_PATHS
from orders.sockets import account, consumers, engine, prices, quotes, subscriptions

nowhere = consumers.NoSuchPath.as_asgi()
subscribing = subscriptions.Subscriptions.as_asgi()
following = account.AccountStream.as_asgi()


async def by_query(scope: Any, receive: Any, send: Any) -> None:
    """Follow an order if the query names one; else all orders of the account."""
    named = b"orderId" in parse_qs(scope["query_string"], keep_blank_values=True)
    await (subscribing if named else following)(scope, receive, send)


websocket_routes = [
    re_path(r"^ws/prices/?$", prices.PriceStream.as_asgi()),
    re_path(r"^ws/engine/?$", engine.EngineStream.as_asgi()),
    re_path(r"^ws/quotes/?$", quotes.QuoteStream.as_asgi()),
    re_path(r"^ws/orders/(?P<order_id>[^/]+)/?$", consumers.OrderStream.as_asgi()),
    *(re_path(rf"^{path}/?$", consumers.OrderEntry.as_asgi()) for path in ENTRY_PATHS),
    *(re_path(rf"^{path}/?$", subscriptions.NumberStream.as_asgi()) for path in STREAM_PATHS),
    *(re_path(rf"^{path}/?$", subscribing) for path in SUBSCRIBE_PATHS),
    *(re_path(rf"^{path}/?$", by_query) for path in QUERY_PATHS),  # type: ignore[arg-type]  # ASGI
    re_path(r"", nowhere),
]
