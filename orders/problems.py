"""Errors as RFC 9457 problem details, each with a stable code in `error`."""

import logging
from http import HTTPStatus
from typing import Any

import psycopg
from django.core.exceptions import PermissionDenied
from django.db import OperationalError
from django.http import Http404, HttpRequest, JsonResponse
from rest_framework import exceptions
from rest_framework.response import Response

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
Problem = dict[str, Any]

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


class OrderNotFound(exceptions.NotFound):
    """No order has this id, or it is somebody else's: the answer is the same."""

    default_detail = "There is no such order."
    default_code = "order_not_found"


class NotCancellable(exceptions.APIException):
    """The order has been submitted or has ended; its status says which."""

    status_code = HTTPStatus.CONFLICT
    default_code = "not_cancellable"

    def __init__(self, status: str) -> None:
        self.order_status = status
        super().__init__(f"The order is {status} and can no longer be cancelled.")


class DatabaseUnavailable(exceptions.APIException):
    """The database does not answer. Nothing was stored; trying again later helps."""

    status_code = HTTPStatus.SERVICE_UNAVAILABLE
    default_detail = "The database does not answer. Nothing was stored, try again."
    default_code = "database_unavailable"


def problem(status: int, code: str, detail: str, **members: Any) -> Problem:
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "error": code,
        **members,
    }


def invalid_fields(error: exceptions.ValidationError) -> Problem:
    """Return the problem of a refused order or query: one entry for each field that is wrong."""
    details = error.detail if isinstance(error.detail, dict) else {"order": error.detail}
    errors = [
        {"field": field, "code": getattr(one, "code", "invalid"), "message": str(one)}
        for field, reasons in details.items()
        for one in (reasons if isinstance(reasons, list) else [reasons])
    ]
    detail = "; ".join(f"{one['field']}: {one['message']}" for one in errors)
    seen = getattr(error, "fields_seen", None)
    fields = {} if seen is None else {"fields": seen}
    code = "invalid_request" if seen is None else "invalid_order"
    return problem(HTTPStatus.BAD_REQUEST, code, detail, errors=errors, **fields)


def handle_exception(error: Exception, context: dict[str, Any]) -> Response | None:
    """Translate an exception into a problem (DRF's EXCEPTION_HANDLER). None: a bug, let it rise."""
    headers: dict[str, str] = {}
    if isinstance(error, OperationalError | psycopg.OperationalError):
        logger.warning("the database does not answer: %s", error)
        error = DatabaseUnavailable()
        headers["Retry-After"] = "1"
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    if isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    if not isinstance(error, exceptions.APIException):
        return None
    if isinstance(error, exceptions.ValidationError):
        data = invalid_fields(error)
    else:
        code = CODES.get(type(error), error.default_code)
        data = problem(int(error.status_code), code, str(error.detail))
    if isinstance(error, NotCancellable):
        data["orderStatus"] = error.order_status
    if (wait := getattr(error, "wait", None)) is not None:
        headers["Retry-After"] = str(int(wait) + 1)
    return Response(data, status=error.status_code, headers=headers)


def as_response(data: Problem) -> JsonResponse:
    return JsonResponse(data, status=data["status"], content_type=CONTENT_TYPE)


def not_found(request: HttpRequest, exception: Exception) -> JsonResponse:
    """Answer for URLs that lead nowhere (Django's handler404)."""
    return as_response(problem(404, "not_found", f"Nothing is served at {request.path}."))


def server_error(request: HttpRequest) -> JsonResponse:
    """Answer for bugs (Django's handler500); the traceback is in the log."""
    return as_response(problem(500, "internal_error", "Something broke on our side."))


def bad_request(request: HttpRequest, exception: Exception) -> JsonResponse:
    """Answer for requests that Django itself refuses, such as a foreign Host (handler400)."""
    return as_response(problem(400, "bad_request", "The request cannot be read."))
