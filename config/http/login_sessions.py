"""Sessions in the database, whose keys are looked at before the database is asked."""

import re

from django.contrib.sessions.backends.db import SessionStore as DatabaseStore

KEY = re.compile(r"[a-z0-9]{8,40}").fullmatch


class SessionStore(DatabaseStore):
    """Django's sessions. A key that no session can have, such as one with a NUL, finds none."""

    def _validate_session_key(self, key: str | None) -> bool:
        return bool(key and KEY(key))
