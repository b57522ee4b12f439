import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders.api.reading.parsers import MalformedJSON, parse_json

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(), some, max_size=3),
)


@given(json_values)
def test_what_another_program_writes_is_read_as_it_was_meant(value: Any) -> None:
    text = json.dumps(value)
    assert parse_json(text) == parse_json(text.encode()) == value


@pytest.mark.parametrize("text", ["0.1", "1e-9", "123456789.123456789123456789", "1E309", "-0.0"])
def test_no_fraction_passes_through_a_float(text: str) -> None:
    number = parse_json(text)
    assert type(number) is Decimal
    assert str(number) == str(Decimal(text))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value"),
        ("{", "property name|trailing comma"),
        ("{}{}", "Extra data"),
        ("{'a': 1}", "property name|trailing comma"),
        ('{"a": 1,}', "property name|trailing comma"),
        ('"\x00"', "Invalid control character"),
        ("\ufeff{}", "BOM"),
        ("NaN", "NaN is not a JSON number"),
        ("[Infinity]", "Infinity is not"),
        ('{"a": -Infinity}', "-Infinity is not"),
        ('{"amount": 1, "amount": 2}', "given twice"),
        ('[{"a": {"b": 1, "b": 1}}]', "given twice"),
        ("9" * 5_000, "digits"),
        ("1e9999999999999999999999", "beyond all measure"),
        ("1e-9999999999999999999999", "beyond all measure"),
        ('{"\\ud800": 1}', "surrogates"),
        ("[" * 30_000, "too deep"),
        ('{"a":' * 10_000, "too deep"),
        (b"\xff\xfe", "decode"),
        (b'{"a": "\xc3("}', "decode"),
        ("{}".encode("utf-16"), "decode"),
        ("{}".encode("utf-16-be"), "Expecting value"),
    ],
)
def test_what_is_no_json_is_refused_with_a_reason(text: str | bytes, reason: str) -> None:
    with pytest.raises(MalformedJSON, match=reason):
        parse_json(text)


@given(st.binary() | st.text(alphabet='{}[]":,\\ud8e+-.0123456789aNI', max_size=40))
def test_whatever_arrives_is_read_or_refused(text: str | bytes) -> None:
    try:
        parse_json(text)
    except MalformedJSON as refused:
        str(refused).encode()
