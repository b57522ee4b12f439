"""Brings the database to this version. Procfile and compose call this step `release`."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection
from django.db.migrations.recorder import MigrationRecorder

from config.database.conninfo import conninfo
from config.environment.first_cause import DATABASE, first_line
from config.environment.fitness import refuse_unfit_database
from config.runtime.sentences import WRONG, end_with, say
from config.runtime.session import is_connection_lost, without_end
from orders.api.reading.serializers import named_default_market
from orders.logins.demo import end_demo, take_away_password
from orders.streams.renumbering import renumber
from routing.registry import read_registry, registry
from routing.tokens import UnknownMarket, UnknownToken

LOCK = 0x72656C65  # of this step, for all hosts
LOCK_SECONDS = 120.0
PAUSE = 0.2
UNLIMITED = """
SELECT set_config(name, '0', false) FROM pg_settings
WHERE name IN ('statement_timeout', 'transaction_timeout', 'idle_session_timeout')
"""


class Command(BaseCommand):
    help = "Migrate; without DEMO_LOGIN also end the login demo/demo."

    def handle(self, *args: Any, **options: Any) -> None:
        refuse_unfit_database(conninfo(), waits=False, migrates=True)
        try:
            with (
                psycopg.connect(conninfo(), autocommit=True) as own,
                alone(own),
                without_end(),
                connection.cursor() as cursor,
            ):
                cursor.execute(UNLIMITED)  # a migration may rewrite a large table
                self._release(options["verbosity"])
        except (psycopg.Error, DatabaseError) as error:
            if (fault := servers_fault(error)) is None:
                raise
            sentence = f"{DATABASE}: {first_line(fault)}."
            raise CommandError(sentence, returncode=WRONG) from None

    def _release(self, verbosity: int) -> None:
        # Of a new database nobody wants to read each table's name.
        is_new = not MigrationRecorder(connection).has_table()
        quiet = 0 if is_new and verbosity == 1 else verbosity
        if is_new:
            print("A new database: its tables are made.", flush=True)  # before the wait, not after
        call_command("migrate", interactive=False, verbosity=quiet)
        if renumber():
            say("This database came from a dump. Cursors of accounts' streams begin anew.")
        keep_demo_local()
        refuse_unknown_market()
        if settings.VENUES == "solana":
            store_pools_of_cluster()


def store_pools_of_cluster() -> None:
    """Have a local cluster's pools traded in. On another network, operators add pools."""
    # Only now: the simulated engine imports nothing of Solana.
    from routing.operations import live_pools

    try:
        live_pools.store_pools_of_cluster(settings.SOLANA_RPC_URLS)
    except live_pools.NoNode as fault:
        say(f"No pools of Solana were looked for: {fault}.")


def keep_demo_local() -> None:
    """End every login demo / demo in the database, whichever version made it. Print what ended."""
    if settings.DEMO_LOGIN:
        take_away_password()
    elif end_demo():
        say("The account demo was open to everybody who knows its name. It is inactive now.")


def refuse_unknown_market() -> None:
    """End this process if DEFAULT_MARKET is no market that is traded here.

    :raises SystemExit: it is no such market. The reason was printed.
    """
    read_registry()
    try:
        registry().market(*map(registry().token, named_default_market()))
    except (UnknownToken, UnknownMarket):
        known = ", ".join(market.name for market in registry().markets)
        name = settings.DEFAULT_MARKET
        end_with([f"DEFAULT_MARKET is {name!r}: it has to be a market of this engine ({known})."])


def servers_fault(error: BaseException | None) -> psycopg.Error | None:
    """Return the server's error if no statement of ours has caused it, such as a full disk."""
    while error is not None and not isinstance(error, psycopg.Error):
        error = error.__cause__ or error.__context__
    is_denied = isinstance(error, psycopg.errors.InsufficientPrivilege)
    return error if error is not None and (is_denied or is_connection_lost(error)) else None


@contextmanager
def alone(own: psycopg.Connection[Any]) -> Iterator[None]:
    """Hold the lock of this step. It ends with its connection, however this process ends.

    :raises CommandError: another host holds it for too long.
    """
    own.execute(UNLIMITED)
    ends_at = time.monotonic() + LOCK_SECONDS
    while own.execute("SELECT pg_try_advisory_lock(%s)", [LOCK]).fetchone() != (True,):
        if time.monotonic() > ends_at:
            raise CommandError(f"Another release has been running for {LOCK_SECONDS:.0f} s.")
        time.sleep(PAUSE)
    yield
