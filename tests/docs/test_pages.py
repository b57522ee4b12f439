"""README is short and in order, each page is in the index, and each link leads somewhere."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from config.environment.data_folder import PROJECT

README = (PROJECT / "README.md").read_text()
DOCS = PROJECT / "docs"
INDEX = (DOCS / "README.md").read_text()
GLOSSARY = (DOCS / "glossary.md").read_text()
CLIENT = PROJECT / "client/README.md"
PAGES = [CLIENT, *sorted(PROJECT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)(?:\s+\"([^\"]*)\")?\)")
FENCED = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)
MOST_WORDS = 1000
CHAPTERS = [
    "Two commands",
    "One order",
    "Orders that wait",
    "What it promises",
    "How it works",
    "Documentation",
    "Contributing",
]
SAID_EARLY = [  # what the service is, and all that a person types to try and to extend it
    *("REST API with a browsable UI", "WebSocket per order", "Django admin"),
    *("make up", "make test", "make demo", "celery -A config worker"),
]
OURS = {
    *("bell", "hint", "journal", "lease", "carrier", "seq", "bound", "claim", "round", "resync"),
    *("sender", "share", "turn", "door", "witness", "lookout", "case file", "route limits"),
    *("crash point", "dialect"),
}
MISLEADING = [
    r"\bnobody\b",  # an anonymous sender is "anonymous", and a program is no person
    r"\b(?:told|tells?|telling) of\b",
    r"\bwhoever\b",
    r"(?:^|[.;:] )Who (?!may do what)(?![^.]*\?)",  # "Who asks is answered": say what asks
    r"\bhimself\b",
]
IN_CODE = {"route limits": "constraints"}
"""Words that the code spells differently."""


def links_of(page: Path) -> list[tuple[str, str]]:
    """Return where each link of a page leads, and its title."""
    return LINK.findall(FENCED.sub("", page.read_text()))


def anchors_of(page: Path) -> set[str]:
    """Return what the headings of a page are called in a link."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", page.read_text()), re.MULTILINE)
    kept = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in kept}


def name_of(page: Path) -> str:
    return str(page.relative_to(PROJECT))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_to_a_file_and_to_a_heading_of_it(page: Path) -> None:
    for target, _ in links_of(page):
        if "://" in target:
            continue
        path, _, anchor = unquote(target).partition("#")
        found = page.parent / path if path else page
        assert found.exists(), target
        assert not anchor or anchor in anchors_of(found), target


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_that_names_a_test_leads_to_its_file(page: Path) -> None:
    for target, title in links_of(page):
        if title.startswith("test_"):
            defined = re.findall(r"def (test_\w+)\(", (page.parent / target).read_text())
            assert title in defined, target


def test_every_page_has_its_line_in_the_index() -> None:
    lines = [line for line in INDEX.splitlines() if line.startswith("| [")]
    listed = [target for line in lines for target, _ in LINK.findall(line.split(" | ")[0])]
    pages = [*DOCS.glob("*.md"), *(DOCS / "deployment").glob("*.md")]
    wanted = {str(page.relative_to(DOCS)) for page in pages} - {"README.md"}

    assert wanted <= set(listed)
    assert len(listed) == len(set(listed))
    assert all(line.rstrip("| ").count(" | ") == 1 for line in lines)


def test_the_readme_is_read_in_a_few_minutes() -> None:
    assert len(README.split()) <= MOST_WORDS


def test_the_readme_says_first_what_it_is_and_then_each_thing_in_its_turn() -> None:
    before, *_ = README.split("\n## ")
    assert re.findall(r"^## (.*)$", README, re.MULTILINE) == CHAPTERS
    assert re.findall(r"^!\[.*\]\((.*)\)$", before, re.MULTILINE) == ["docs/picture.png"]
    assert before.index("**The venues and the network are simulated**") < before.index("![")
    assert len(re.findall(r"^```mermaid$", README, re.MULTILINE)) == 1


@pytest.mark.parametrize("words", SAID_EARLY)
def test_the_readme_says_before_the_first_order(words: str) -> None:
    assert words in " ".join(README.split("\n## One order")[0].split())


def test_every_promise_of_the_readme_leads_to_the_test_that_holds_it() -> None:
    promises = README.partition("\n## What it promises\n")[2].partition("\n## ")[0]
    lines = re.findall(r"^- (?:.*\n)(?:  .*\n)*", promises, re.MULTILINE)

    assert len(lines) >= 10
    for line in lines:
        named = [target for target, title in LINK.findall(line) if title.startswith("test_")]
        assert named, line
        assert all(target.startswith("tests/") for target in named), line


@pytest.mark.parametrize("page", [one for one in PAGES if one.name != "CHANGELOG.md"], ids=name_of)
def test_no_page_uses_a_word_that_says_the_opposite_or_nothing(page: Path) -> None:
    prose = re.sub(r"`[^`\n]*`", "", FENCED.sub("", page.read_text()))
    found = [re.findall(words, prose, re.MULTILINE | re.IGNORECASE) for words in MISLEADING]
    assert found == [[] for _ in MISLEADING]


def glossary() -> dict[str, Path]:
    """Return each word that the glossary defines, with the file that owns it."""
    rows = re.findall(
        r"^\| ([a-z ]+) \| [A-Z].*[.?] \| \[.*\]\((\S+)\) \|$", GLOSSARY, re.MULTILINE
    )
    return {word: DOCS / target for word, target in rows if word != "word"}


def test_the_glossary_has_the_words_that_are_ours_in_order() -> None:
    assert set(glossary()) >= OURS
    assert list(glossary()) == sorted(glossary())
    assert len(glossary()) == len(re.findall(r"^\| [a-z].*\]\(", GLOSSARY, re.MULTILINE))


@pytest.mark.parametrize(("word", "owner"), glossary().items(), ids=glossary())
def test_the_file_that_owns_a_word_exists_and_uses_it(word: str, owner: Path) -> None:
    text = f"{owner.stem} {owner.read_text()}".lower().replace("_", " ")
    assert owner.suffix == ".py"
    assert re.search(rf"\b{IN_CODE.get(word, word)}s?\b", text)
