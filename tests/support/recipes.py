"""Reads the requests of docs/postman and docs/requests.http, to be sent as their clients would."""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

VARIABLE = re.compile(r"\{\{([\w.]+)\}\}")


@dataclass(frozen=True)
class Recipe:
    """A request as a file has it, and what it says of the answer."""

    name: str
    method: str
    url: str
    headers: dict[str, str]
    body: str | None
    statuses: set[int]
    error: str | None = None
    saves: tuple[str, ...] = ()
    """Variables that get the answer's order id."""
    keeps_as: str | None = None
    """The name under which later requests speak of this answer."""


@dataclass
class Cook:
    """Sends recipes one after another, with the variables that earlier ones set."""

    variables: dict[str, str]
    codes: dict[str, int] = field(default_factory=dict)

    def send(self, recipe: Recipe) -> tuple[int, Any]:
        """Return the answer's status and body.

        :raises KeyError: the recipe uses a variable that nothing has set.
        """
        request = urllib.request.Request(
            self._filled_in(recipe.url),
            None if recipe.body is None else self._filled_in(recipe.body).encode(),
            recipe.headers,
            method=recipe.method,
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                status, body = answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                status, body = error.code, json.load(error)
        for name in recipe.saves:
            self.variables[name] = body["orderId"]
        if recipe.keeps_as and "orderId" in body:
            self.variables[f"{recipe.keeps_as}.response.body.orderId"] = body["orderId"]
        return status, body

    def _filled_in(self, text: str) -> str:
        return VARIABLE.sub(lambda found: self.variables[found[1]], text)


def postman(path: Path) -> tuple[list[Recipe], dict[str, str]]:
    """Return the requests of a collection in their order, and its variables."""
    collection = json.loads(path.read_text())
    assert collection["info"]["schema"].endswith("/v2.1.0/collection.json")
    variables = {one["key"]: one["value"] for one in collection["variable"] if one["value"]}
    return [_of_postman(item) for item in _leaves(collection["item"])], variables


def _leaves(items: list[Any]) -> Iterator[Any]:
    for item in items:
        if "item" in item:
            yield from _leaves(item["item"])
        else:
            yield item


def _of_postman(item: Any) -> Recipe:
    request = item["request"]
    script = "\n".join(
        line
        for event in item["event"]
        if event["listen"] == "test"
        for line in event["script"]["exec"]
    )
    one = re.findall(r"to\.have\.status\((\d+)\)", script)
    several = re.findall(r"response\.code\)\.to\.be\.oneOf\(\[([\d, ]+)\]\)", script)
    error = re.findall(r'json\(\)\.error\)\.to\.eql\("(\w+)"\)', script)
    return Recipe(
        name=item["name"],
        method=request["method"],
        url=request["url"]["raw"],
        headers={one["key"]: one["value"] for one in request["header"]},
        body=request.get("body", {}).get("raw"),
        statuses={int(code) for group in (*one, *several) for code in group.split(",")},
        error=error[0] if error else None,
        saves=tuple(
            re.findall(
                r'collectionVariables\.set\("(\w+)", pm\.response\.json\(\)\.orderId\)', script
            )
        ),
    )


def http_file(path: Path) -> tuple[list[Recipe], dict[str, str]]:
    """Return the requests of a .http file, and its variables."""
    head, *parts = re.split(r"^### ?(.*)$", path.read_text(), flags=re.MULTILINE)
    variables = dict(re.findall(r"^@(\w+) *= *(.*)$", head, re.MULTILINE))
    names, texts = parts[::2], parts[1::2]
    found = [_of_http(name, text.strip()) for name, text in zip(names, texts, strict=True)]
    return found, variables


def _of_http(name: str, text: str) -> Recipe:
    notes = dict(re.findall(r"^# ?@?(name|Expect:) (.*)$", text, re.MULTILINE))
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    head, _, body = "\n".join(lines).strip().partition("\n\n")
    first, *headers = head.splitlines()
    method, url = first.split(" ", 1)
    return Recipe(
        name=name,
        method=method,
        url=url,
        headers=dict(line.split(": ", 1) for line in headers),
        body=body or None,
        statuses={int(code) for code in notes["Expect:"].split(" or ")},
        keeps_as=notes.get("name"),
    )
