"""The ASGI application: HTTP to Django, WebSockets to the consumers, static files from the apps."""

import os
from typing import Any, cast

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup(set_prefix=False)

from channels.routing import ProtocolTypeRouter, URLRouter

from config.http.address import with_client
from config.http.body_limit import Application, limit_body
from config.http.cors import with_cors
from config.http.door import BoundedSockets, KnownHosts
from config.http.one_thread import OneThreadHandler
from config.http.order_entry import EntryHandler
from config.http.privacy import with_privacy
from config.http.request_ids import with_request_id
from config.http.socket_origin import OwnOrigins, PlainNames
from config.http.static_files import StaticFiles
from orders.api.entry import answer_plainly
from orders.api.following.door import EventsDoor
from orders.api.following.event_stream import answer_by_stream
from orders.api.following.feed import answer_by_page
from orders.api.pages.errors import with_error_pages
from orders.processes.web import lifespan
from orders.sockets.urls import websocket_routes
from orders.urls import FEED_PATH, STREAM_PATH, entry_paths, forms_of, probe_paths

pages = EventsDoor(
    PlainNames(StaticFiles(OneThreadHandler())),
    (forms_of(STREAM_PATH), answer_by_stream),
    (forms_of(FEED_PATH), answer_by_page),
)


def surrounded(entry: EntryHandler) -> Any:
    """Return the application around what takes orders and passes on the rest."""
    served = cast(Application, entry)
    routed = ProtocolTypeRouter(
        {
            "http": with_cors(with_privacy(with_error_pages(limit_body(served)))),
            "websocket": KnownHosts(OwnOrigins(BoundedSockets(URLRouter(websocket_routes)))),
            "lifespan": lifespan,
        }
    )
    return with_client(with_request_id(routed))


paths, probes = frozenset(entry_paths()), frozenset(probe_paths())
application = surrounded(EntryHandler(pages, paths, probes, answer_plainly))
