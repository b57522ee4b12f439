"""The engine over HTTP: a request, or one that is repeated until it is known what became of it."""

import re
import uuid
from collections.abc import Mapping
from time import monotonic
from typing import Any

import httpx

from order_engine_client.answers import parse
from order_engine_client.bodies import encode
from order_engine_client.errors import (
    NO_ENGINE,
    EngineError,
    NotNow,
    OutcomeUnknown,
    Refused,
    error_of,
)
from order_engine_client.patience import Patience

EXECUTE = "/api/orders/execute"
LATE_SECONDS = 10.0
"""For so long after the database answers again an order may still be stored (docs/api.md)."""
JUDGED_BY_ENGINE = (400, 409, 422)
"""Statuses of refusals that come after the look whether the order is stored under its key."""
NOT_FOUND = "order_not_found"
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class Engine:
    """One engine: where it is, for whom the client acts, and how patient it is."""

    def __init__(
        self, url: str, api_key: str | None, *, timeout: float, give_up_after: float
    ) -> None:
        self.url = url.rstrip("/")
        if not re.match("https?://[^/]", self.url):
            raise ValueError(f"{url} is no URL such as http://127.0.0.1:8000")
        self.timeout = timeout
        self.headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self.has_account = bool(api_key)
        self._give_up_after = give_up_after
        # An engine on this machine must not be reached through a proxy of the environment.
        self.http = httpx.AsyncClient(
            base_url=self.url, headers=self.headers, timeout=timeout, trust_env=False
        )

    def patience(self) -> Patience:
        return Patience(self._give_up_after)

    async def once(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        within: float | None = None,
    ) -> Any:
        """Send one request, and return its answer as values.

        :raises EngineError: it was not done, or nobody knows.
        """
        headers = {} if body is None else {"Content-Type": "application/json"}
        if key is not None:
            headers["Idempotency-Key"] = key
        try:
            response = await self.http.request(
                method,
                path,
                content=None if body is None else encode(body),
                params=query,
                headers=headers,
                timeout=within or self.timeout,
            )
        except httpx.TransportError as error:
            raise lost(self.url, error) from error
        return answer_in(response)

    async def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> Any:
        """Send what may be done twice without harm, until it is answered.

        :raises EngineError: it was refused, or there was no answer in the time that is given.
        """
        patience = self.patience()
        while True:
            try:
                return await self.once(method, path, body, query)
            except (NotNow, OutcomeUnknown) as error:
                await patience.wait(error)

    async def enter(self, path: str, body: Mapping[str, Any], key: str | None = None) -> Any:
        """Send orders until it is known what became of them.

        An account's orders have a key, under which they are sent again and stay the same orders.
        Without one, what may have been stored is never sent again.

        :raises Refused, NotNow: nothing is stored.
        :raises OutcomeUnknown: it may be; the time that is given is over.
        """
        patience, unknown, judged_at = self.patience(), None, 0.0
        key = key or self.new_key()
        while True:
            try:
                return await self.once("POST", path, body, key=key)
            except OutcomeUnknown as error:
                if key is None and path == EXECUTE:
                    return await self._look_for(error, patience)
                if key is None:  # an order id is that of the order that was to be replaced
                    raise
                reason: EngineError = error
                unknown, judged_at = error, 0.0
            except NotNow as error:
                reason, judged_at = error, 0.0
            except Refused as error:
                # A try before this one may be stored a little later, if its answer was lost.
                if unknown is None:
                    raise
                if error.status not in JUDGED_BY_ENGINE:
                    raise unknown from error
                judged_at = judged_at or monotonic()
                if monotonic() - judged_at >= LATE_SECONDS:
                    raise
                reason = error
            await patience.wait(reason, unknown)

    def new_key(self) -> str | None:
        """Return a key for new orders; None: anonymous orders have none."""
        return uuid.uuid4().hex if self.has_account else None

    async def _look_for(self, unknown: OutcomeUnknown, patience: Patience) -> Any:
        """Ask for an order that has no key, until it is there or cannot be stored any more."""
        absent_since = 0.0
        if unknown.order_id is None:
            raise unknown
        while True:
            await patience.wait(unknown)
            try:
                return await self.once("GET", f"/api/orders/{unknown.order_id}")
            except (NotNow, OutcomeUnknown):
                absent_since = 0.0
            except Refused as error:
                if error.code != NOT_FOUND:
                    raise unknown from error
                absent_since = absent_since or monotonic()
                if monotonic() - absent_since >= LATE_SECONDS:
                    detail = f"The order {unknown.order_id} was not stored."
                    raise NotNow("not_stored", detail, problem=unknown.problem) from None


def lost(url: str, error: Exception) -> EngineError:
    """Return what is known when no answer came."""
    why = str(error) or type(error).__name__
    if isinstance(error, NOT_SENT):
        return NotNow("unreachable", f"No engine answers at {url} ({why}).")
    return OutcomeUnknown("no_answer", f"No answer came from {url} ({why}).")


def answer_in(response: httpx.Response) -> Any:
    """:raises EngineError: it is no success."""
    found = object_in(response.content)
    if response.is_success and found is not None:
        return found
    problem = found if isinstance(found, dict) else {}
    if response.is_success:
        problem = {"error": NO_ENGINE}
    raise error_of(response.status_code, problem, seconds_in(response.headers.get("Retry-After")))


def object_in(text: bytes | str) -> Any:
    """Return the JSON object or list in a text; None: it is neither."""
    try:
        found = parse(text)
    except ValueError:
        return None
    return found if isinstance(found, dict | list) else None


def seconds_in(text: str | None) -> float | None:
    """Return the seconds of a `Retry-After`; None: there are none, or it is a date."""
    return float(text) if text is not None and text.isdecimal() else None
