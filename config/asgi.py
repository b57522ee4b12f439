"""The ASGI application: HTTP to Django, WebSockets to the consumers, static files from the apps."""

import os
from typing import cast

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django_application = get_asgi_application()

from channels.routing import ProtocolTypeRouter, URLRouter

from config.address import with_client
from config.cors import with_cors
from config.door import BoundedSockets, KnownHosts
from config.handler import EntryHandler
from config.limits import Application, limit_body
from config.origin import OwnOrigins, PlainNames
from config.privacy import with_privacy
from config.request_ids import with_request_id
from config.static_files import StaticFiles
from orders.routes import websocket_routes
from orders.streams import lifespan
from orders.urls import entry_paths, probe_paths

pages = PlainNames(StaticFiles(django_application))
entry = EntryHandler(pages, frozenset(entry_paths()), frozenset(probe_paths()))
routed = ProtocolTypeRouter(
    {
        "http": with_cors(with_privacy(limit_body(cast(Application, entry)))),
        "websocket": KnownHosts(OwnOrigins(BoundedSockets(URLRouter(websocket_routes)))),
        "lifespan": lifespan,
    }
)
application = with_client(with_request_id(routed))
