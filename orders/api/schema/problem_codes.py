"""The codes in `error`, of answers and of frames: of each the HTTP status, and what it means.

The engine's refusals say it themselves (`REFUSALS` in orders/api/problems.py). The others stand
here. What a test finds in the code and not here, or here and not in the code, fails it.
"""

import re
from collections import defaultdict
from typing import NamedTuple

from orders.api.problems import REFUSALS


class ProblemCode(NamedTuple):
    code: str
    statuses: tuple[int, ...]
    meaning: str
    """Sentences for those who write clients."""


OTHERS: dict[str, tuple[tuple[int, ...], str]] = {
    "bad_handshake": ((400,), "A WebSocket's `Upgrade` in a request that is no proper GET."),
    "bad_request": ((400, 501), "No HTTP that can be read, or a Host that is not served."),
    "invalid_after": ((400,), "`after` is no seq."),
    "invalid_order": (
        (400,),
        "It is no order: `errors` has a code for each wrong field, `fields` those that were seen.",
    ),
    "invalid_request": (
        (400,),
        "A query, header or body that means nothing: `errors` says what.",
    ),
    "malformed_json": ((400,), "The body or frame is not JSON, or JSON that means two things."),
    "unexpected_frame": ((400,), "This socket takes no such frame. It goes on."),
    "unknown_action": ((400,), "There is no such `action`. The socket goes on."),
    "not_authenticated": (
        (401,),
        "No API key; or a key, ticket or session that is unknown, expired, revoked or not for this"
        " address.",
    ),
    "https_required": ((403,), "An order or a key came in clear text. Use HTTPS; rotate the key."),
    "insufficient_scope": ((403,), "The key lacks the scope that this needs: `read` or `trade`."),
    "permission_denied": (
        (403,),
        "A form without our CSRF token. Send JSON as `application/json`.",
    ),
    "session_required": ((403,), "Only for a person who has logged in, not for a key."),
    "key_not_found": ((404,), "The account has no such key."),
    "not_found": ((404,), "Nothing is served at this path."),
    "order_not_found": ((404,), "There is no such order, or it is another account's."),
    "method_not_allowed": ((405,), "The path is served, by other methods."),
    "not_acceptable": ((406,), "`Accept` asks for what we cannot write."),
    "request_timeout": ((408,), "The request did not come whole in time."),
    "too_slow": ((408,), "The client reads too slowly. Connect again, from what it has."),
    "batch_refused": (
        (409,),
        "One order of the batch cannot be taken, so none was stored. `items` has the problems.",
    ),
    "body_too_large": ((413,), "The body has more than 64 KiB."),
    "unsupported_media_type": (
        (415,),
        "Another type or charset than JSON in UTF-8, or a `Content-Encoding`.",
    ),
    "websocket_version": ((426,), "WebSockets are served in version 13."),
    "seq_required": ((428,), "An amendment names neither `If-Match` nor `seq`."),
    "too_many_connections": (
        (429, 503),
        "More connections than one client, or the engine, may have.",
    ),
    "too_many_frames": ((429,), "More frames in a second than one socket may send. It is closed."),
    "too_many_orders": (
        (429,),
        "One socket follows no more orders. It is closed, or the frame is refused under its id.",
    ),
    "too_many_quotes": ((429,), "The account has as many streams of quotes as it may."),
    "too_many_requests": ((429,), "More than the limit allows. Come again after `retryAfter`."),
    "too_many_sockets": ((429,), "The account, or the address, has as many sockets as it may."),
    "head_too_large": ((431,), "The request's head has too many bytes."),
    "internal_error": ((500,), "Our fault. The log has the traceback."),
    "database_unavailable": (
        (503,),
        "The database does not answer. The sentence in `message` says whether anything was stored.",
    ),
    "outcome_unknown": (
        (503,),
        "The same of a cancellation, an amendment or a replacement: look at the order.",
    ),
}


def problem_codes() -> list[ProblemCode]:
    """Return all codes, by their status and then by their name."""
    found: defaultdict[str, list[tuple[tuple[int, ...], str]]] = defaultdict(list)
    for refused in REFUSALS.values():
        detail = re.sub(r"\{(\w+)\}", r"`\1`", refused.detail)
        found[refused.code].append(((refused.status,), detail))
    for code, other in OTHERS.items():
        found[code].append(other)
    merged = [merge(code, parts) for code, parts in found.items()]
    return sorted(merged, key=lambda one: (one.statuses, one.code))


def merge(code: str, parts: list[tuple[tuple[int, ...], str]]) -> ProblemCode:
    statuses = dict.fromkeys(status for own, _ in parts for status in own)
    meanings = dict.fromkeys(meaning for _, meaning in parts)
    return ProblemCode(code, tuple(sorted(statuses)), " ".join(meanings))
