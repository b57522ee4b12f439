"""What a person can try on an engine that is ready: lines that work as they stand."""

import http.client
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from config.environment.data_folder import PROJECT
from config.environment.variables import read_environment

READY = """
The engine is ready (Ctrl-C stops it).
  page     {url}/
  orders   {url}/api/orders
  admin    {url}/admin/{login}
  health   {url}/health
"""
KEPT = """\
  kept in  {place}
"""
SOLANA = """\
  solana   {url}  (a cluster on this machine: its tokens have no value)
"""
ACCOUNT = """\
Orders need an account here, and programs a key. In another terminal, with the same settings:
  {python} manage.py createsuperuser --username alice
  {python} manage.py create_api_key alice
"""
SEND = """\
Send an order{with_key}:
  curl -s {url}/api/orders/execute {headers}-H 'content-type: application/json' \
-d '{{"tokenIn":"SOL","tokenOut":"USDC","amount":1.5}}'
"""
REACHED = """\
Others can reach it: {where}.
  anybody    the trading page, /health, /livez, /readyz, /api/markets, /api/docs, /accounts/login/
  {senders}
  staff      /admin/, with a second factor{unless}
  {watchers}
"""
IN_CLEAR = """\
Passwords and keys travel in clear text: let a proxy speak TLS before it, and set HTTPS=true.
"""
BY_TLS = "x-forwarded-proto: https"  # as from a proxy; the engine believes it from this machine


def banner(url: str, login: str, cluster: str = "", where: str = "", solana: str = "") -> str:
    """Return the text that a person sees when an engine is ready at this address.

    `login`: the login for its admin. `cluster`: where its orders lie, if that is a folder of ours.
    `where`: the address at which other machines reach it, if they do. `solana`: that of a Solana
    cluster of our own.
    """
    # How an empty, anonymous order is refused shows what is needed; so does a page in clear.
    needs_key = _answer_to("POST", f"{url}/api/orders/execute") == HTTPStatus.UNAUTHORIZED
    needs_tls = _answer_to("GET", f"{url}/") == HTTPStatus.MOVED_PERMANENTLY
    headers = ["authorization: Bearer KEY"] * needs_key + [BY_TLS] * needs_tls
    send = SEND.format(
        url=url,
        with_key=", with that key for KEY" if needs_key else "",
        headers="".join(f"-H '{header}' " for header in headers),
    )
    place = KEPT.format(place=cluster) if cluster else ""
    place += SOLANA.format(url=solana) if solana else ""
    account = ACCOUNT.format(python=python()) if needs_key else ""
    reached = _access_text(where, needs_key=needs_key, needs_tls=needs_tls) if where else ""
    return READY.format(url=url, login=login) + place + reached + account + send


def _access_text(where: str, *, needs_key: bool, needs_tls: bool) -> str:
    """Return who may do what on an engine that other machines can reach."""
    environment = read_environment()
    text = REACHED.format(
        where=where,
        senders="accounts   their own orders"
        if needs_key
        else "anybody    send orders, and follow and cancel those whose id is known",
        unless="" if environment.REQUIRE_STAFF_MFA is not False else " if they have one",
        watchers="machines   /metrics, with METRICS_TOKEN"
        if environment.METRICS_TOKEN
        else "nobody     /metrics, but this machine",
    )
    return text if needs_tls else text + IN_CLEAR


def python() -> str:
    """Return the command for this engine's Python, to be typed in the project's folder."""
    return ".venv/bin/python" if Path(PROJECT, ".venv/bin/python").exists() else "python"


def _answer_to(method: str, url: str) -> int:
    """Return the status of the answer to an anonymous request; zero if there is none."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=5)
    headers = {"Host": "localhost", "Content-Type": "application/json"}
    try:
        connection.request(method, parts.path, b"{}" if method == "POST" else None, headers)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()
