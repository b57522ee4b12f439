"""Errors as RFC 9457 problem details, each with a stable code in `error`."""

import logging
import math
import sys
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, NamedTuple
from uuid import UUID

import orjson
import psycopg
from django.core.exceptions import DisallowedHost, PermissionDenied
from django.db import OperationalError
from django.http import Http404, HttpRequest, JsonResponse
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response

from config.runtime.session import is_connection_lost
from orders.access.admission import OVERLOADED_SECONDS, Overloaded, ShareIsFull
from orders.access.keys import MAX_KEYS, NotRotatable, TooManyKeys
from orders.access.open_orders import TooManyOpenOrders
from orders.access.tickets import TICKET_SECONDS, TooManyTickets
from orders.api.reading.dialects import CLIENT_ORDER_ID
from orders.api.reading.fields import Refusal
from orders.engine.changes.amending import NotAmendable, OrderChanged
from orders.engine.moves import HALTED_SECONDS, TradingHalted
from orders.engine.quotes import NotQuoted
from orders.engine.submission import (
    AccountRequired,
    ClientOrderIdTaken,
    IdempotencyKeyReused,
    NotCancellable,
    OutcomeUnknown,
    PricesUnavailable,
)
from orders.streams.account_log import LogLost
from orders.streams.cursor import UnknownCursor

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
Problem = dict[str, Any]
AWAY = "The database does not answer, try again."
LOOK_FIRST = "The database does not answer. Look at /api/orders before you send an order again."
NOTHING_STORED = "The database does not answer. Nothing was stored, try again."
MAY_BE_REPEATED = (
    "The database does not answer, so nobody knows whether this order was stored before. Send the"
    " same again, with the same key: it stays one order."
)
UNREADABLE = "The request cannot be read."
FOREIGN_HOST = "The engine does not answer to this Host: its operator lists names in ALLOWED_HOSTS."
MAX_PATH = 200  # characters of a path that an answer repeats
RELEASED_SECONDS = 30  # after which a reader should look again
UNKNOWN_SECONDS = 5  # after which a client should look whether its order is stored
TOO_MANY_READS = "More reading than the limit of an account, or of an address, allows."
TOO_MANY_PREVIEWS = "More previews and quotes than the limit of an account, or of an address."
TOO_MANY = "More orders than the limit of an account allows. This request stored nothing."

# As in RFC 9110. Python says so since 3.13; before that, it has older phrases.
PHRASES = {413: "Content Too Large", 422: "Unprocessable Content"}

CODES: dict[type[Exception], str] = {
    exceptions.ParseError: "malformed_json",
    exceptions.UnsupportedMediaType: "unsupported_media_type",
    exceptions.NotAcceptable: "not_acceptable",
    exceptions.MethodNotAllowed: "method_not_allowed",
    exceptions.NotAuthenticated: "not_authenticated",
    exceptions.AuthenticationFailed: "not_authenticated",
    exceptions.PermissionDenied: "permission_denied",
    exceptions.Throttled: "too_many_requests",
    exceptions.NotFound: "not_found",
}


class ProblemType(NamedTuple):
    """The answer to a refusal of the engine. `{name}` in the detail is a member of the answer."""

    status: int
    code: str
    detail: str
    retry_after: int | None = None
    """Seconds, if trying again then helps."""


REFUSALS: dict[type[Exception], ProblemType] = {
    AccountRequired: ProblemType(
        400,
        "account_required",
        "Idempotency-Key and clientOrderId belong to an account: give an API key.",
    ),
    IdempotencyKeyReused: ProblemType(
        422, "idempotency_key_reused", "Another order was sent under this Idempotency-Key."
    ),
    ClientOrderIdTaken: ProblemType(
        409, "client_order_id_taken", "Another order of yours has this clientOrderId."
    ),
    NotCancellable: ProblemType(
        409, "not_cancellable", "The order is {orderStatus} and can no longer be cancelled."
    ),
    NotAmendable: ProblemType(
        409,
        "not_amendable",
        "It can be amended only while it is open and so is the other order of its group, and this"
        " one is {orderStatus}.",
    ),
    UnknownCursor: ProblemType(
        400,
        "cursor_unknown",
        "This database has never been at that cursor: it was restored, or the cursor is of another"
        " one. Begin anew with the open orders (?snapshot=open).",
    ),
    LogLost: ProblemType(
        503,
        "log_not_ready",
        "The database was restored from a dump: its operator runs manage.py release.",
        RELEASED_SECONDS,
    ),
    OrderChanged: ProblemType(
        409,
        "order_changed",
        "The order has changed since you saw it: it is {orderStatus}, at seq {seq}.",
    ),
    NotRotatable: ProblemType(
        409,
        "key_not_rotatable",
        "This key was rotated before, or no longer holds: make a new one.",
    ),
    TooManyKeys: ProblemType(
        409,
        "too_many_keys",
        f"An account has at most {MAX_KEYS} keys that hold: revoke one first.",
    ),
    TooManyTickets: ProblemType(
        429, "too_many_requests", "Too many tickets that were not used.", TICKET_SECONDS
    ),
    ShareIsFull: ProblemType(
        429,
        "too_many_waiting",
        "Too many orders of yours wait. This request stored nothing, come again when some began.",
        OVERLOADED_SECONDS,
    ),
    TooManyOpenOrders: ProblemType(
        409,
        "too_many_open_orders",
        "As many orders of yours rest as may. This request stored nothing: cancel some first.",
    ),
    PricesUnavailable: ProblemType(
        503,
        "prices_unavailable",
        "There is no fresh price to compare the order's trigger with. This request stored nothing,"
        " try again; or give ifCrossed: execute.",
        1,
    ),
    Overloaded: ProblemType(
        503,
        "overloaded",
        "Too many orders wait. This request stored nothing, come again later.",
        OVERLOADED_SECONDS,
    ),
    TradingHalted: ProblemType(
        503,
        "trading_halted",
        "The engine's operator has halted trading. This request stored nothing. Orders can be"
        " cancelled, and what was sent to the network is settled.",
        HALTED_SECONDS,
    ),
    NotQuoted: ProblemType(
        503, "prices_unavailable", "No venue quotes this at present, come again.", 1
    ),
    OutcomeUnknown: ProblemType(
        503,
        "outcome_unknown",
        "The database did not say whether the order was stored. Ask for it by its orderId: found,"
        " it is stored; not found ten seconds after the database answers again, it is not. With an"
        " Idempotency-Key or a clientOrderId, send the same again: it stays one order.",
        UNKNOWN_SECONDS,
    ),
}


class OrderNotFound(exceptions.NotFound):
    """No order has this id, or it is another account's: the answer is the same."""

    default_detail = "There is no such order."
    default_code = "order_not_found"


class TooManyRequests(exceptions.APIException):
    """More requests than the account's limit allows. Trying again after `wait` seconds helps."""

    status_code = HTTPStatus.TOO_MANY_REQUESTS
    default_code = "too_many_requests"

    def __init__(self, wait: float, says: str = TOO_MANY) -> None:
        self.wait = wait
        super().__init__(says)


class AllRefused(exceptions.APIException):
    """One order of a batch cannot be stored, so none is. `items` has the problem of each."""

    status_code = HTTPStatus.CONFLICT
    default_detail = "An order of this batch cannot be taken, so none of them was stored."
    default_code = "batch_refused"

    def __init__(self, items: list[dict[str, Any]]) -> None:
        self.items = items
        super().__init__()


class HttpsRequired(exceptions.APIException):
    """The order came in clear text and was not taken. Send it by HTTPS, and replace the key."""

    status_code = HTTPStatus.FORBIDDEN
    default_detail = "Orders are taken by HTTPS alone."
    default_code = "https_required"


class DatabaseUnavailable(exceptions.APIException):
    """The database does not answer, or not as the engine needs it. Trying again later helps."""

    status_code = HTTPStatus.SERVICE_UNAVAILABLE
    default_detail = AWAY
    default_code = "database_unavailable"


class SeqRequired(exceptions.APIException):
    """An amendment names no seq. Look at the order, and say at which seq it was seen."""

    status_code = HTTPStatus.PRECONDITION_REQUIRED
    default_detail = 'Say which seq you saw: If-Match: "SEQ", or seq in the body.'
    default_code = "seq_required"


class CancellationUnknown(exceptions.APIException):
    """It is not known whether the order was cancelled. Trying again is harmless, and shows it."""

    status_code = HTTPStatus.SERVICE_UNAVAILABLE
    default_detail = (
        "The database did not say whether the order was cancelled. Cancel it again: that does no"
        " harm, and tells."
    )
    default_code = "outcome_unknown"

    def __init__(self, order_id: str) -> None:
        self.order_id = order_id
        super().__init__()


class ReplacementUnknown(CancellationUnknown):
    """It is not known whether the order was replaced. Its status tells, and which order did."""

    default_detail = (
        "The database did not say whether the order was replaced. Look at the order: cancelled, it"
        " names the order in its place as replacedBy."
    )


class AmendmentUnknown(CancellationUnknown):
    """It is not known whether the order was amended. Its seq tells."""

    default_detail = (
        "The database did not say whether the order was amended. Look at the order: its seq tells."
    )


def problem(status: int, code: str, detail: str, **members: Any) -> Problem:
    return {
        "type": "about:blank",
        "title": PHRASES.get(status) or HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "message": detail,  # most clients look there
        "error": code,
        **members,
    }


def encode_json(value: Any) -> str:
    return orjson.dumps(value).decode()


def error_frame(found: Problem) -> str:
    """Return the problem as a frame: its type tells it from an event.

    No number in `status`: clients take it for an order's, which is a word.
    """
    members = {name: value for name, value in found.items() if name != "status"}
    return encode_json(members | {"type": "error", "httpStatus": found["status"]})


def refusal(error: Exception) -> Problem | None:
    """Return the problem for a refusal of the engine; None for any other error."""
    problem_type = REFUSALS.get(type(error))
    if problem_type is None:
        return None
    seconds = problem_type.retry_after
    members: dict[str, Any] = {} if seconds is None else {"retryAfter": seconds}
    if isinstance(error, OutcomeUnknown):
        members |= {"orderId": error.order_id, "wsUrl": f"/ws/orders/{error.order_id}"}
    if isinstance(error, NotCancellable | NotAmendable | OrderChanged):
        members["orderStatus"] = error.status
    if isinstance(error, OrderChanged):
        members["seq"] = error.seq
    return problem(
        problem_type.status, problem_type.code, problem_type.detail.format(**members), **members
    )


def problem_of(error: exceptions.APIException, **members: Any) -> Problem:
    """Return the problem for an error of REST. Sockets use the same words."""
    code = CODES.get(type(error), error.default_code)
    return problem(int(error.status_code), code, str(error.detail), **members)


def too_many_requests(wait: float, says: str = TOO_MANY) -> Problem:
    """Return the problem for an account that is above its limit; `wait` in seconds."""
    return problem(429, "too_many_requests", says, retryAfter=math.ceil(wait))


def invalid_fields(error: exceptions.ValidationError) -> Problem:
    """Return the problem for a refused order or query, with an entry for each wrong field."""
    details = error.detail if isinstance(error.detail, dict) else {"order": error.detail}
    errors = [
        {
            "field": field,
            "code": getattr(entry, "code", "invalid"),
            "message": str(entry),
            **(entry.members if isinstance(entry, Refusal) else {}),
        }
        for field, reasons in details.items()
        for entry in (reasons if isinstance(reasons, list) else [reasons])
    ]
    detail = "; ".join(f"{entry['field']}: {entry['message']}" for entry in errors)
    fields_seen = getattr(error, "fields_seen", None)
    fields = {} if fields_seen is None else {"fields": fields_seen}
    code = "invalid_request" if fields_seen is None else "invalid_order"
    return problem(HTTPStatus.BAD_REQUEST, code, detail, errors=errors, **fields)


def handle_exception(error: Exception, context: dict[str, Any]) -> Response | None:
    """Translate an exception into a problem (DRF's EXCEPTION_HANDLER). None: a bug, let it rise."""
    if isinstance(error, exceptions.MethodNotAllowed) and not names_an_order(context):
        error = exceptions.NotFound(said_of_path(context["request"].path))
    found = answer_to(error, lambda: said_of_absence(context))
    if found is None:
        return None
    data, headers = found
    return Response(data, status=data["status"], headers=headers)


def answer_to(
    error: Exception, said_of_absence: Callable[[], str]
) -> tuple[Problem, dict[str, str]] | None:
    """Return the problem of an exception, and its headers. None: a bug, let it rise.

    `said_of_absence` is asked what is true of the request where the database does not answer.
    """
    headers: dict[str, str] = {}
    if (refused := refusal(error)) is not None:
        if "retryAfter" in refused:
            headers["Retry-After"] = str(refused["retryAfter"])
        return refused, headers
    if is_database_away(error):
        logger.warning("the database does not answer: %s", error)
        error = DatabaseUnavailable(said_of_absence())
    if isinstance(error, DatabaseUnavailable | CancellationUnknown):
        headers["Retry-After"] = "1"
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    if isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    if not isinstance(error, exceptions.APIException):
        return None
    if isinstance(error, exceptions.ValidationError):
        data = invalid_fields(error)
    elif isinstance(error, TooManyRequests):
        data = too_many_requests(error.wait, str(error.detail))
        headers["Retry-After"] = str(data["retryAfter"])
    else:
        data = problem_of(error)
    if isinstance(error, CancellationUnknown):
        data["orderId"] = error.order_id
    if isinstance(error, AllRefused):
        data["items"] = error.items
    if (challenge := getattr(error, "auth_header", None)) is not None:
        headers["WWW-Authenticate"] = challenge
    return data, headers


def names_an_order(context: dict[str, Any]) -> bool:
    """Whether the path's order id could be an id; also true if the path has none."""
    try:
        UUID(context["view"].kwargs.get("order_id", UUID(int=0).hex))
    except ValueError:
        return False
    return True


def said_of_path(path: str) -> str:
    return f"Nothing is served at {path[:MAX_PATH]}."


def is_database_away(error: BaseException | None) -> bool:
    """Whether the database does not answer now, or lacks the schema that we look for."""
    if error is None:
        return False
    if isinstance(error, OperationalError | psycopg.OperationalError) or is_connection_lost(error):
        return True
    cause = error if isinstance(error, psycopg.Error) else error.__cause__
    return isinstance(cause, psycopg.errors.UndefinedTable | psycopg.errors.InvalidSchemaName)


def said_of_absence(context: dict[str, Any]) -> str:
    """Return what is true of a request when the database did not answer it.

    If its order may be stored, another error says so (OutcomeUnknown).
    """
    request, view = context.get("request"), context.get("view")
    sends_orders = (
        getattr(view, "stores_orders", False) and getattr(request, "method", "") == "POST"
    )
    if not sends_orders:
        return AWAY
    if request is None:
        return NOTHING_STORED
    return said_of_order(_body_of(request), request.META.get("HTTP_IDEMPOTENCY_KEY"))


def _body_of(request: Request) -> Any:
    """Return the request's body, even if the view has not read it; None if it is unreadable."""
    try:
        return request.data
    except exceptions.APIException:
        return None


def said_of_order(sent: Any, key: str | None = None) -> str:
    """Return what is true of an order that went no further. With a key, it may be stored before."""
    name = isinstance(sent, dict) and any(sent.get(name) for name in CLIENT_ORDER_ID)
    return MAY_BE_REPEATED if key or name else NOTHING_STORED


def as_response(data: Problem) -> JsonResponse:
    return JsonResponse(data, status=data["status"], content_type=CONTENT_TYPE)


def not_found(request: HttpRequest, exception: Exception) -> JsonResponse:
    """Answer a URL that leads nowhere (Django's handler404)."""
    return as_response(problem(404, "not_found", said_of_path(request.path)))


def server_error(request: HttpRequest) -> JsonResponse:
    """Answer after a bug (Django's handler500). The traceback is in the log.

    Outside of the API's views, a database that does not answer is noticed only here.
    """
    if is_database_away(sys.exc_info()[1]):
        # A page's form may have sent an order.
        detail = AWAY if request.method in ("GET", "HEAD") else LOOK_FIRST
        response = as_response(problem_of(DatabaseUnavailable(detail)))
        response.headers["Retry-After"] = "1"
        return response
    return as_response(problem(500, "internal_error", "Something broke on our side."))


def bad_request(request: HttpRequest, exception: Exception) -> JsonResponse:
    """Answer a request that Django itself refuses, such as one for a foreign Host (handler400)."""
    foreign = isinstance(exception, DisallowedHost)
    return as_response(problem(400, "bad_request", FOREIGN_HOST if foreign else UNREADABLE))
