"""For whom a request acts: API keys, and whether what a socket was opened with still holds.

An account is a Django user. A request acts for a `Principal`: an account, by a key or a session,
or nobody. Keys are looked up without a thread and kept for two seconds; what open sockets rest on
is asked again each second, in one query for all of them.
"""

import asyncio
import hashlib
import logging
import re
import secrets
from collections.abc import Callable, Sequence
from contextvars import Context
from datetime import datetime
from typing import NamedTuple

import psycopg
from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from config.group_commit import Connection, GroupCommit
from config.per_loop import once_per_loop
from config.postgres import Link
from orders.journal import ACCEPT_PATIENCE, conninfo
from orders.models import ApiKey

logger = logging.getLogger(__name__)

NO_SUCH_KEY = "This API key is unknown, expired or revoked."
KEY_SIGN = "oee_"
KEY = re.compile(r"oee_[A-Za-z0-9_-]{43}", re.ASCII)
PREFIX_LENGTH = 12  # of which eight characters tell keys apart
KNOWN_SECONDS = 2.0  # for which a key that was revoked may still open a door
CHECK_SECONDS = 1.0
MAX_KNOWN = 10_000

FIND_KEYS = """
SELECT key.digest, key.owner_id, key.id FROM api_keys AS key
JOIN auth_user AS holder ON holder.id = key.owner_id AND holder.is_active
WHERE key.digest = ANY(%(digests)s) AND key.revoked_at IS NULL
  AND (key.expires_at IS NULL OR key.expires_at > statement_timestamp())
"""
REDEEM = """
DELETE FROM socket_tickets WHERE digest = %s
RETURNING owner_id, api_key_id, session_key, proof, expires_at > statement_timestamp()
"""
# Which of these no longer hold: revoked, expired, logged out, a new password, an inactive account.
WITHDRAWN = """
SELECT held.place FROM unnest(%s::int[], %s::bigint[], %s::text[], %s::text[])
  WITH ORDINALITY AS held(owner, key, session, proof, place)
WHERE NOT EXISTS (
  SELECT FROM auth_user AS holder WHERE holder.id = held.owner AND holder.is_active AND CASE
    WHEN held.key IS NOT NULL THEN EXISTS (
      SELECT FROM api_keys AS key WHERE key.id = held.key AND key.revoked_at IS NULL
        AND (key.expires_at IS NULL OR key.expires_at > statement_timestamp()))
    ELSE encode(sha256(convert_to(holder.password, 'UTF8')), 'hex') = held.proof AND EXISTS (
      SELECT FROM django_session AS session WHERE session.session_key = held.session
        AND session.expire_date > statement_timestamp())
    END)
"""


class Principal(NamedTuple):
    """For whom a request acts, and by which credential. `owner` None is nobody.

    `proof` is the fingerprint of the password with which a session began.
    """

    owner: int | None = None
    key: int | None = None
    session: str | None = None
    proof: str | None = None


NOBODY = Principal()
UNKNOWN = (0.0, NOBODY)


class NotAuthenticated(Exception):
    """There is no such credential, or it no longer holds. Try again with another one."""


def digest_of(secret: str) -> str:
    """Return what is stored of a secret of 256 random bits, which no dictionary holds."""
    return hashlib.sha256(secret.encode()).hexdigest()


def create_api_key(
    owner: AbstractBaseUser, name: str = "", expires_at: datetime | None = None
) -> tuple[ApiKey, str]:
    """Return a new key and its secret, which cannot be read again."""
    secret = KEY_SIGN + secrets.token_urlsafe(32)
    key = ApiKey.objects.create(
        owner_id=owner.pk,
        name=name,
        prefix=secret[:PREFIX_LENGTH],
        digest=digest_of(secret),
        expires_at=expires_at,
    )
    return key, secret


def revoke_api_keys(keys: QuerySet[ApiKey]) -> int:
    """Revoke the keys and return how many were; one that is revoked stays as it is."""
    return keys.filter(revoked_at=None).update(revoked_at=Now())


def find_api_key(secret: str) -> ApiKey:
    """Return the key, with its owner; for sync doors.

    :raises NotAuthenticated: no key has this secret, or it no longer holds.
    """
    holds = Q(expires_at=None) | Q(expires_at__gt=Now())
    found = ApiKey.objects.select_related("owner").filter(
        holds, digest=digest_of(secret), revoked_at=None, owner__is_active=True
    )
    key = found.first() if KEY.fullmatch(secret) else None
    if key is None:
        raise NotAuthenticated(NO_SUCH_KEY)
    return key


def session_principal(user: AbstractBaseUser, session_key: str | None) -> Principal:
    return Principal(user.pk, session=session_key, proof=digest_of(user.password))


class Accounts:
    """One for each asyncio loop: looks credentials up, and tells sockets when theirs is gone."""

    def __init__(self) -> None:
        self._link = Link(conninfo(), "engine accounts")
        self._find = GroupCommit(self._link, _find_keys, _find_keys_again, patience=ACCEPT_PATIENCE)
        self._known: dict[str, tuple[float, Principal]] = {}
        self._sockets: dict[Principal, set[Callable[[], None]]] = {}
        self._checking: asyncio.Task[None] | None = None

    async def holder_of(self, secret: str) -> Principal:
        """Return for whom the API key acts.

        :raises NotAuthenticated: no key has this secret, or it no longer holds.
        :raises psycopg.Error: the database does not answer.
        """
        digest, now = digest_of(secret), asyncio.get_running_loop().time()
        known_until, principal = self._known.get(digest, UNKNOWN)
        if known_until > now:
            return principal
        if not KEY.fullmatch(secret):
            raise NotAuthenticated(NO_SUCH_KEY)
        principal = await self._find(digest)
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known[digest] = now + KNOWN_SECONDS, principal
        return principal

    async def redeem(self, ticket: str) -> Principal:
        """Use a socket ticket up and return for whom it was issued.

        :raises NotAuthenticated: it was used, has expired, or its credential no longer holds.
        :raises psycopg.Error: the database does not answer.
        """
        async with self._link.connection() as connection:
            cursor = await connection.execute(REDEEM, (digest_of(ticket),))
            row = await cursor.fetchone()
        if row is None or not row[4]:
            raise NotAuthenticated("This ticket was used or has expired.")
        principal = Principal(*row[:4])
        if await self._withdrawn([principal]):
            raise NotAuthenticated("The credential of this ticket no longer holds.")
        return principal

    def watch(self, principal: Principal, expel: Callable[[], None]) -> None:
        """Have `expel` called, once, when the principal's credential no longer holds."""
        if principal.owner is None:
            return
        self._sockets.setdefault(principal, set()).add(expel)
        if self._checking is None:
            self._checking = asyncio.create_task(self._check_for_ever(), context=Context())

    def unwatch(self, principal: Principal, expel: Callable[[], None]) -> None:
        sockets = self._sockets.get(principal, set())
        sockets.discard(expel)
        if not sockets:
            self._sockets.pop(principal, None)

    async def close(self) -> None:
        if self._checking is not None:
            self._checking.cancel()
            await asyncio.gather(self._checking, return_exceptions=True)
            self._checking = None
        await self._link.close()

    async def _check_for_ever(self) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            if not self._sockets:
                continue
            try:
                for principal in await self._withdrawn(list(self._sockets)):
                    for expel in self._sockets.pop(principal, ()):
                        expel()
            except psycopg.Error as error:
                logger.warning("credentials of open sockets were not checked: %s", error)

    async def _withdrawn(self, held: Sequence[Principal]) -> list[Principal]:
        columns = [list(column) for column in zip(*held, strict=True)]
        return [held[row[0] - 1] for row in await self._link.fetch(WITHDRAWN, columns)]


@once_per_loop
def accounts_of_this_loop() -> Accounts:
    """Return the running loop's accounts, made at the first call."""
    return Accounts()


async def _find_keys(
    connection: Connection, digests: Sequence[str]
) -> Sequence[Principal | Exception]:
    cursor = await connection.execute(FIND_KEYS, {"digests": list(digests)})
    found = {row[0]: Principal(row[1], key=row[2]) for row in await cursor.fetchall()}
    return [found.get(digest) or NotAuthenticated(NO_SUCH_KEY) for digest in digests]


async def _find_keys_again(connection: Connection, digests: Sequence[str]) -> Sequence[None]:
    """Nothing was written, so after a lost connection all is looked up once more."""
    return [None] * len(digests)
