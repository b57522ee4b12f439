"""Where Django's database is, for those who reach it without Django, and how long they wait."""

from django.db import connection
from psycopg.conninfo import make_conninfo

from config.runtime.postgres import LIBPQ_NAMES

ACCEPT_PATIENCE = 1.5  # seconds; then the client is told to come again
DJANGO_OWN = ("pool", "application_name")  # of its options, which libpq or our links have not


def conninfo() -> str:
    """Return libpq's form of Django's default database, as it is named now (tests rename it)."""
    database = connection.settings_dict
    parts = {libpq: database[django] for libpq, django in LIBPQ_NAMES.items() if database[django]}
    extra = {name: value for name, value in database["OPTIONS"].items() if name not in DJANGO_OWN}
    return make_conninfo(**parts, **extra)
