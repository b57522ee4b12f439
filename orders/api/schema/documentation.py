"""docs/ for programs that read: each file as it is, and `/llms.txt`, which lists the pages.

The list is made from docs/README.md, the index that people read (the form: llmstxt.org). What is
served is what stands in the folder when it is first asked for; a request's path only looks it up.
"""

import re
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path
from posixpath import dirname, normpath
from typing import NamedTuple

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import get_conditional_response
from django.views.decorators.http import require_safe

FRESH_SECONDS = 300  # for which a cache need not ask again
TEXT = "text/plain; charset=utf-8"
TYPES = {
    ".md": "text/markdown; charset=utf-8",
    ".yaml": "application/yaml",
    ".json": "application/json",
    ".http": TEXT,
    ".jsonl": TEXT,
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
"""What is served of docs/, by its suffix: the pages, and what they show and link to."""
INDEX, NO_INDEX = "README.md", "# Order execution engine"
LINK = re.compile(r"(!?)\[([^\]\n]*)\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
FENCED = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)
SCHEMAS = {
    "/api/schema": "OpenAPI 3.1 of every REST path, as JSON; with ?format=yaml as YAML.",
    "/api/schema/asyncapi.yaml": "AsyncAPI 3.0 of every WebSocket: its frames, with examples.",
    "/api/schema/types.ts": "The shapes of both as types for TypeScript.",
    "/api/markets": "The tokens and markets that can be traded now.",
}


class Document(NamedTuple):
    """What is told to all alike."""

    content_type: str
    body: bytes

    @property
    def etag(self) -> str:
        return f'"{sha256(self.body).hexdigest()[:32]}"'


@require_safe
def documentation(request: HttpRequest, name: str = INDEX) -> HttpResponseBase:
    """Answer with a file of docs/, in which each link leads to what is served."""
    try:
        return told(request, document(name))
    except KeyError:
        raise Http404 from None


@require_safe
def llms_txt(request: HttpRequest) -> HttpResponseBase:
    """Answer with what the engine is, and where everything about it can be read."""
    text = "\n".join(listing(request.build_absolute_uri("/").rstrip("/")))
    return told(request, Document(TYPES[".md"], text.encode()))


def told(request: HttpRequest, found: Document) -> HttpResponseBase:
    """Return the document as an answer that caches keep; 304 if the client has it."""
    headers = {"ETag": found.etag, "Cache-Control": f"public, max-age={FRESH_SECONDS}"}
    answer = HttpResponse(found.body, content_type=found.content_type, headers=headers)
    known = get_conditional_response(request, etag=found.etag, response=answer)
    return known or answer


@cache
def files() -> dict[str, Path]:
    """Return what is served of docs/, by its path below it."""
    root = Path(settings.BASE_DIR) / "docs"
    found = sorted(path for path in root.rglob("*") if path.suffix in TYPES and path.is_file())
    return {str(path.relative_to(root)): path for path in found}


@cache
def document(name: str) -> Document:
    """Return a file of docs/.

    :raises KeyError: there is none of this name.
    """
    path = files()[name]
    body = path.read_bytes()
    if path.suffix == ".md":
        body = with_served_links(name, body.decode()).encode()
    return Document(TYPES[path.suffix], body)


def with_served_links(name: str, page: str) -> str:
    """Return the page with each link to a file that is not served as words: its path."""

    def served(link: re.Match[str]) -> str:
        _, label, target = link.groups()
        path = target_of(name, target)
        if path is None or path in files():
            return link[0]
        place = f"`{normpath(f'docs/{path}')}`"
        return place if label.strip("`") in place else f"{label} ({place})"

    parts, at = [], 0
    for block in FENCED.finditer(page):
        parts += [LINK.sub(served, page[at : block.start()]), block[0]]
        at = block.end()
    return "".join([*parts, LINK.sub(served, page[at:])])


def target_of(name: str, target: str) -> str | None:
    """Return where a page's link leads, as a path from docs/; None if not to a file."""
    path = target.partition("#")[0]
    if not path or "://" in path:
        return None
    return normpath(f"{dirname(name)}/{path}".lstrip("/"))


def listing(site: str) -> Iterator[str]:
    """Yield the lines of llms.txt, made from the index; `site` is scheme and host."""
    index = files().get(INDEX)
    before, *chapters = (index.read_text() if index else NO_INDEX).split("\n## ")
    title, *paragraphs = before.strip().split("\n\n")
    yield title
    for summary in paragraphs[:1]:
        yield "\n> " + " ".join(summary.split())
    yield "\n## Schemas\n"
    for path, sentence in SCHEMAS.items():
        yield f"- [{path}]({site}{path}): {sentence}"
    for chapter in chapters:
        heading, _, text = chapter.partition("\n")
        yield f"\n## {heading}\n"
        yield from rows(text, site)
    listed = {INDEX} | {name for chapter in chapters for name, _ in named_in(chapter)}
    if others := [name for name in files() if name.endswith(".md") and name not in listed]:
        yield "\n## Optional\n"
        for name in others:
            yield f"- [{title_of(name)}]({site}/docs/{name}): {first_sentence_of(name)}"


def rows(table: str, site: str) -> Iterator[str]:
    """Yield a line for each page in a table of the index: its title, and what the index says."""
    for name, sentence in named_in(table):
        if name in files():
            said = f"{sentence[:1].upper()}{sentence[1:]}."
            yield f"- [{title_of(name)}]({site}/docs/{name}): {said}"


def named_in(table: str) -> Iterator[tuple[str, str]]:
    """Yield each page that a line of the table begins with, and the words beside it."""
    for pages, words in re.findall(r"^\| (\[.*?) \| (.*) \|$", table, re.MULTILINE):
        sentence = LINK.sub(r"\2", words)
        for link in LINK.finditer(pages):
            yield link[3], sentence


def title_of(name: str) -> str:
    """Return a page's first heading."""
    return files()[name].read_text().partition("\n")[0].lstrip("# ").replace("`", "")


def first_sentence_of(name: str) -> str:
    """Return the first sentence below a page's heading, without its marks."""
    _, _, text = files()[name].read_text().partition("\n\n")
    plain = LINK.sub(r"\2", re.sub(r"\*\*\w+\.\*\* ", "", " ".join(text.split())))
    return plain.partition(". ")[0].rstrip(".") + "."
