"""What a client may ask of a cancellation."""

from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail

WHEN_POSSIBLE = "whenPossible"


def read_when_possible(sent: Any) -> bool:
    """Return whether a submitted order is to be cancelled once its transaction is dead.

    :raises ValidationError: it is no such request.
    """
    if sent is None:
        return False
    if not isinstance(sent, dict):
        raise _refused("body", "not_an_object", "The body is a JSON object, or there is none.")
    for name in sent:
        if name != WHEN_POSSIBLE:
            raise _refused(name[:64], "unknown_field", "There is no such field.")
    when_possible = sent.get(WHEN_POSSIBLE, False)
    if not isinstance(when_possible, bool):
        raise _refused(WHEN_POSSIBLE, "invalid_flag", "true or false.")
    return when_possible


def _refused(name: str, code: str, text: str) -> serializers.ValidationError:
    return serializers.ValidationError({name: [ErrorDetail(text, code)]})
