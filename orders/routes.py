"""The WebSocket paths: one stream for each order, and the paths on which orders are sent."""

from django.urls import re_path

from orders import consumers
from orders.urls import ENTRY_PATHS

websocket_routes = [
    re_path(r"^ws/orders/(?P<order_id>[^/]+)/?$", consumers.OrderStream.as_asgi()),
    *(re_path(rf"^{path}/?$", consumers.OrderEntry.as_asgi()) for path in ENTRY_PATHS),
    re_path(r"", consumers.NoSuchPath.as_asgi()),
]
