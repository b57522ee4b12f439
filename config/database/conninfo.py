"""Where Django's database is, for code that reaches it without Django, and how long that waits."""

from django.db import connection
from psycopg.conninfo import make_conninfo

from config.runtime.postgres import LIBPQ_NAMES

ACCEPT_PATIENCE = 1.5  # seconds; then the client is told to try again
DJANGO_OWN = ("pool", "application_name")  # options that libpq does not know or our links set


def conninfo() -> str:
    """Return Django's default database in libpq's form. Its name is read now: tests change it."""
    database = connection.settings_dict
    parts = {libpq: database[django] for libpq, django in LIBPQ_NAMES.items() if database[django]}
    extra = {name: value for name, value in database["OPTIONS"].items() if name not in DJANGO_OWN}
    return make_conninfo(**parts, **extra)
