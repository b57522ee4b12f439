"""Django's settings, and the engine's: what stands here, and what the environment says.

`config.environment.variables` declares what the environment may say. It stops the process if a
setting is wrong.
"""

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from config.database.connection import BoundedConnection
from config.environment import data_folder
from config.environment.listening import EVERYWHERE, is_reachable
from config.environment.values import in_url
from config.environment.variables import data_directory, environment_or_end
from config.http.static_version import static_version
from config.runtime.logs import logging_settings
from config.runtime.postgres import LIBPQ_NAMES
from config.runtime.redis_address import RedisAddress
from config.runtime.redis_listening import listening_options
from config.runtime.session import parameters_of
from routing.simulation.settings import Simulation

BASE_DIR = Path(__file__).resolve().parent.parent
given = environment_or_end()
DATA_DIR = data_directory()


def database(url: str) -> dict[str, Any]:
    """Return Django's form of a libpq connection URL."""
    parts = parameters_of(url)
    return {
        "ENGINE": "config.database",
        **{django: parts.pop(libpq, "") for libpq, django in LIBPQ_NAMES.items()},
        "OPTIONS": {
            **parts,
            "application_name": "engine django",
            "pool": {
                "min_size": 0,
                "max_size": 10,
                "connection_class": BoundedConnection,
                "reconnect_timeout": 1,  # a longer one would wait minutes after the server is back
            },
        },
    }


# Django
DEBUG = given.DEBUG
IS_EMBEDDED = given.DATABASE_URL is None
if IS_EMBEDDED:  # in a command beside our own server, libpq reads its variables when it connects
    for name in set(os.environ) - set(data_folder.without_libpq_variables(os.environ)):
        del os.environ[name]
SECRET_KEY = given.SECRET_KEY or data_folder.secret_key(DATA_DIR)
SECRET_KEY_FALLBACKS = list(given.SECRET_KEY_FALLBACKS)
LOOPBACK = ["localhost", "127.0.0.1", "[::1]"]  # where health checks come from
own_hosts = [in_url(given.HOST)] if given.HOST and given.HOST not in EVERYWHERE else []
ALLOWED_HOSTS = list(dict.fromkeys([*LOOPBACK, *own_hosts, *given.ALLOWED_HOSTS]))
IS_REACHABLE = is_reachable()  # whether other machines can connect, or may be able to
CSRF_TRUSTED_ORIGINS = list(given.CSRF_TRUSTED_ORIGINS)
ALLOWED_ORIGINS = list(given.ALLOWED_ORIGINS)  # for WebSockets, besides our own host
SESSION_ENGINE = "config.http.login_sessions"
SESSION_COOKIE_HTTPONLY = True
LOGIN_RATE_LIMIT = given.LOGIN_RATE_LIMIT
SESSION_COOKIE_AGE = given.SESSION_IDLE_SECONDS  # each use renews it: orders/logins/sessions.py
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "/api/orders"
LOGIN_URL = "/accounts/login/"
# The second one only serves the demo login, and only if DEMO_LOGIN is on.
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "orders.logins.demo.DemoBackend",
]
PASSWORD_HASHERS = [
    "orders.logins.hashing.PBKDF2InTurns",
    *("django.contrib.auth.hashers." + name for name in ("PBKDF2SHA1PasswordHasher",)),
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{rule}"}
    for rule in (
        *("UserAttributeSimilarityValidator", "MinimumLengthValidator"),
        *("CommonPasswordValidator", "NumericPasswordValidator"),
    )
]

# HTTPS: once a certificate is there, every page and order comes by it alone
HTTPS = given.HTTPS
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^((api/)?health|livez|readyz|metrics)/?$"]  # asked from inside
SECURE_HSTS_SECONDS = given.HSTS_SECONDS if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS  # those of our own host name
PROXY_SSL_HEADER = given.PROXY_SSL_HEADER
if PROXY_SSL_HEADER:
    SECURE_PROXY_SSL_HEADER = (
        "HTTP_" + PROXY_SSL_HEADER.upper().replace("-", "_"),
        "https",
    )
# How many proxies there are, or where they are. uvicorn's name for it was FORWARDED_ALLOW_IPS.
TRUSTED_PROXIES = given.TRUSTED_PROXIES
if given.FORWARDED_ALLOW_IPS is not None and "TRUSTED_PROXIES" not in given.model_fields_set:
    TRUSTED_PROXIES = given.FORWARDED_ALLOW_IPS
MAX_CONNECTIONS = given.MAX_CONNECTIONS
MAX_ADDRESS_CONNECTIONS = given.MAX_ADDRESS_CONNECTIONS
MAX_SOCKETS = given.MAX_SOCKETS
METRICS_TOKEN = given.METRICS_TOKEN
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# W021: only a domain's owner may decide that browsers hold all of it to HTTPS for ever.
# W045: no form writes orders, so that only PostgreSQL need know their constraints.
SILENCED_SYSTEM_CHECKS = ["security.W021", "models.W045"]

DATABASE_URL = given.DATABASE_URL or data_folder.database_url(DATA_DIR)
REDIS_ADDRESS = given.REDIS_URL or RedisAddress.parse(data_folder.redis_url(DATA_DIR))
REDIS_URL = REDIS_ADDRESS.url
# All our keys and channels in that Redis begin with it, except `active_orders`. Channels know no
# database, so the database's number is in the prefix.
ENGINE_NAME = given.ENGINE_NAME
REDIS_PREFIX = f"{ENGINE_NAME}:{REDIS_ADDRESS.number}:"
DATABASES = {"default": database(DATABASE_URL)}

INSTALLED_APPS = [
    # First, so that runserver serves WebSockets. Other processes do without it: it loads Twisted,
    # which costs a third of a second.
    *(["daphne"] if "runserver" in sys.argv else []),
    "config.admin.EngineAdminConfig",  # django.contrib.admin with our start page
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "csp",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_otp",
    "orders.logins",
    "orders",
    "routing",
]
MIDDLEWARE = [  # for pages and for reading; orders go the short way of config/http/order_entry.py
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "orders.api.pages.session_middleware.refuse_ended_sessions",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "orders.api.pages.errors.tell_people",
]
CSRF_FAILURE_VIEW = "orders.api.pages.errors.csrf_failure"
CONTENT_SECURITY_POLICY = {  # for every page: nothing from elsewhere, nothing inline
    "DIRECTIVES": {
        "default-src": ["'self'"],  # includes scripts, styles, and WebSockets of our own host
        "img-src": ["'self'", "data:"],  # icons in the style sheets of the admin and Swagger
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}
ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "orders/templates"],  # before Django's own: the admin's frame is ours
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
# Browsers keep the files of this state; while somebody works on them, they have no such name.
STATIC_URL = "/static/" if DEBUG else f"/static/{static_version([BASE_DIR / 'orders/static'])}/"
STATIC_ROOT = BASE_DIR / "staticfiles"
# The trading page's chart: one script out of a wheel. Without it the page shows the price as text.
STATICFILES_DIRS = [
    ("charts", Path(folder) / "js")
    for found in [find_spec("litecharts")]
    if found is not None
    for folder in found.submodule_search_locations or ()
]
APPEND_SLASH = False  # an API path answers with and without its last slash
USE_TZ = True
TIME_ZONE = "UTC"
FORMAT_MODULE_PATH = "config.http"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LOGGING = logging_settings(given.LOG_LEVEL, given.LOG_FORMAT)
REST_FRAMEWORK = {
    "EXCEPTION_HANDLER": "orders.api.problems.handle_exception",
    "DEFAULT_RENDERER_CLASSES": [
        "orders.api.renderers.PlainJSONRenderer",
        "orders.api.renderers.PageRenderer",
    ],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "orders.api.renderers.ProgramsFirst",
    "DEFAULT_PARSER_CLASSES": ["orders.api.reading.parsers.ExactJSONParser"],
    "DEFAULT_AUTHENTICATION_CLASSES": [
        # The first one: a 401 carries its challenge.
        "orders.access.authentication.ApiKeyAuthentication",
        "orders.access.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["orders.access.authentication.MayAct"],
    "DEFAULT_SCHEMA_CLASS": "orders.api.schema.openapi.NamedOperations",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Order execution engine",
    "DESCRIPTION": "Takes orders for Solana DEX swaps and carries each one to its end. Decimals are"
    " strings, times are RFC 3339 in UTC, errors are problem details (RFC 9457) with a stable code"
    " in `error`. A slash at the end of a path changes nothing. Sockets are at /api/docs/sockets.",
    "VERSION": "0.1.0",
    "LICENSE": {"name": "MIT"},
    "OAS_VERSION": "3.1.0",
    "TAGS": [
        {"name": "orders"},
        {"name": "aliases", "description": "The same views, on the paths of older systems."},
        {"name": "account", "description": "One's own API keys."},
        {"name": "engine"},
    ],
    "PREPROCESSING_HOOKS": ["orders.api.schema.openapi.merge_slashes"],
    "POSTPROCESSING_HOOKS": ["orders.api.schema.openapi.finish"],
    "SORT_OPERATION_PARAMETERS": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {
        "deepLinking": True,
        "defaultModelsExpandDepth": 0,
        "syntaxHighlight": False,  # its colours cannot be read, and it writes them into the page
    },
}

# Channels: hints of events travel here; all of them may be lost
CHANNEL_PREFIX = REDIS_PREFIX
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {
            "hosts": [listening_options(REDIS_URL, connect_seconds=1)],
            "prefix": CHANNEL_PREFIX,
        },
    }
}

# Celery: bells that say "there is work"; all of them may be lost, too
CELERY_BROKER_URL = "engine://redis"  # config/runtime/broker.py connects to REDIS_URL
CELERY_TASK_DEFAULT_QUEUE = "bells"
CELERY_WORKER_POOL = "threads"
CELERY_WORKER_CONCURRENCY = 4
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False  # else any writer of Redis could stop workers
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_CHANNEL_ERROR_RETRY = True  # a full Redis answers with such an error
CELERY_BROKER_POOL_LIMIT = 2
CELERY_TASK_PUBLISH_RETRY_POLICY = {
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0.1,
    "interval_max": 0.1,
}
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "global_keyprefix": REDIS_PREFIX,
    "visibility_timeout": 60,
    "unacked_restore_interval": 2,
    "unacked_restore_throttle": 1,
    "socket_timeout": 5,
    "socket_connect_timeout": 1,
    "socket_keepalive": True,
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0.1,
    "interval_max": 0.1,
}
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]

# The engine
DEFAULT_MARKET = given.DEFAULT_MARKET
ORDER_CONCURRENCY = given.ORDER_CONCURRENCY
ORDER_RATE_LIMIT = given.ORDER_RATE_LIMIT
ACCOUNT_RATE_LIMIT = given.ACCOUNT_RATE_LIMIT
RESTING_RATE_LIMIT = given.RESTING_RATE_LIMIT
READ_RATE_LIMIT = given.READ_RATE_LIMIT
PREVIEW_RATE_LIMIT = given.PREVIEW_RATE_LIMIT
MAX_BACKLOG = given.MAX_BACKLOG
SENDER_BACKLOG_SHARE = given.SENDER_BACKLOG_SHARE
MAX_RESTING_DAYS = given.MAX_RESTING_DAYS
MAX_OPEN_ORDERS = given.MAX_OPEN_ORDERS
MARKET_MAX_WAIT_SECONDS = given.MARKET_MAX_WAIT_SECONDS
ALLOW_ANONYMOUS_ORDERS = not given.SOLANA_LIVE and (
    IS_EMBEDDED if given.ALLOW_ANONYMOUS_ORDERS is None else given.ALLOW_ANONYMOUS_ORDERS
)
ORDER_ATTEMPTS = given.ORDER_ATTEMPTS
RETRY_BACKOFF = given.RETRY_BACKOFF
VENUES = given.VENUES
SOLANA_RPC_URLS = given.SOLANA_RPC_URLS
SOLANA_KEY_FILE = given.SOLANA_KEY_FILE
SOLANA_PRICE_FEEDS = given.SOLANA_PRICE_FEEDS
SOLANA_SIGNER_URL = next(iter(given.SOLANA_SIGNER_URL), "")
SOLANA_SIGNER_TOKEN = given.SOLANA_SIGNER_TOKEN
SOLANA_WALLET = given.SOLANA_WALLET
SOLANA_LIVE = given.SOLANA_LIVE
SOLANA_MAX_ORDER_VALUE = given.SOLANA_MAX_ORDER_VALUE
SOLANA_MAX_DAY_VALUE = given.SOLANA_MAX_DAY_VALUE
SOLANA_FEE_RESERVE = given.SOLANA_FEE_RESERVE
SOLANA_FEE_PERCENTILE = given.SOLANA_FEE_PERCENTILE
SOLANA_MAX_PRIORITY_FEE = given.SOLANA_MAX_PRIORITY_FEE
SOLANA_SEND_URLS = given.SOLANA_SEND_URLS
SOLANA_TIP = given.SOLANA_TIP
SOLANA_TIP_RECEIVER = given.SOLANA_TIP_RECEIVER
QUOTE_TIMEOUT = given.QUOTE_TIMEOUT
MAX_ORDER_VALUE = given.MAX_ORDER_VALUE
MAX_PRICE_IMPACT_BPS = given.MAX_PRICE_IMPACT_BPS
MAX_QUOTE_DEVIATION_BPS = given.MAX_QUOTE_DEVIATION_BPS or (
    2_000 if given.VENUES == "simulated" else 200
)
SPLIT_MIN_GAIN_BPS = given.SPLIT_MIN_GAIN_BPS
LEASE_SECONDS = given.LEASE_SECONDS
STATUS_POLL_SECONDS = given.STATUS_POLL_SECONDS
RESEND_SECONDS = given.RESEND_SECONDS
LINGER_SECONDS = given.LINGER_SECONDS
STOP_GRACE_SECONDS = given.STOP_GRACE_SECONDS
ENGINE_API_KEY = given.ENGINE_API_KEY
DEMO_LOGIN = given.DEMO_LOGIN and not is_reachable() and not given.SOLANA_LIVE
REQUIRE_STAFF_MFA = is_reachable() if given.REQUIRE_STAFF_MFA is None else given.REQUIRE_STAFF_MFA
SIMULATION = Simulation(
    quote_latency=given.SIMULATION_QUOTE_LATENCY,
    landing_latency=given.SIMULATION_LANDING_LATENCY,
    late_by=given.SIMULATION_LATE_BY,
    block_seconds=given.SIMULATION_BLOCK_SECONDS,
    expiry_blocks=given.SIMULATION_EXPIRY_BLOCKS,
    depth=given.SIMULATION_DEPTH,
    volatility_bps=given.SIMULATION_VOLATILITY_BPS,
    price_ranges=given.SIMULATION_PRICE_RANGES,
    seed=given.SIMULATION_SEED,
    faults=given.SIMULATION_FAULTS,
    price_paths=given.SIMULATION_PRICE_PATH,
)
