"""The settings of the tests: the embedded servers' test database, quick and quiet venues."""

import os

os.environ.setdefault("SECRET_KEY", "not-a-secret-in-tests")
os.environ.setdefault("SIMULATION_SEED", "7")
os.environ.setdefault("SIMULATION_QUOTE_LATENCY", "0")
os.environ.setdefault("SIMULATION_LANDING_LATENCY", "0")
os.environ.setdefault("SIMULATION_VOLATILITY_BPS", "0")
os.environ.setdefault("SIMULATION_DEPTH", "100000000000")  # crowds of sells move no price
os.environ.setdefault("ORDER_RATE_LIMIT", "unlimited")
os.environ.setdefault("ACCOUNT_RATE_LIMIT", "unlimited")
os.environ.setdefault("READ_RATE_LIMIT", "unlimited")
os.environ.setdefault("PREVIEW_RATE_LIMIT", "unlimited")
os.environ.setdefault("ALLOW_ANONYMOUS_ORDERS", "1")
os.environ.setdefault("REQUIRE_STAFF_MFA", "0")
os.environ.setdefault("LOGIN_RATE_LIMIT", "unlimited")
os.environ.setdefault("RETRY_BACKOFF", "0.05")
os.environ.setdefault("STATUS_POLL_SECONDS", "0.02")
os.environ.setdefault("RESEND_SECONDS", "0.1")
os.environ.setdefault("LINGER_SECONDS", "0.01")

from config.settings import *
from config.settings import DATABASES

ALLOWED_HOSTS = ["*"]
STATIC_URL = "/static/"  # paths in tests are the same for every state of the files
CRASH_AT = os.environ.get("CRASH_AT")
HANG_AT = os.environ.get("HANG_AT")
LOOK_SECONDS = float(os.environ.get("LOOK_SECONDS", "1"))
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# The test database is dropped at the end, which a pool's open connections would forbid.
DATABASES["default"]["OPTIONS"].pop("pool")
