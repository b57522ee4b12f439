"""What a request's body may be. Others are refused on arrival, before any of them is kept."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.message import Message as Headers

from config.http.refusal import Message, Receive, Refusal, Send

MAX_BODY = 65_536  # bytes; an order has about 200
MAX_PAGE_BODY = 2_621_440  # Django's own limit, for the admin's forms
BODILESS = frozenset(("GET", "HEAD", "OPTIONS"))
UTF_8 = frozenset(("", "utf-8", "utf8", "us-ascii", "ascii"))

Application = Callable[[Message, Receive, Send], Awaitable[None]]

GONE: Message = {"type": "http.disconnect"}

CODED = Refusal(
    415,
    "unsupported_media_type",
    "A body is read as it is: send it without Content-Encoding.",
    ((b"accept-encoding", b"identity"),),
)
OTHER_CHARSET = Refusal(415, "unsupported_media_type", "A body is read as UTF-8: send it so.")


@dataclass(slots=True)
class Body:
    """What the headers say of it."""

    length: int | None = None  # bytes
    comes_in_chunks: bool = False
    is_coded: bool = False
    content_type: bytes = b""

    @classmethod
    def of(cls, scope: Message) -> "Body":
        body = cls()
        for name, value in scope["headers"]:
            if name == b"content-length":
                body.length = int(value) if value.isdigit() else 0
            elif name == b"content-type":
                body.content_type = value
            elif name == b"transfer-encoding":
                body.comes_in_chunks = True
                body.is_coded |= value.strip().lower() != b"chunked"
            elif name == b"content-encoding":
                body.is_coded |= value.strip().lower() not in (b"", b"identity")
        return body

    def refusal(self, limit: int) -> Refusal | None:
        if not (self.length or self.comes_in_chunks):
            return None
        if self.length is not None and self.length > limit:
            return too_large(limit)
        if self.is_coded:
            return CODED
        is_utf_8 = b"charset" not in self.content_type.lower() or self._charset() in UTF_8
        return None if is_utf_8 else OTHER_CHARSET

    def _charset(self) -> str:
        headers = Headers()
        headers["content-type"] = self.content_type.decode("latin-1")
        return str(headers.get_param("charset", "")).strip().lower()


def limit_body(application: Application) -> Application:
    """Wrap an ASGI application: it gets bodies that it can read, and their length beforehand.

    A body that is too large is answered with 413 and not read to its end. A body with a content
    coding is answered with 415.
    """

    async def wrapped(scope: Message, receive: Receive, send: Send) -> None:
        limit = MAX_PAGE_BODY if scope["path"].startswith("/admin") else MAX_BODY
        body = Body.of(scope)
        if refusal := body.refusal(limit):
            await refusal.send(send, receive)
            return
        received, has_more = 0, True

        async def receive_and_count() -> Message:
            nonlocal received, has_more
            message = await receive()
            has_more = message.get("more_body", False)
            received += len(message.get("body", b""))
            # An application knows what to do when a client goes: it drops what it has read.
            return message if received <= limit else GONE

        if body.comes_in_chunks or (body.length is None and scope["method"] not in BODILESS):
            await application(*await gather_body(scope, receive_and_count), send)
        else:
            await application(scope, receive_and_count, send)
        if received > limit:
            await too_large(limit).send(send, receive if has_more else None)

    return wrapped


async def gather_body(scope: Message, receive: Receive) -> tuple[Message, Receive]:
    """Read a body of unknown length to its end: DRF asks for the length beforehand."""
    pieces, has_more = [], True
    while has_more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return scope, _once(message, receive)
        pieces.append(message.get("body", b""))
        has_more = message.get("more_body", False)
    body = b"".join(pieces)
    headers = [header for header in scope["headers"] if header[0] != b"transfer-encoding"]
    headers.append((b"content-length", str(len(body)).encode()))
    whole = {"type": "http.request", "body": body, "more_body": False}
    return {**scope, "headers": headers}, _once(whole, receive)


def _once(message: Message, receive: Receive) -> Receive:
    first = [message]

    async def receive_first() -> Message:
        return first.pop() if first else await receive()

    return receive_first


def too_large(limit: int) -> Refusal:
    return Refusal(413, "body_too_large", f"The body may have {limit} bytes.")
