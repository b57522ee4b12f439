"""What goes wrong, by what is then known: refused, not now, or unknown."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NO_ENGINE = "not_an_engine"
OUTCOME_UNKNOWN = "outcome_unknown"
TOO_MANY, SERVER_ERROR, UNAVAILABLE = 429, 500, 503


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field. `all` has what the engine says besides, as it came."""

    field: str
    code: str
    message: str
    all: Mapping[str, Any]


class EngineError(Exception):
    """The engine did not do what it was asked. `str()` of it is a sentence for people."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        status: int = 0,
        retry_after: float | None = None,
        problem: Mapping[str, Any] | None = None,
    ) -> None:
        self.code = code
        """Stable; the codes stand in docs/api.md."""
        self.status = status
        """Of HTTP, or the code with which a socket was closed; 0: there was no answer."""
        self.retry_after = retry_after
        """Seconds after which to come again, if the engine said so."""
        self.problem = problem or {}
        """The whole answer."""
        super().__init__(detail)

    @property
    def fields(self) -> tuple[FieldError, ...]:
        """The fields that are wrong."""
        return tuple(
            FieldError(str(one.get("field")), str(one.get("code")), str(one.get("message")), one)
            for one in self.problem.get("errors", ())
        )

    @property
    def order_id(self) -> str | None:
        """The order that this is about, if it has an id."""
        found = self.problem.get("orderId")
        return None if found is None else str(found)


class Refused(EngineError):
    """It was understood and not done. The same again would be refused again."""


class NotNow(EngineError):
    """It was not done: something is away, or it is too much at once. The same again may be done."""


class OutcomeUnknown(EngineError):
    """It may have been done. With an `order_id`: ask for this order, later."""


def error_of(
    status: int, problem: Mapping[str, Any], retry_after: float | None = None
) -> EngineError:
    """Return what an answer means that is no success."""
    code = str(problem.get("error", NO_ENGINE))
    no_engine = f"What answers is no order execution engine (status {status})."
    detail = str(problem.get("detail") or no_engine)
    said = problem.get("retryAfter")
    seconds = retry_after if said is None else float(said)
    return _kind(status, code)(code, detail, status=status, retry_after=seconds, problem=problem)


def _kind(status: int, code: str) -> type[EngineError]:
    if code == OUTCOME_UNKNOWN:
        return OutcomeUnknown
    if status == TOO_MANY or (status == UNAVAILABLE and code != NO_ENGINE):
        return NotNow
    # A proxy before the engine answers so, too, when the engine died in the middle of a request.
    return OutcomeUnknown if status >= SERVER_ERROR else Refused
