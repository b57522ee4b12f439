"""The tables in docs/sockets.md: close codes, problem codes and frames, made from the code."""

from collections.abc import Iterator
from typing import Any

from orders.api.schema.asyncapi import asyncapi, messages_of
from orders.api.schema.close_codes import Close
from orders.api.schema.problem_codes import problem_codes

BEGIN = "<!-- Made from the code by `.venv/bin/python manage.py describe_api`: begin -->\n"
END = "<!-- end -->\n"
SENT = "you"
TOLD = "engine"


def with_tables(page: str) -> str:
    """Return the page with the tables of today between its two marks.

    :raises ValueError: it has not each mark once.
    """
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{tables()}\n{END}{after}"


def tables() -> str:
    return "\n".join(
        [
            *("### Close codes", "", "| closed with | means |", "|---|---|"),
            *(f"| {code.value} | {code.meaning} |" for code in Close),
            *("", "### Problem codes", "", "| status | `error` | means |", "|---|---|---|"),
            *problem_rows(),
            *("", "### Frames", "", "| frame | from | on | is |", "|---|---|---|---|"),
            *frame_rows(),
            "",
        ]
    )


def problem_rows() -> Iterator[str]:
    for one in problem_codes():
        statuses = ", ".join(map(str, one.statuses))
        yield f"| {statuses} | `{one.code}` | {one.meaning} |"


def frame_rows() -> Iterator[str]:
    """Yield a line for each message of the AsyncAPI document, from each side."""
    document = asyncapi()
    for name, message in document["components"]["messages"].items():
        for action, side in (("receive", SENT), ("send", TOLD)):
            on = [key for key in document["channels"] if name in messages_of(key, action)]
            if on:
                said = message.get("summary", message["title"]).rstrip(".")
                yield f"| {mark_of(name, message)} | {side} | {places_of(on)} | {said}. |"


def places_of(channels: list[str]) -> str:
    """Return the paths of these channels."""
    known = asyncapi()["channels"]
    if {key for key, channel in known.items() if "ws" in channel.get("bindings", ())} == {
        *channels
    }:
        return "every socket"
    return ", ".join(f"`{known[key]['address']}`" for key in channels)


def mark_of(name: str, message: dict[str, Any]) -> str:
    """Return by which members a program knows the message of this name."""
    payload = message["examples"][0]["payload"]
    marks = [
        f'"{member}":"{payload[member]}"'
        for member in ("type", "action", "requestId", "status")
        if member in payload and (member != "status" or payload[member] == name)
    ]
    return f"`{{{','.join(marks)},…}}`" if marks else f"{message['title']}: it has no `type`"
