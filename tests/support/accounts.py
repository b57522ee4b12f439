"""Accounts and credentials for tests, straight into the database."""

import hashlib
import secrets
import time
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import psycopg
from channels.db import database_sync_to_async
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model

from config.database.conninfo import conninfo

USER = """
INSERT INTO auth_user (username, password, first_name, last_name, email, is_superuser, is_staff,
  is_active, date_joined)
VALUES (%s, '!none', '', '', '', %s, %s, true, now()) RETURNING id
"""
KEY = """
INSERT INTO api_keys (owner_id, name, prefix, digest, expires_at, revoked_at)
VALUES (%s, 'test', %s, %s, now() + %s * interval '1 second',
  CASE WHEN %s THEN now() END) RETURNING id
"""


@dataclass(frozen=True)
class Account:
    """A user with an API key."""

    id: int
    name: str
    key: str
    database: str

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}

    def another_key(self, *, seconds: float | None = None, is_revoked: bool = False) -> str:
        """Make one more key, which holds for so many seconds; negative: it has expired."""
        secret = "oee_" + secrets.token_urlsafe(32)
        digest = hashlib.sha256(secret.encode()).hexdigest()
        execute(self.database, KEY, self.id, secret[:12], digest, seconds, is_revoked)
        return secret

    def reading_key(self) -> str:
        """Make one more key, of the scope `read` alone."""
        secret = self.another_key()
        narrowed = "UPDATE api_keys SET may_trade = false WHERE prefix = %s"
        execute(self.database, narrowed, secret[:12])
        return secret

    def revoke(self) -> None:
        """Revoke all keys of the account."""
        execute(
            self.database, "UPDATE api_keys SET revoked_at = now() WHERE owner_id = %s", self.id
        )

    def deactivate(self) -> None:
        execute(self.database, "UPDATE auth_user SET is_active = false WHERE id = %s", self.id)

    def change_password(self) -> None:
        execute(self.database, "UPDATE auth_user SET password = '!other' WHERE id = %s", self.id)

    def log_out(self) -> None:
        execute(self.database, "DELETE FROM django_session")

    async def log_in(self) -> dict[str, str]:
        """Return the cookie of a session, as a header."""
        session = await database_sync_to_async(self._session)()
        return {"cookie": f"{settings.SESSION_COOKIE_NAME}={session}"}

    def _session(self) -> str:
        from orders.logins.sessions import BEGAN, SEEN  # chaos and abuse run without Django's apps

        user = get_user_model().objects.get(pk=self.id)
        session = import_module(settings.SESSION_ENGINE).SessionStore()
        session[SESSION_KEY] = str(user.pk)
        session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
        session[HASH_SESSION_KEY] = user.get_session_auth_hash()
        session[BEGAN] = session[SEEN] = time.time()
        session.create()
        return str(session.session_key)


def make_account(database: str | None = None, *, is_staff: bool = False) -> Account:
    """Make a user with a key, in the tests' own database or in another one."""
    place = database or conninfo()
    name = f"user-{secrets.token_hex(6)}"
    ((user_id,),) = execute(place, USER, name, is_staff, is_staff)
    account = Account(user_id, name, "", place)
    return Account(user_id, name, account.another_key(), place)


def execute(database: str, statement: Any, *parameters: Any) -> list[Any]:
    with psycopg.connect(database, autocommit=True) as connection:
        cursor = connection.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else []
