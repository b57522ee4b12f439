"""docs/ is served as text, listed in /llms.txt, and each link of a served page leads on."""

import re
from pathlib import Path

import pytest
from django.test import override_settings

from config.environment.data_folder import PROJECT
from orders.api.schema import documentation
from orders.api.schema.documentation import FENCED, LINK, files, target_of
from tests.support.client import Answer, get, request

DOCS = PROJECT / "docs"
PAGES = sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))
SECRETS = ("manage.py", ".env", ".env.example", "pyproject.toml", "config/settings.py", "README.md")


def links_of(text: str) -> list[str]:
    return [link[3] for link in LINK.finditer(FENCED.sub("", text))]


async def page(name: str) -> Answer:
    answer = await get(f"/docs/{name}")
    assert answer.status == 200, name
    return answer


async def test_the_list_has_the_form_that_programs_read() -> None:
    answer = await get("/llms.txt")
    first, *chapters = answer.text.split("\n## ")

    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    assert re.fullmatch(r"# Order execution engine\n\n> A self-hosted .*\.\n", first)
    assert [one.partition("\n")[0] for one in chapters][-1] == "Optional"
    for chapter in chapters:
        lines = chapter.partition("\n\n")[2].strip().splitlines()
        assert lines
        for line in lines:
            assert re.fullmatch(r"- \[[^\]]+\]\(http://testserver/\S+\): .+\.", line), line


async def test_the_list_has_each_page_of_docs_once_and_all_it_names_is_served() -> None:
    listed = links_of((await get("/llms.txt")).text)
    named = [target.removeprefix("http://testserver/docs/") for target in listed]

    assert sorted(name for name in named if "://" not in name) == sorted({*PAGES} - {"README.md"})
    for target in listed:
        answer = await get(target.removeprefix("http://testserver"))
        assert answer.status == 200, target


@pytest.mark.parametrize("name", PAGES)
async def test_each_page_is_told_as_text_and_its_links_lead_to_what_is_served(name: str) -> None:
    answer = await page(name)
    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    for target in links_of(answer.text):
        path = target_of(name, target)
        if path is not None:
            await page(path)

    written = (DOCS / name).read_text()
    assert FENCED.findall(answer.text) == FENCED.findall(written)
    assert re.findall("^#.*$", answer.text, re.MULTILINE) == re.findall(
        "^#.*$", written, re.MULTILINE
    )


async def test_a_link_to_code_becomes_the_name_of_its_file() -> None:
    answer = await page("decisions/0008-one-json-parameter-per-batch.md")
    assert "../" not in answer.text
    architecture = await page("architecture.md")
    assert "`orders/api/entry.py`, `orders/api/views.py`, " in architecture.text


async def test_a_page_is_kept_by_caches_and_told_again_only_when_it_changed() -> None:
    for path in ("/llms.txt", "/docs/sockets.md", "/docs/picture.png"):
        first = await get(path)
        tag = first.headers["etag"]
        for held in (tag, f"W/{tag}", f'"other", {tag}'):
            again = await get(path, if_none_match=held)
            assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
            assert again.headers["cache-control"] == "public, max-age=300"
        assert (await get(path, if_none_match='"other"')).body == first.body
        head = await request("HEAD", path)
        assert head.status == 200  # the server leaves the body out
        for name in ("etag", "content-length", "content-type", "cache-control"):
            assert head.headers[name] == first.headers[name]


async def test_pages_carry_what_every_answer_carries() -> None:
    live = await get("/")
    kept = ("x-content-type-options", "x-frame-options", "content-security-policy")
    kept += ("referrer-policy", "cross-origin-opener-policy")
    for path in ("/llms.txt", "/docs/", "/docs/api.md", "/docs/pictures/stop.svg"):
        answer = await get(path)
        assert {name: answer.headers[name] for name in kept} == {
            name: live.headers[name] for name in kept
        }
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "path",
    [
        *(f"/docs/../{name}" for name in SECRETS),
        *(f"/docs/..%2f{name}" for name in SECRETS),
        *(f"/docs/deployment/../../{name}" for name in SECRETS),
        *(f"/docs/.//..//{name}" for name in SECRETS),
        f"/docs/{PROJECT}/manage.py",
        f"/docs//{PROJECT}/manage.py",
        *("/docs/..", "/docs/.", "/docs//", "/docs/deployment", "/docs/deployment/"),
        *("/docs/API.md", "/docs/api.md/", "/docs/api", "/docs/api.md%00", "/docs/%2e%2e/.env"),
        *("/docs/..%5c.env", "/docs/deployment/systemd/order-engine-web.service"),
        "/docs/deployment/nginx.conf",
    ],
)
async def test_nothing_but_pages_is_told(path: str) -> None:
    answer = await get(path)
    assert (answer.status, answer.json["error"]) == (404, "not_found")
    assert answer.headers["cache-control"] == "no-store"


async def test_pages_are_only_read() -> None:
    for method in ("POST", "PUT", "DELETE"):
        assert (await request(method, "/docs/api.md")).status in (403, 405)
        assert (await request(method, "/llms.txt")).status in (403, 405)


async def test_an_engine_without_its_docs_says_so(tmp_path: Path) -> None:
    """Such as an image that somebody made without them."""
    try:
        with override_settings(BASE_DIR=tmp_path):
            files.cache_clear()
            documentation.document.cache_clear()
            assert (await get("/docs/api.md")).status == 404
            answer = await get("/llms.txt")
            assert answer.status == 200
            assert "/api/schema" in answer.text
            assert "/docs/" not in answer.text
    finally:
        files.cache_clear()
        documentation.document.cache_clear()


def test_an_image_has_the_docs() -> None:
    assert "\nCOPY docs docs\n" in (PROJECT / "Dockerfile").read_text()
    assert "!docs" in (PROJECT / ".dockerignore").read_text().splitlines()
