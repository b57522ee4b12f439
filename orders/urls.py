"""The trading page, and the REST paths, each with and without a slash at the end."""

from django.templatetags.static import static
from django.urls import URLPattern, URLResolver, path, re_path
from django.views.decorators.gzip import gzip_page
from django.views.generic import RedirectView

from orders.api import key_views, markets, probes, quote_views, views
from orders.api.changes import batch_views, cancel_views, replace_views
from orders.api.following import views as following_views
from orders.api.lists.views import OrdersCsvView
from orders.api.pages import execution_quality, me
from orders.api.pages.trade_page import trade_page
from orders.api.reading.dialects import ENTRY_PATHS, HEALTH_PATHS
from orders.api.schema import documentation
from orders.api.schema import views as schema_views

ORDER_ID = r"(?P<order_id>[^/]+)"
PREFIX = r"(?P<prefix>[^/]+)"
PROBE_PATHS = ("livez", "readyz", "metrics")
STREAM_PATH, FEED_PATH = "api/orders/stream", "api/events"


def either(path: str, view: object, name: str | None = None) -> URLPattern:
    return re_path(rf"^{path}/?$", view, name=name)  # type: ignore[call-overload,no-any-return]


def entry_paths() -> list[str]:
    """Return every form of the paths on which orders are sent."""
    return forms_of(*ENTRY_PATHS)


def probe_paths() -> list[str]:
    """Return every form of the paths for those who watch over the processes."""
    return forms_of(*PROBE_PATHS)


def forms_of(*paths: str) -> list[str]:
    return [f"/{path}{end}" for path in paths for end in ("", "/")]


orders_view = views.OrdersView.as_view()
urlpatterns: list[URLPattern | URLResolver] = [
    path("", trade_page, name="trade"),
    either("test", trade_page),
    path("trade", trade_page),
    path("favicon.ico", RedirectView.as_view(url=static("orders/live.svg"))),
    *(either(path, orders_view, name=path) for path in ENTRY_PATHS),
    either("api/markets", views.MarketsView.as_view(), "markets"),
    either("api/prices", markets.PricesView.as_view(), "prices"),
    either("api/me", me.MeView.as_view(), "me"),
    either("api/quotes", quote_views.QuotesView.as_view(), "quotes"),
    either(
        "api/analytics/execution-quality",
        execution_quality.ExecutionQualityView.as_view(),
        "execution-quality",
    ),
    either("api/ws-tickets", views.TicketsView.as_view(), "ws-tickets"),
    either("health", views.HealthView.as_view(), "health"),
    *(either(path, views.HealthView.as_view()) for path in HEALTH_PATHS),
    either("livez", probes.live, "livez"),
    either("readyz", probes.ready, "readyz"),
    either("metrics", probes.metrics, "metrics"),
    # Words come before ids: no order is called so.
    either("api/orders/preview", quote_views.PreviewView.as_view(), "preview"),
    either("api/orders/batch", batch_views.BatchView.as_view(), "batch"),
    either("api/orders/cancel", cancel_views.CancelManyView.as_view(), "cancel-many"),
    either("api/orders/cancel-all", cancel_views.CancelAllView.as_view(), "cancel-all"),
    either(r"api/orders\.csv", OrdersCsvView.as_view(), "orders-csv"),
    either(STREAM_PATH, following_views.EventStreamView.as_view(), "stream"),
    either(FEED_PATH, following_views.FeedView.as_view(), "feed"),
    re_path(rf"^api/orders/{ORDER_ID}$", views.OrderView.as_view(), name="order"),
    either(f"api/orders/{ORDER_ID}", views.OrderView.as_view()),
    re_path(rf"^api/orders/{ORDER_ID}/events$", views.EventsView.as_view(), name="events"),
    either(f"api/orders/{ORDER_ID}/events", views.EventsView.as_view()),
    re_path(rf"^api/orders/{ORDER_ID}/route$", views.RouteView.as_view(), name="route"),
    either(f"api/orders/{ORDER_ID}/route", views.RouteView.as_view()),
    either(f"api/orders/{ORDER_ID}/replace", replace_views.ReplaceView.as_view(), "replace"),
    either(f"api/orders/{ORDER_ID}/cancel", views.CancelView.as_view(), "cancel"),
    either("account/keys", key_views.own_keys_page, "own-keys"),
    either("api/account/keys", key_views.KeysView.as_view(), "keys"),
    re_path(rf"^api/account/keys/{PREFIX}$", key_views.KeyView.as_view(), name="key"),
    either(f"api/account/keys/{PREFIX}", key_views.KeyView.as_view()),
    either(f"api/account/keys/{PREFIX}/rotate", key_views.RotateKeyView.as_view(), "rotate-key"),
    either(f"api/account/keys/{PREFIX}/revoke", key_views.RevokeKeyView.as_view(), "revoke-key"),
    either("api/schema", gzip_page(schema_views.SchemaView.as_view()), "api-schema"),
    either("api/schema/sockets", schema_views.asyncapi_document),
    either(r"api/schema/asyncapi\.yaml", schema_views.asyncapi_document, "socket-schema"),
    either(r"api/schema/types\.ts", schema_views.types_for_typescript, "types"),
    either("api/docs", schema_views.SwaggerView.as_view(), "api-docs"),
    either("api/docs/sockets", gzip_page(schema_views.sockets_page), "socket-docs"),
    path("llms.txt", documentation.llms_txt, name="llms"),
    path("docs", RedirectView.as_view(url="/docs/")),
    path("docs/", documentation.documentation, name="docs"),
    path("docs/<path:name>", documentation.documentation),
]
