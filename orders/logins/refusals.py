"""What a page shows to a person who may not go on: the form again, and when to try again."""

import math
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from config.http.security_log import tell
from orders.logins.attempts import attempts
from orders.logins.hashing import RETRY_SECONDS, TooBusy
from orders.logins.known import attempt_of


class Refused(Exception):
    """A person may not go on. `seconds`: when to try again. None: try with other input."""

    def __init__(self, status: int, text: str, seconds: float | None = None) -> None:
        super().__init__(text)
        self.status, self.text, self.seconds = status, text, seconds

    def page(self, request: HttpRequest, template: str, **context: Any) -> HttpResponse:
        answer = render(request, template, {**context, "refusal": self.text}, status=self.status)
        if self.seconds is not None:
            answer["Retry-After"] = str(math.ceil(self.seconds))
        return answer


def count_attempt(request: HttpRequest, name: str, purpose: str) -> None:
    """Count an attempt at a code or a password of the account `name`.

    :raises Refused: there were too many.
    """
    if wait := attempts().take(attempt_of(request, name, purpose)):
        tell("login_locked", request, user_name=name, limit=purpose)
        raise too_many(wait)


def too_many(wait: float) -> Refused:
    minutes = math.ceil(wait / 60)
    ending = "s" if minutes > 1 else ""
    return Refused(429, f"Too many attempts. Try again in {minutes} minute{ending}.", wait)


def busy() -> Refused:
    text = "Too many people give passwords at this moment. Try again in a few seconds."
    return Refused(503, text, RETRY_SECONDS)


def in_turn(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Have a view refuse a request when too many passwords wait to be hashed.

    :raises Refused: the view that is returned raises it.
    """

    @wraps(view)
    def refusing(*args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return view(*args, **kwargs)
        except TooBusy:
            raise busy() from None

    return refusing
