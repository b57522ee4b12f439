"""Every vector matches to the atom, and the comparison notices when one does not."""

import json
from pathlib import Path
from typing import Any

import pytest

from routing.pools.vector_form import UnreadableVectors
from routing.pools.vectors import compare_file

VECTORS = Path(__file__).parents[2] / "vectors"
SWAPS = {
    "raydium_cpmm.json": 523,
    "raydium_cpmm_sequences.json": 160,
    "meteora_dlmm.json": 720,
    "meteora_dlmm_sequences.json": 240,
}


@pytest.mark.parametrize("name", SWAPS)
def test_every_vector_matches_to_the_atom(name: str) -> None:
    comparisons = list(compare_file(VECTORS / name))

    assert [one for one in comparisons if one.difference or one.unreadable] == []
    assert len(comparisons) == SWAPS[name]


def swaps(content: dict[str, Any]) -> list[dict[str, Any]]:
    steps = (step for sequence in content.get("sequences", ()) for step in sequence["steps"])
    return [*content.get("cases", ()), *steps]


def changed(value: Any) -> Any:
    """The same, but for one atom."""
    if isinstance(value, list):
        return [*value[:-1], changed(value[-1])]
    try:
        return type(value)(int(value) + 1)
    except ValueError:
        return f"not_{value}"


@pytest.mark.parametrize("name", SWAPS)
def test_one_atom_more_is_noticed_in_every_expected_value(name: str, tmp_path: Path) -> None:
    content = json.loads((VECTORS / name).read_text())
    count = 0
    for number, swap in enumerate(swaps(content)):
        fields = sorted(swap["expected"])
        field = fields[number % len(fields)]
        swap["expected"][field] = changed(swap["expected"][field])
        count += 1
    file = tmp_path / name
    file.write_text(json.dumps(content))

    assert [one.swap for one in compare_file(file) if not one.difference] == []
    assert count == SWAPS[name]


@pytest.fixture
def case() -> dict[str, Any]:
    """A swap that matches."""
    content = json.loads((VECTORS / "raydium_cpmm.json").read_text())
    return next(case for case in content["cases"] if "error" not in case["expected"])


def only(content: Any, folder: Path) -> Any:
    """Compare a file of one swap."""
    file = folder / "vectors.json"
    file.write_text(json.dumps(content))
    (comparison,) = compare_file(file)
    return comparison


def test_a_swap_that_fails_though_it_should_not_differs(
    case: dict[str, Any], tmp_path: Path
) -> None:
    case["amount"] = "1"

    comparison = only({"cases": [case]}, tmp_path)

    assert comparison.difference == "it fails with zero_output"


def test_a_swap_that_should_fail_and_does_not_differs(case: dict[str, Any], tmp_path: Path) -> None:
    case["expected"] = {"error": "math"}

    comparison = only({"cases": [case]}, tmp_path)

    assert comparison.difference == "error is nothing, expected math"


def test_a_value_that_nothing_computes_differs(case: dict[str, Any], tmp_path: Path) -> None:
    case["expected"]["moon_phase"] = "1"

    comparison = only({"cases": [case]}, tmp_path)

    assert comparison.difference == "moon_phase is nothing, expected 1"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kind": "exact_middle"}, "kind is 'exact_middle', not exact_in or exact_out"),
        ({"amount": "1.5"}, "amount is '1.5', not an integer"),
        ({"amount": 1.5}, "amount is 1.5, not an integer"),
        ({"amount": "-1"}, "amount is negative"),
        ({"expected": {}}, "expected is empty"),
        ({"expected": None}, "expected is missing"),
        ({"zero_for_one": "yes"}, "the direction is 'yes', not true or false"),
        ({"pool": 7}, "pool is no object"),
        (
            {"pool": {"depth": 3}},
            "a pool has bins, vault_0 and vault_1, or input_ and output_reserve",
        ),
        ({"pool": {"input_reserve": "5"}}, "output_reserve is None, not an integer"),
        (
            {"pool": {"input_reserve": "5", "creator_fee_on_input": "no"}},
            "creator_fee_on_input is 'no', not true or false",
        ),
    ],
)
def test_a_case_that_is_not_of_the_form_is_told_with_the_reason(
    change: dict[str, Any], reason: str, case: dict[str, Any], tmp_path: Path
) -> None:
    comparison = only({"cases": [case | change]}, tmp_path)

    assert comparison.unreadable == reason


def bin_case(**pool: Any) -> dict[str, Any]:
    content = json.loads((VECTORS / "meteora_dlmm.json").read_text())
    case: dict[str, Any] = content["cases"][-1]
    case["pool"] = content["pools"][case.pop("pool_name")] | pool
    return {"cases": [case]}


def test_a_case_may_contain_its_pool_of_bins(tmp_path: Path) -> None:
    comparison = only(bin_case(), tmp_path)

    assert (comparison.difference, comparison.unreadable) == ("", "")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"bins": [[1, "2"]]}, "[1, '2'] is no bin: [id, amount of x, amount of y]"),
        ({"bins": [[1, "2", "0"], [1, "3", "0"]]}, "two bins have one id"),
        ({"bins": [[1, "-2", "0"]]}, "a bin has a negative amount"),
        ({"collect_fee_mode": 7}, "collect_fee_mode is 7, which has no meaning"),
        ({"v": None}, "v is missing"),
        ({"base_fee_power_factor": 10**30}, "base_fee_power_factor is above 255"),
    ],
)
def test_a_pool_of_bins_that_is_not_of_the_form_is_told_with_the_reason(
    change: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    assert only(bin_case(**change), tmp_path).unreadable == reason


def test_a_pool_by_a_name_that_is_none_is_told(tmp_path: Path) -> None:
    content = bin_case()
    del content["cases"][0]["pool"]

    comparison = only(content | {"cases": [content["cases"][0] | {"pool_name": [7]}]}, tmp_path)

    assert comparison.unreadable == "pool [7] is missing"


def test_a_closed_pool_refuses_every_swap(tmp_path: Path) -> None:
    content = bin_case(status=1)
    content["cases"][0]["expected"] = {"error": "pool_disabled"}

    assert only(content, tmp_path).difference == ""


def test_a_step_that_should_fail_leaves_the_pool_as_it_was(tmp_path: Path) -> None:
    content = json.loads((VECTORS / "raydium_cpmm_sequences.json").read_text())
    sequence = content["sequences"][0]
    vault = [sequence["vault_0"], sequence["vault_1"]]
    expected = {"error": "zero_output", "vault": vault, "fund_fee": ["0", "0"]}
    failing = sequence["steps"][0] | {"amount": "1", "expected": expected}
    sequence["steps"].insert(0, failing | {"zero_for_one": True})
    file = tmp_path / "vectors.json"
    file.write_text(json.dumps(content))

    assert [one for one in compare_file(file) if one.difference or one.unreadable] == []


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '"cases"', "{}", '{"cases": []}', '{"cases": {}}', "[" * 10**5],
    ids=lambda text: text[:12],
)
def test_a_file_without_swaps_cannot_be_read(text: str, tmp_path: Path) -> None:
    file = tmp_path / "vectors.json"
    file.write_text(text)

    with pytest.raises(UnreadableVectors):
        list(compare_file(file))


def test_a_missing_file_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UnreadableVectors):
        list(compare_file(tmp_path / "none.json"))
