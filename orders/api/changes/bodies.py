"""Reads the parts of a JSON body that is no order: strictly, each by its name."""

from typing import Any

from rest_framework.exceptions import ErrorDetail

from orders.api.reading.fields import all_of, refuse


def read_object(sent: Any, known: set[str], *, prefix: str | None = None) -> dict[str, Any]:
    """Return the given members of a JSON object: known ones, and those with this prefix.

    :raises ValidationError: it is no object, or has a member that does not exist.
    """
    if not isinstance(sent, dict):
        raise refuse("body", "not_an_object", "The body is a JSON object.")
    errors = {
        name[:64]: [ErrorDetail("There is no such field.", "unknown_field")]
        for name in sorted(sent)[:50]
        if name not in known and not (prefix is not None and name.startswith(prefix))
    }
    if errors:
        raise all_of(errors)
    return {name: value for name, value in sent.items() if value is not None}


def read_list(given: dict[str, Any], name: str, most: int) -> list[Any]:
    items = given.get(name)
    if not isinstance(items, list):
        raise refuse(name, "invalid_list", "A list.")
    if not 1 <= len(items) <= most:
        raise refuse(name, "out_of_range", f"From 1 to {most}.")
    return items


def read_flag(given: dict[str, Any], name: str) -> bool:
    value = given.get(name, False)
    if not isinstance(value, bool):
        raise refuse(name, "invalid_flag", "true or false.")
    return value
