"""Whether a database can serve this process at all. A process asks it once, at its start.

A database that is away answers nothing of this. Processes wait for it.
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


def refuse_unfit_database(conninfo: str, *, waits: bool = True, migrates: bool = False) -> None:
    """End this process with a sentence if the database will never serve it.

    `waits`: the process waits for a database that is away. Then that is no reason to end.
    `migrates`: the process applies the migrations that are missing. Then these are none either.

    :raises SystemExit: the database will never serve this process.
    """
    try:
        asyncio.run(check_fitness(conninfo, waits=waits, migrates=migrates))
    except CannotStart as error:
        end_with([str(error)])


async def check_fitness(conninfo: str, *, waits: bool = True, migrates: bool = False) -> None:
    """:raises CannotStart: the database will never serve us, however long we wait."""
    try:
        await look_at_database(conninfo)
    except CannotStart as error:
        if error.is_final or not waits:
            raise
        return
    if (applied := await _applied_migrations(conninfo)) is not None:
        _check_migrations(applied, migrates=migrates)
    if await shares_sessions(conninfo):
        raise CannotStart(REFUSAL)


def _check_migrations(applied: Iterable[Migration], *, migrates: bool) -> None:
    """:raises CannotStart: the database is of another version than this one."""
    own = own_migrations()
    if newer := unknown(applied, own):
        raise CannotStart(
            f"The database is of a newer version: this one does not know {', '.join(newer)}."
            " Start the version that made it, or restore a backup from before."
        )
    if not migrates and (missing := sorted(own - set(applied))):
        app, name = missing[-1]
        raise CannotStart(
            f"The database is of an older version: it lacks {len(missing)} migrations, such as"
            f" {app}.{name}. Run `manage.py release` before you start the engine."
        )


def unknown(applied: Iterable[Migration], own: Iterable[Migration]) -> list[str]:
    """Return the applied migrations of our apps that this version's code does not have."""
    ours = set(own)
    names = {app for app, _ in ours}
    return sorted(f"{app}.{name}" for app, name in set(applied) - ours if app in names)


def own_migrations() -> set[Migration]:
    """Return the migrations of all apps, by their files' names: nothing is imported for that."""
    return {
        (app.label, path.stem)
        for app in apps.get_app_configs()
        for path in Path(app.path, "migrations").glob("[!_]*.py")
    }


async def _applied_migrations(conninfo: str) -> list[Migration] | None:
    """Return the applied migrations; None if the database cannot say now."""
    try:
        async with asyncio.timeout(2 * LOOK_SECONDS):
            connection = await psycopg.AsyncConnection.connect(conninfo, autocommit=True)
            try:
                cursor = await connection.execute(APPLIED)
                return [(app, name) for app, name in await cursor.fetchall()]
            except psycopg.errors.UndefinedTable:
                return []
            finally:
                connection.pgconn.finish()
    except (psycopg.Error, TimeoutError):
        return None
