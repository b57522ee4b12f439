"""For whom a request acts: API keys, and whether what a socket was opened with still holds.

An account is a Django user. A request acts for a `Principal`: an account, by a key or a session,
or anonymous. Keys are looked up without a thread, and kept for two seconds with their scope and
their networks. The credentials of open sockets are checked again each second, in one query for all
sockets.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import psycopg
from django.contrib.auth.models import AbstractBaseUser

from config.database.conninfo import ACCEPT_PATIENCE, conninfo
from config.runtime.background import Background
from config.runtime.group_commit import Connection, GroupCommit
from config.runtime.per_loop import once_per_loop
from config.runtime.postgres import Link
from orders.access.key_use import KeyUse, write_use
from orders.access.keys import (
    HOLDS,
    KEY,
    READ,
    Network,
    digest_of,
    is_soon,
    is_within,
    networks_of,
    prefix_of,
)
from orders.models import ApiKey

logger = logging.getLogger(__name__)

NO_SUCH_KEY = "This API key is unknown, expired or revoked, or not for your address."
NONE = "none"  # the reason of a request without a credential
KNOWN_SECONDS = 2.0  # for so long a revoked key may still work
CHECK_SECONDS = 1.0
MAX_KNOWN = 10_000

FACTS = (
    "key.owner_id, key.id, key.may_read, key.may_trade, key.prefix, key.expires_at, key.addresses"
)
FIND_KEYS = f"""
SELECT key.digest, {FACTS} FROM api_keys AS key
JOIN auth_user AS holder ON holder.id = key.owner_id AND holder.is_active
WHERE key.digest = ANY(%(digests)s) AND key.revoked_at IS NULL
  AND (key.expires_at IS NULL OR key.expires_at > statement_timestamp())
"""  # noqa: S608  # our own words
REDEEM = f"""
WITH ticket AS (
  DELETE FROM socket_tickets WHERE digest = %s
  RETURNING owner_id, api_key_id, session_key, proof, expires_at > statement_timestamp() AS holds)
SELECT ticket.owner_id, ticket.session_key, ticket.proof, ticket.holds, {FACTS}
FROM ticket LEFT JOIN api_keys AS key ON key.id = ticket.api_key_id
"""  # noqa: S608
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
    """For whom a request acts, and by which credential. `owner` None is anonymous.

    `proof` is the fingerprint of the password with which a session began. `ends_at` is when a key
    expires, if that is soon.
    """

    owner: int | None = None
    key: int | None = None
    session: str | None = None
    proof: str | None = None
    may_read: bool = True
    may_trade: bool = True
    key_prefix: str | None = None
    ends_at: datetime | None = None

    def may(self, scope: str) -> bool:
        """Whether the credential allows this scope, `read` or `trade`. Only keys have scopes."""
        return self.may_read if scope == READ else self.may_trade


ANONYMOUS = Principal()


class Known(NamedTuple):
    """A key as it was found: for whom, and from where it may be used (None: from anywhere)."""

    principal: Principal
    networks: tuple[Network, ...] | None = None

    def admit(self, client: str) -> Principal:
        """Return for whom the key acts.

        :raises NotAuthenticated: it is not for this address.
        """
        if self.networks is not None and not is_within(client, self.networks):
            raise NotAuthenticated(NO_SUCH_KEY, "address", self.principal)
        return self.principal


NOT_KNOWN = (0.0, Known(ANONYMOUS))


class NotAuthenticated(Exception):
    """There is no such credential, or it no longer holds. Try again with another one.

    `reason`, `account` and `key_prefix` are for the log: the answer has none of them.
    """

    def __init__(self, says: str, reason: str = NONE, holder: Principal = ANONYMOUS) -> None:
        self.reason, self.account, self.key_prefix = reason, holder.owner, holder.key_prefix
        super().__init__(says)


class UnknownDigest(Exception):
    """No key that holds has this digest."""


def no_such_key(secret: str) -> NotAuthenticated:
    return NotAuthenticated(NO_SUCH_KEY, "unknown", Principal(key_prefix=prefix_of(secret)))


def find_api_key(secret: str, client: str) -> tuple[ApiKey, Principal]:
    """Return the key, with its owner, and for whom it acts; for sync doors.

    :raises NotAuthenticated: no key has this secret, it no longer holds, or not for this address.
    """
    keys = ApiKey.objects.select_related("owner").filter(
        HOLDS, digest=digest_of(secret), owner__is_active=True
    )
    key = keys.first() if KEY.fullmatch(secret) else None
    if key is None:
        raise no_such_key(secret)
    known = known_key(
        owner=key.owner_id,
        key=key.pk,
        may_read=key.may_read,
        may_trade=key.may_trade,
        prefix=key.prefix,
        expires_at=key.expires_at,
        addresses=key.addresses,
    )
    principal = known.admit(client)
    write_use(key.pk, client)
    return key, principal


def known_key(
    owner: int,
    key: int,
    may_read: bool,
    may_trade: bool,
    prefix: str,
    expires_at: datetime | None,
    addresses: Any,
) -> Known:
    """Return what was found of a key, in the order of FACTS."""
    ends_at = expires_at if is_soon(expires_at) else None
    principal = Principal(owner, key, None, None, may_read, may_trade, prefix, ends_at)
    return Known(principal, networks_of(addresses))


def session_principal(user: AbstractBaseUser, session_key: str | None) -> Principal:
    return Principal(user.pk, session=session_key, proof=digest_of(user.password))


class Accounts:
    """One for each loop. Looks up credentials, and tells sockets when theirs no longer holds."""

    def __init__(self) -> None:
        self._link = Link(conninfo(), "engine accounts")
        self._find = GroupCommit(self._link, _find_keys, _find_keys_again, patience=ACCEPT_PATIENCE)
        self._known: dict[str, tuple[float, Known]] = {}
        self._use = KeyUse(self._link)
        self._sockets: dict[Principal, set[Callable[[], None]]] = {}
        self._checking = Background(self._check_for_ever)

    async def holder_of(self, secret: str, client: str) -> Principal:
        """Return for whom an API key acts that was sent from this address.

        :raises NotAuthenticated: no key has this secret, it no longer holds, or not from there.
        :raises psycopg.Error: the database does not answer.
        """
        digest, now = digest_of(secret), asyncio.get_running_loop().time()
        known_until, known = self._known.get(digest, NOT_KNOWN)
        if known_until <= now:
            known = await self._look_up(secret, digest, now)
        principal = known.admit(client)
        self._use.note(principal.key, client)
        return principal

    async def _look_up(self, secret: str, digest: str, now: float) -> Known:
        if not KEY.fullmatch(secret):
            raise no_such_key(secret)
        try:
            known = await self._find(digest)
        except UnknownDigest:
            raise no_such_key(secret) from None
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known[digest] = now + KNOWN_SECONDS, known
        return known

    async def redeem(self, ticket: str, client: str) -> Principal:
        """Use a socket ticket up and return for whom it was issued.

        :raises NotAuthenticated: it was used, has expired, or its credential no longer holds.
        :raises psycopg.Error: the database does not answer.
        """
        async with self._link.connection() as connection:
            cursor = await connection.execute(REDEEM, (digest_of(ticket),))
            row = await cursor.fetchone()
        if row is None or not row[3]:
            raise NotAuthenticated("This ticket was used or has expired.", "ticket")
        owner, session, proof, _, *facts = row
        principal = Principal(owner, session=session, proof=proof)
        if session is None:  # the ticket is a key's, or its credential is gone
            principal = known_key(*facts).admit(client)._replace(owner=owner)
        if await self._find_withdrawn([principal]):
            text = "The credential of this ticket no longer holds."
            raise NotAuthenticated(text, "ticket", principal)
        return principal

    def watch(self, principal: Principal, expel: Callable[[], None]) -> None:
        """Have `expel` called, once, when the principal's credential no longer holds."""
        if principal.owner is None:
            return
        self._sockets.setdefault(principal, set()).add(expel)
        self._checking.begin()

    def unwatch(self, principal: Principal, expel: Callable[[], None]) -> None:
        sockets = self._sockets.get(principal, set())
        sockets.discard(expel)
        if not sockets:
            self._sockets.pop(principal, None)

    async def close(self) -> None:
        await self._checking.stop()
        await self._use.close()
        await self._link.close()

    async def _check_for_ever(self) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            if not self._sockets:
                continue
            try:
                for principal in await self._find_withdrawn(list(self._sockets)):
                    for expel in self._sockets.pop(principal, ()):
                        expel()
            except psycopg.Error as error:
                logger.warning("credentials of open sockets were not checked: %s", error)

    async def _find_withdrawn(self, principals: Sequence[Principal]) -> list[Principal]:
        credentials = [
            (principal.owner, principal.key, principal.session, principal.proof)
            for principal in principals
        ]
        columns = [list(column) for column in zip(*credentials, strict=True)]
        return [principals[row[0] - 1] for row in await self._link.fetch(WITHDRAWN, columns)]


@once_per_loop
def accounts_of_this_loop() -> Accounts:
    """Return the running loop's accounts, made at the first call."""
    return Accounts()


async def _find_keys(connection: Connection, digests: Sequence[str]) -> Sequence[Known | Exception]:
    cursor = await connection.execute(FIND_KEYS, {"digests": list(digests)})
    by_digest = {digest: known_key(*facts) for digest, *facts in await cursor.fetchall()}
    return [by_digest.get(digest) or UnknownDigest() for digest in digests]


async def _find_keys_again(connection: Connection, digests: Sequence[str]) -> Sequence[None]:
    """Nothing was written, so after a lost connection all is looked up once more."""
    return [None] * len(digests)
