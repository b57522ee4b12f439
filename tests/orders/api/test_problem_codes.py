"""Every code that an answer or a frame can have is described, and no other one."""

import re

from config.environment.data_folder import PROJECT
from orders.api.problems import CODES, REFUSALS
from orders.api.schema.problem_codes import OTHERS, problem_codes

SOURCES = [
    path.read_text()
    for house in ("config", "orders")
    for path in (PROJECT / house).rglob("*.py")
    if "schema" not in path.parts
]
SAID = re.compile(r"""(?:problem|Refusal)\(\s*(\d{3}),\s*"(\w+)\"""")
NAMED = re.compile(r"""default_code = "(\w+)\"""")
OF_FIELDS = {"invalid_order", "invalid_request"}  # of problems.invalid_fields


def test_each_code_of_the_code_is_described_and_no_other() -> None:
    said = {code for text in SOURCES for _, code in SAID.findall(text)}
    said |= {code for text in SOURCES for code in NAMED.findall(text)}
    said |= {refused.code for refused in REFUSALS.values()} | set(CODES.values()) | OF_FIELDS

    assert {one.code for one in problem_codes()} == said
    assert len(problem_codes()) == len(said)


def test_each_status_of_a_code_is_described() -> None:
    statuses = {one.code: set(one.statuses) for one in problem_codes()}
    for text in SOURCES:
        for status, code in SAID.findall(text):
            assert int(status) in statuses[code], code
    for refused in REFUSALS.values():
        assert refused.status in statuses[refused.code]


def test_a_meaning_is_one_or_more_sentences_without_a_gap_to_fill() -> None:
    for one in problem_codes():
        assert re.fullmatch(r"(It|[A-Z`]).*\.", one.meaning), one
        assert "{" not in one.meaning
        assert "|" not in one.meaning, "a table's cell"
    assert list(OTHERS) == sorted(OTHERS, key=lambda code: (OTHERS[code][0][0],)), "by status"
