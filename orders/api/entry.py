"""An order's POST as programs send it, answered without Django's and DRF's requests and responses.

They cost more than reading and storing the order. This way is for what hardly any program does
otherwise: one JSON body, an answer in JSON, no query, no cookie, a Host of ours, a key or none.
Everything else is for the framework. The order itself is taken by the view's function, and a test
sends every kind of request both ways and compares the answers byte by byte.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson
from rest_framework.exceptions import (
    AuthenticationFailed,
    NotAuthenticated,
    ParseError,
)

from config.http.door import is_served
from config.http.order_entry import Answer
from config.http.socket_origin import scheme_of
from config.runtime.session import answered_within
from orders.access.accounts import ANONYMOUS
from orders.access.authentication import CHALLENGE, check_scope, holder_of_key
from orders.access.keys import TRADE
from orders.api import base_views
from orders.api.changes.placing import place_order
from orders.api.changes.senders import Sender
from orders.api.problems import CONTENT_TYPE, Problem, answer_to, said_of_order
from orders.api.reading.fields import idempotency_key_of
from orders.api.reading.parsers import parse_body
from orders.api.renderers import UNCHOOSY
from orders.api.views import refuse_clear_text
from orders.events import timestamp

Lines = list[tuple[bytes, bytes]]

JSON, PROBLEM = b"application/json", CONTENT_TYPE.encode()
PLAIN_TYPES = frozenset((JSON, JSON + b"; charset=utf-8", JSON + b";charset=utf-8"))
PLAIN_ACCEPTS = frozenset(one.encode() for one in UNCHOOSY)
ONCE = frozenset((b"host", b"content-type", b"accept", b"authorization"))
ALWAYS: Lines = [(b"Vary", b"Accept"), (b"Allow", b"GET, POST, HEAD, OPTIONS")]


class Post(NamedTuple):
    """A request that is answered here."""

    scope: dict[str, Any]
    body: bytes
    authorization: str | None
    keys: Lines
    """The headers that may be an Idempotency-Key."""
    sender: Sender


def plain(scope: dict[str, Any], body: bytes) -> Post | None:
    """Return the request if it is answered here; None: it is for the framework."""
    found: dict[bytes, bytes] = {}
    keys: Lines = []
    for name, value in scope["headers"]:
        if name in ONCE:
            if name in found:
                return None
            found[name] = value
        elif name == b"cookie":
            return None
        elif b"idempot" in name.lower():
            keys.append((name, value))
    is_plain = (
        not scope["query_string"]
        and found.get(b"content-type", b"").lower() in PLAIN_TYPES
        and found.get(b"accept", b"") in PLAIN_ACCEPTS
        and b"host" in found
        and is_served(scope)
    )
    if not is_plain:
        return None
    client = (scope.get("client") or ("",))[0]
    site = f"{scheme_of(scope)}://{found[b'host'].decode('latin-1')}"
    given = found.get(b"authorization")
    authorization = None if given is None else given.decode("latin-1")
    return Post(scope, body, authorization, keys, Sender(ANONYMOUS, client, scope, {}, site))


async def answer_plainly(scope: dict[str, Any], body: bytes) -> Answer | None:
    """Return the answer to a POST of an order; None: it is for the framework.

    :raises Exception: a bug.
    """
    post = plain(scope, body)
    if post is None:
        return None
    with answered_within(base_views.ANSWER_SECONDS):
        try:
            return await _taken(post)
        except Exception as error:
            if isinstance(error, NotAuthenticated | AuthenticationFailed):
                error.auth_header = CHALLENGE  # type: ignore[union-attr]  # as DRF's views do
            found = answer_to(error, lambda: _said_of_absence(post))
            if found is None:
                raise
            problem, headers = found
            return _answer(post, problem["status"], PROBLEM, problem, headers)


async def _taken(post: Post) -> Answer:
    """Take the order, or refuse it, in the order of the view."""
    sender = post.sender
    if post.authorization is not None:
        sender.principal = await holder_of_key(post.authorization, sender.client, post.scope)
    check_scope(sender.principal, TRADE)
    refuse_clear_text(is_secure=sender.site.startswith("https:"))
    key = idempotency_key_of(post.keys)
    sent = parse_body(post.body) if post.body else {}
    placed = await place_order(sent, key, sender)
    return _answer(post, placed.status, JSON, placed.body, placed.headers)


def _answer(
    post: Post, status: int, content_type: bytes, told: Problem, headers: Mapping[str, str]
) -> Answer:
    """Return an answer with the headers that the view's has, in their order."""
    body = orjson.dumps(told)
    lines = [
        (b"Content-Type", content_type),
        *_encoded(headers),
        *ALWAYS,
        *_encoded(post.sender.headers),
        (b"X-Content-Type-Options", b"nosniff"),
    ]
    if (ends_at := post.sender.principal.ends_at) is not None:
        lines += _encoded({base_views.KEY_ENDS: timestamp(ends_at)})
    lines.append((b"Content-Length", b"%d" % len(body)))
    return Answer(int(status), lines, body)


def _encoded(headers: Mapping[str, str]) -> Lines:
    return [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]


def _said_of_absence(post: Post) -> str:
    """Return what is true of an order that the database did not answer, as the view says it."""
    try:
        sent = parse_body(post.body)
    except ParseError:
        sent = None
    keys = [value.decode("latin-1") for name, value in post.keys if name == b"idempotency-key"]
    return said_of_order(sent, ",".join(keys))
