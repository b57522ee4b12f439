"""One provider of Solana's JSON-RPC: asked with a time limit, and left alone while it says so."""

import asyncio
import itertools
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson

SECONDS = 3.0
"""How long one call may take."""
MOST_REST_SECONDS = 30.0
"""However long a provider asks to be left alone, it is asked again after this."""

_DEFAULT_REST_SECONDS = 1.0
_MOST_BYTES = 16 * 2**20
_TOO_MANY = 429
_NOT_NOW = frozenset({-32004, -32005, -32007, -32009, -32014, -32016, -32603})
"""Errors of a node that is behind, or lacks a block: another node may answer."""


class RpcUnavailable(Exception):
    """The provider gave no answer, or none that counts. The request may have been done."""


class RpcError(Exception):
    """The node refused the request. The same node will refuse it again."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.data = data


class Provider:
    """Its address may have a key in it, so only its host is ever shown."""

    def __init__(self, url: str, *, seconds: float = SECONDS) -> None:
        """:raises ValueError: it is no address of HTTP."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("the address of a provider is not one of http or https")
        self.name = parts.hostname
        self._url = url
        self._timeout = aiohttp.ClientTimeout(total=seconds)
        self._session: aiohttp.ClientSession | None = None
        self._rests_until = 0.0
        self._ids = itertools.count(1)
        self.calls = 0
        """How many requests were sent to it."""

    @property
    def is_resting(self) -> bool:
        return asyncio.get_running_loop().time() < self._rests_until

    async def call(self, method: str, *params: Any) -> Any:
        """Return the `result` of one call.

        :raises RpcUnavailable: there was no answer.
        :raises RpcError: the node refused the request.
        """
        if self.is_resting:
            raise RpcUnavailable(f"{self.name} asked to be left alone")
        number = next(self._ids)
        asked = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        self.calls += 1
        try:
            content = await self._post(orjson.dumps(asked))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # Its message may have the address.
            reason = f"{self.name} did not answer {method}: {type(error).__name__}"
            raise RpcUnavailable(reason) from None
        return self._result(content, number, method)

    async def close(self) -> None:
        """Close the connection. Another call opens a new one."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def __repr__(self) -> str:
        return f"Provider({self.name})"

    async def _post(self, body: bytes) -> bytes:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        headers = {"content-type": "application/json"}
        async with self._session.post(
            self._url, data=body, headers=headers, allow_redirects=False
        ) as response:
            if response.status == _TOO_MANY:
                self._rest(response.headers.get("retry-after", ""))
                raise RpcUnavailable(f"{self.name} has had too many requests (429)")
            if response.status != 200:
                raise RpcUnavailable(f"{self.name} answered HTTP {response.status}")
            content = bytearray()
            async for chunk in response.content.iter_any():
                content += chunk
                if len(content) > _MOST_BYTES:
                    raise RpcUnavailable(f"{self.name} answered without an end")
            return bytes(content)

    def _rest(self, retry_after: str) -> None:
        seconds = float(retry_after) if retry_after.isdecimal() else _DEFAULT_REST_SECONDS
        now = asyncio.get_running_loop().time()
        self._rests_until = now + min(seconds, MOST_REST_SECONDS)

    def _result(self, content: bytes, number: int, method: str) -> Any:
        try:
            answer = orjson.loads(content)
            error = answer.get("error")
            if error is not None:
                code = int(error["code"])
                reason = str(error.get("message", ""))
                if code in _NOT_NOW:
                    raise RpcUnavailable(f"{self.name} cannot answer {method} now: {reason}")
                raise RpcError(code, reason, error.get("data"))
            if answer["id"] != number:
                raise RpcUnavailable(f"{self.name} answered another request")
            return answer["result"]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise RpcUnavailable(f"{self.name} did not answer in JSON-RPC") from None
