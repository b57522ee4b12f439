"""Whether a database can serve this process at all; asked once, where a process starts.

One that is away says nothing about this: processes wait for it.
"""

import asyncio
from collections.abc import Iterable
from pathlib import Path

import psycopg
from django.apps import apps

from config.environment.first_cause import LOOK_SECONDS, CannotStart, look_at_database
from config.runtime.pooler import REFUSAL, shares_sessions
from config.runtime.sentences import end_with

APPLIED = "SELECT app::text, name::text FROM django_migrations"

Migration = tuple[str, str]


def refuse_unfit_database(conninfo: str, *, waits: bool = True) -> None:
    """End this process with a sentence if the database will never serve it.

    `waits`: the process waits for one that is away, so that this is none.

    :raises SystemExit: it will not.
    """
    try:
        asyncio.run(check_fitness(conninfo, waits=waits))
    except CannotStart as error:
        end_with([str(error)])


async def check_fitness(conninfo: str, *, waits: bool = True) -> None:
    """:raises CannotStart: the database will not serve us, however long we wait."""
    try:
        await look_at_database(conninfo)
    except CannotStart as error:
        if error.is_final or not waits:
            raise
        return
    if newer := unknown(await _applied_migrations(conninfo), own_migrations()):
        raise CannotStart(
            f"The database is of a newer version: this one does not know {', '.join(newer)}."
            " Start the version that made it, or restore a backup from before."
        )
    if await shares_sessions(conninfo):
        raise CannotStart(REFUSAL)


def unknown(applied: Iterable[Migration], own: Iterable[Migration]) -> list[str]:
    """Return what was applied to tables of our apps by code that is not ours."""
    ours = set(own)
    names = {app for app, _ in ours}
    return sorted(f"{app}.{name}" for app, name in set(applied) - ours if app in names)


def own_migrations() -> set[Migration]:
    """Return the migrations of all apps by their files, which need not be imported for that."""
    return {
        (app.label, path.stem)
        for app in apps.get_app_configs()
        for path in Path(app.path, "migrations").glob("[!_]*.py")
    }


async def _applied_migrations(conninfo: str) -> list[Migration]:
    """Return what was applied; nothing if that cannot be asked now."""
    try:
        async with asyncio.timeout(2 * LOOK_SECONDS):
            connection = await psycopg.AsyncConnection.connect(conninfo, autocommit=True)
            try:
                cursor = await connection.execute(APPLIED)
                return [(app, name) for app, name in await cursor.fetchall()]
            finally:
                connection.pgconn.finish()
    except (psycopg.Error, TimeoutError):
        return []
