"""Records when and from where each API key was used: in the background, once a minute.

A request costs one look into a dictionary. A new use is written to PostgreSQL a moment later, with
those of all other keys in one statement. A request that runs in a thread uses the database anyway,
and writes its use there.
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any, NamedTuple

import psycopg
from django.db import DatabaseError, InterfaceError, connection
from structlog.contextvars import bound_contextvars, get_contextvars

from config.http.address import site_of
from config.http.security_log import tell
from config.runtime.background import Background
from config.runtime.postgres import Link
from orders.access.keys import SOON

logger = logging.getLogger(__name__)

AGAIN_SECONDS = 60.0  # then the use of a key from an address is written again
GATHER_SECONDS = 0.5
WRITE_SECONDS = 1.0
MAX_NOTED = 10_000
MAX_SEEN = 20  # addresses that are remembered of a key
# A use from a known address is not written again within a minute. The commit does not wait for the
# disk: a crash may lose when a key was used last.
USED = f"""
WITH said AS (
  SELECT * FROM unnest(%s::bigint[], %s::text[]) AS said(key, address)
  WHERE set_config('synchronous_commit', 'off', true) = 'off'
), used AS (
  SELECT key.id, said.address, key.seen_from,
    NOT jsonb_exists(key.seen_from, said.address) AS is_new
  FROM said JOIN api_keys AS key ON key.id = said.key
  WHERE key.last_used_at IS NULL OR NOT jsonb_exists(key.seen_from, said.address)
    OR key.last_used_at < statement_timestamp() - interval '1 minute'
  ORDER BY key.id FOR NO KEY UPDATE OF key
)
UPDATE api_keys AS key SET last_used_at = statement_timestamp(), last_used_from = used.address,
  seen_from = CASE WHEN used.is_new THEN jsonb_path_query_array(
    jsonb_build_array(used.address) || used.seen_from, '$[0 to {MAX_SEEN - 1}]')
  ELSE used.seen_from END
FROM used WHERE key.id = used.id
RETURNING key.id, key.owner_id, key.prefix, used.address, used.is_new,
  extract(day FROM key.expires_at - statement_timestamp())::int
"""  # noqa: S608  # our own number

_noted: dict[tuple[int, str], float] = {}
_warned: dict[int, date] = {}


class Use(NamedTuple):
    """A key that was used from an address, by a request whose log lines have `context`."""

    key: int
    address: str
    context: dict[str, Any]


class KeyUse:
    """Writes the key uses of one loop's requests, on a connection that it shares with others."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._uses: list[Use] = []
        self._writing = Background(self._write_soon)

    def note(self, key: int | None, client: str) -> None:
        """Have it written that the key is used, unless that was noted a moment ago."""
        use = use_of(key, client)
        if use is None:
            return
        self._uses.append(use)
        self._writing.begin()

    async def close(self) -> None:
        await self._writing.stop()

    async def _write_soon(self) -> None:
        while self._uses:
            await asyncio.sleep(GATHER_SECONDS)
            batch, self._uses = first_of_each(self._uses)
            try:
                rows = await self._link.fetch(USED, columns_of(batch), WRITE_SECONDS)
            except psycopg.Error as error:
                logger.warning("the use of %s keys was not written: %s", len(batch), error)
            else:
                tell_of(rows, batch)


def write_use(key: int | None, client: str) -> None:
    """Write that the key is used, unless that was a moment ago; for threads."""
    use = use_of(key, client)
    if use is None:
        return
    try:
        with connection.cursor() as cursor:
            cursor.execute(USED, columns_of([use]))
            rows = cursor.fetchall()
    except (DatabaseError, InterfaceError) as error:
        logger.warning("the use of a key was not written: %s", error)
    else:
        tell_of(rows, [use])


def use_of(key: int | None, client: str) -> Use | None:
    """Return what is to be written; None if it was a moment ago, or there is no key."""
    now = time.monotonic()
    if key is None or _noted.get((key, client), 0.0) > now:
        return None
    if len(_noted) >= MAX_NOTED:
        _noted.clear()
    _noted[key, client] = now + AGAIN_SECONDS
    return Use(key, site_of(client), get_contextvars())


def first_of_each(uses: Sequence[Use]) -> tuple[list[Use], list[Use]]:
    """Return one use of each key, and the rest: a statement can write each row only once."""
    first: dict[int, Use] = {}
    rest = [use for use in uses if first.setdefault(use.key, use) is not use]
    return list(first.values()), rest


def columns_of(uses: Sequence[Use]) -> tuple[list[int], list[str]]:
    return [use.key for use in uses], [use.address for use in uses]


def tell_of(rows: Iterable[Sequence[Any]], uses: Sequence[Use]) -> None:
    """Tell the security log of addresses that are new, and once a day of a key's near end."""
    contexts = {use.key: use.context for use in uses}
    today = date.today()
    for key, owner, prefix, address, is_new, days in rows:
        source = {"client": (address, 0)}
        with bound_contextvars(**contexts.get(key, {})):
            if is_new:
                tell("key_used_from_new_address", source, account=owner, key_prefix=prefix)
            if days is not None and days < SOON.days and _warned.get(key) != today:
                _warned[key] = today
                tell("key_expires_soon", source, account=owner, key_prefix=prefix, days=days)
