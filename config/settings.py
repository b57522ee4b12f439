"""Every setting, read from the environment once. A wrong one stops the process with a sentence."""

import os
import re
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

from config import embedded
from config.database.connection import BoundedConnection
from config.logs import logging_settings
from config.postgres import LIBPQ_NAMES
from config.rate import Rate
from config.redis_address import RedisAddress
from config.redis_listening import listening_options
from config.session import parameters_of
from routing.simulation import Simulation

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()
DATA_DIR = Path(env.str("ENGINE_DATA_DIR", default=str(BASE_DIR / ".data"))).resolve()


def positive(name: str, default: float) -> float:
    """Read a number above zero."""
    value = float(env.float(name, default=default))
    if value <= 0:
        raise ImproperlyConfigured(f"{name} must be above zero, not {value}")
    return value


def dollars(text: str) -> Decimal | None:
    """Read MAX_ORDER_VALUE, in USDC; None, if it is not set, is no limit."""
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,18}(\.[0-9]{1,6})?", text, re.ASCII) or not Decimal(text):
        raise ImproperlyConfigured(f"MAX_ORDER_VALUE must be USDC above zero, not {text}")
    return Decimal(text)


def bps(value: int) -> int:
    """Read MAX_PRICE_IMPACT_BPS."""
    if not 0 <= value <= 10_000:
        raise ImproperlyConfigured(
            f"MAX_PRICE_IMPACT_BPS must be 0 to 10000 bps (100 is 1 %), not {value}"
        )
    return value


def rate(name: str, default: str) -> Rate | None:
    """Read a rate; None is unlimited."""
    try:
        return Rate.parse(env.str(name, default=default))
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}: {error}") from None


def database(url: str) -> dict[str, Any]:
    """Return Django's form of a libpq connection URL."""
    try:
        parts = parameters_of(url)
    except ValueError as error:
        raise ImproperlyConfigured(f"DATABASE_URL is {error}") from None
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
                "reconnect_timeout": 1,  # longer, it would come back minutes after the server
            },
        },
    }


def redis_address(url: str) -> RedisAddress:
    try:
        return RedisAddress.parse(url)
    except ValueError as error:
        raise ImproperlyConfigured(f"REDIS_URL {error}") from None


def engine_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", text):
        raise ImproperlyConfigured("ENGINE_NAME must be of letters, digits, - and _ (at most 64)")
    return text


# Django
DEBUG = env.bool("DEBUG", default=False)
IS_EMBEDDED = not env.str("DATABASE_URL", default="")
SECRET_KEY = env.str("SECRET_KEY", default="")
if IS_EMBEDDED:  # a command beside our own server: libpq reads the variables when it connects
    for name in set(os.environ) - set(embedded.without_libpq_variables(os.environ)):
        del os.environ[name]
if not SECRET_KEY:
    if not (DEBUG or IS_EMBEDDED):
        raise ImproperlyConfigured("Set SECRET_KEY to a long random string (DATABASE_URL is set)")
    SECRET_KEY = embedded.secret_key(DATA_DIR)
LOOPBACK = ["localhost", "127.0.0.1", "[::1]"]  # where health checks come from
ALLOWED_HOSTS = [*LOOPBACK, *env.list("ALLOWED_HOSTS", default=[])]
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
ALLOWED_ORIGINS = env.list("ALLOWED_ORIGINS", default=[])  # of WebSockets, besides our own host
SESSION_COOKIE_HTTPONLY = True
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "/api/orders"
LOGIN_URL = "/accounts/login/"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{rule}"}
    for rule in (
        *("UserAttributeSimilarityValidator", "MinimumLengthValidator"),
        *("CommonPasswordValidator", "NumericPasswordValidator"),
    )
]

# HTTPS: every page and order by it alone, once a certificate is there
HTTPS = env.bool("HTTPS", default=False)
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^((api/)?health|livez|readyz|metrics)/?$"]  # asked from within
SECURE_HSTS_SECONDS = env.int("HSTS_SECONDS", default=31_536_000) if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS  # of our own host name
PROXY_SSL_HEADER = env.str("PROXY_SSL_HEADER", default="")
if PROXY_SSL_HEADER:
    SECURE_PROXY_SSL_HEADER = (
        "HTTP_" + PROXY_SSL_HEADER.upper().replace("-", "_"),
        "https",
    )
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# Whether browsers hold a whole domain to HTTPS for ever is for the domain's owner to decide.
SILENCED_SYSTEM_CHECKS = ["security.W021"]

DATABASE_URL = env.str("DATABASE_URL", default="") or embedded.database_url(DATA_DIR)
REDIS_ADDRESS = redis_address(env.str("REDIS_URL", default="") or embedded.redis_url(DATA_DIR))
REDIS_URL = REDIS_ADDRESS.url
# What is ours in that Redis: all keys and channels but `active_orders` begin with it. Channels know
# no database, so its number is in the prefix.
ENGINE_NAME = engine_name(env.str("ENGINE_NAME", default="engine"))
REDIS_PREFIX = f"{ENGINE_NAME}:{REDIS_ADDRESS.number}:"
DATABASES = {"default": database(DATABASE_URL)}

INSTALLED_APPS = [
    # First, so that runserver serves WebSockets. Nobody else has to load Twisted, which costs
    # every process a third of a second.
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
    "orders",
    "routing",
]
MIDDLEWARE = [  # for pages and reading; sending orders goes the short way of config/handler.py
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
CONTENT_SECURITY_POLICY = {  # of every page: nothing from elsewhere, nothing inline
    "DIRECTIVES": {
        "default-src": ["'self'"],  # scripts and styles, too; WebSockets of our own host count in
        "img-src": ["'self'", "data:"],  # icons in the style sheets of admin and Swagger
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
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
APPEND_SLASH = False  # both forms of an API path answer by themselves
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LOG_LEVEL = env.str("LOG_LEVEL", default="INFO").upper()
LOG_FORMAT = env.str("LOG_FORMAT", default="console")
try:
    LOGGING = logging_settings(LOG_LEVEL, LOG_FORMAT)
except ValueError as error:
    raise ImproperlyConfigured(str(error)) from None
REST_FRAMEWORK = {
    "EXCEPTION_HANDLER": "orders.problems.handle_exception",
    "DEFAULT_RENDERER_CLASSES": [
        "orders.renderers.PlainJSONRenderer",
        "orders.renderers.PageRenderer",
    ],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "orders.renderers.ProgramsFirst",
    "DEFAULT_PARSER_CLASSES": ["orders.parsers.ExactJSONParser"],
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "orders.authentication.ApiKeyAuthentication",  # first: its challenge is what a 401 carries
        "orders.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["orders.authentication.MayAct"],
    "DEFAULT_SCHEMA_CLASS": "orders.schema.openapi.NamedOperations",
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
        {"name": "engine"},
    ],
    "PREPROCESSING_HOOKS": ["orders.schema.openapi.merge_slashes"],
    "POSTPROCESSING_HOOKS": ["orders.schema.openapi.finish"],
    "SORT_OPERATION_PARAMETERS": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "defaultModelsExpandDepth": 0},
}

# Channels: hints of events travel here; they may all be lost
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

# Celery: bells that say "there is work"; they may all be lost, too
CELERY_BROKER_URL = "engine://redis"  # config/broker.py, which connects to REDIS_URL
CELERY_TASK_DEFAULT_QUEUE = "bells"
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_POOL = "threads"
CELERY_WORKER_CONCURRENCY = 4
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_CHANNEL_ERROR_RETRY = True  # a Redis that is full answers with such an error
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
DEFAULT_MARKET = env.str("DEFAULT_MARKET", default="SOL/USDC")
ORDER_CONCURRENCY = env.int("ORDER_CONCURRENCY", default=10)  # orders carried at once, per worker
ORDER_RATE_LIMIT = rate("ORDER_RATE_LIMIT", "100/m")
ACCOUNT_RATE_LIMIT = rate("ACCOUNT_RATE_LIMIT", "600/m")  # orders sent, of each account
MAX_BACKLOG = env.int("MAX_BACKLOG", default=10_000)  # orders that wait for their first start
ALLOW_ANONYMOUS_ORDERS = env.bool("ALLOW_ANONYMOUS_ORDERS", default=IS_EMBEDDED)
ORDER_ATTEMPTS = env.int("ORDER_ATTEMPTS", default=3)
RETRY_BACKOFF = positive("RETRY_BACKOFF", 1.0)  # seconds before the second attempt, then doubled
QUOTE_TIMEOUT = positive("QUOTE_TIMEOUT", 2.0)  # seconds, for each venue
MAX_ORDER_VALUE = dollars(env.str("MAX_ORDER_VALUE", default=""))
MAX_PRICE_IMPACT_BPS = bps(env.int("MAX_PRICE_IMPACT_BPS", default=500))  # if an order says none
MAX_QUOTE_DEVIATION_BPS = env.int("MAX_QUOTE_DEVIATION_BPS", default=2000)
SPLIT_MIN_GAIN_BPS = Decimal(str(positive("SPLIT_MIN_GAIN_BPS", 1.0)))
LEASE_SECONDS = positive("LEASE_SECONDS", 10.0)
STATUS_POLL_SECONDS = positive("STATUS_POLL_SECONDS", 0.1)  # between two looks at a signature
RESEND_SECONDS = positive("RESEND_SECONDS", 2.0)  # between two sends of the same bytes
LINGER_SECONDS = positive("LINGER_SECONDS", 2.0)
STOP_GRACE_SECONDS = positive("STOP_GRACE_SECONDS", 8.0)  # for orders in flight at SIGTERM
try:
    SIMULATION = Simulation.from_environment(env.ENVIRON)
except ValueError as error:
    raise ImproperlyConfigured(str(error)) from None
