from typing import Any

import pytest

from config.http.body_limit import MAX_BODY, MAX_PAGE_BODY, limit_body
from tests.support.client import request

SCOPE = {"type": "http", "method": "POST", "path": "/execute", "headers": []}


class Reader:
    """An application that reads its whole body and says how much that was."""

    def __init__(self) -> None:
        self.was_told_of_a_disconnect = False
        self.bytes_read = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.was_told_of_a_disconnect = True
                return
            self.bytes_read += len(message["body"])
            more = message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


class Client:
    """Sends the pieces of a body, one for each time it is asked."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)
        self.answers: list[dict[str, Any]] = []
        self.pieces_left_at_the_answer = -1

    async def receive(self) -> dict[str, Any]:
        piece = self._pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(self._pieces)}

    async def send(self, message: dict[str, Any]) -> None:
        if not self.answers:
            self.pieces_left_at_the_answer = len(self._pieces)
        self.answers.append(message)

    @property
    def status(self) -> int:
        (start,) = (one for one in self.answers if one["type"] == "http.response.start")
        return int(start["status"])

    @property
    def pieces_left(self) -> int:
        return len(self._pieces)


@pytest.mark.parametrize("pieces", [[b"x" * MAX_BODY], [b"x" * (MAX_BODY - 1), b"x"], [b""]])
async def test_a_body_within_the_limit_arrives_whole(pieces: list[bytes]) -> None:
    reader, client = Reader(), Client(*pieces)
    await limit_body(reader)(SCOPE, client.receive, client.send)
    assert client.status == 200
    assert reader.bytes_read == sum(map(len, pieces))


async def test_a_body_that_is_declared_too_large_is_answered_before_any_of_it_is_read() -> None:
    reader, client = Reader(), Client(b"x")
    scope = SCOPE | {"headers": [(b"content-length", str(MAX_BODY + 1).encode())]}
    await limit_body(reader)(scope, client.receive, client.send)

    assert client.status == 413
    assert client.pieces_left_at_the_answer == 1
    assert client.pieces_left == 0, "closed on what it sends, it would not hear the answer"
    assert reader.bytes_read == 0


async def test_a_body_that_grows_too_large_is_answered_at_once_and_dropped() -> None:
    reader, client = Reader(), Client(*[b"x" * 40_000] * 5)
    await limit_body(reader)(SCOPE, client.receive, client.send)

    assert client.status == 413
    assert client.pieces_left_at_the_answer == 3
    assert client.pieces_left == 0
    assert reader.was_told_of_a_disconnect


@pytest.mark.parametrize("path", ["/admin", "/admin/auth/user/1/change/"])
async def test_the_admins_forms_may_be_larger(path: str) -> None:
    reader, client = Reader(), Client(b"x" * MAX_PAGE_BODY)
    await limit_body(reader)(SCOPE | {"path": path}, client.receive, client.send)

    assert client.status == 200
    client = Client(b"x" * MAX_PAGE_BODY, b"x")
    await limit_body(reader)(SCOPE | {"path": path}, client.receive, client.send)
    assert client.status == 413


async def test_who_sends_too_much_is_told_how_much_is_allowed() -> None:
    answer = await request("POST", "/execute", b"x" * (MAX_BODY + 1))
    assert answer.status == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert str(MAX_BODY) in answer.json["detail"]
