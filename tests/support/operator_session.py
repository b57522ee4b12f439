"""An operator in a browser without scripts, in the admin of a real process."""

import re
import urllib.error
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar
from typing import Any

from tests.support.engine import PATIENCE, Engine, Web

TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')
ERRORS = re.compile(r'<ul class="errorlist[^>]*>(.*?)</ul>', re.DOTALL)
NAME, PASSWORD = "operator", "a password for tests"


class OperatorSession:
    """Logged in with all permissions."""

    def __init__(self, engine: Engine, web: Web) -> None:
        self._address = f"http://{web.address}"
        self._browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        if not engine.value("SELECT count(*) FROM auth_user WHERE username = %s", NAME):
            made = engine.command(
                *("createsuperuser", "--noinput", "--username", NAME, "--email", "a@example.org"),
                DJANGO_SUPERUSER_PASSWORD=PASSWORD,
            )
            assert made.returncode == 0, made.stderr
        self.submit("/admin/login/", username=NAME, password=PASSWORD, next="/admin/")

    def submit(self, path: str, **fields: Any) -> str:
        """Fill in the form of a page and send it; return the page that answers.

        :raises AssertionError: the form came back with errors.
        """
        form = self._open(path)
        token = TOKEN.search(form)
        assert token, form
        page = self._open(path, {"csrfmiddlewaretoken": token[1], **fields})
        assert not ERRORS.findall(page), ERRORS.findall(page)
        return page

    def _open(self, path: str, fields: dict[str, Any] | None = None) -> str:
        data = None if fields is None else urllib.parse.urlencode(fields, doseq=True).encode()
        request = urllib.request.Request(
            self._address + path, data, {"referer": self._address + path}
        )
        with self._browser.open(request, timeout=PATIENCE) as answer:
            return str(answer.read().decode())
