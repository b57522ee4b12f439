"""All that was recorded matches, and the comparison notices one bit that does not."""

import copy
import json
import os
import subprocess
import sys
from collections import Counter
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from config.environment.data_folder import PROJECT
from routing.pools.vector_form import UnreadableVectors
from routing.solana.vectors.comparing import compare_file
from routing.solana.vectors.form import Comparison
from tests.routing.solana.recorded import FILE, RECORDED

COUNTS = {
    "addresses": 12,
    "accounts": 5,
    "instructions": 10,
    "transactions": 1,
    "swaps": 22,
    "fills": 2,
}


def check(*files: Path) -> str:
    shown = StringIO()
    call_command("check_solana_vectors", *map(str, files), stdout=shown)
    return shown.getvalue()


def compare(content: Any, folder: Path) -> list[Comparison]:
    file = folder / "vectors.json"
    file.write_text(json.dumps(content))
    return list(compare_file(file))


def wrong(comparisons: list[Comparison]) -> list[Comparison]:
    return [one for one in comparisons if one.difference or one.unreadable]


def only(section: str, entry: Any, folder: Path) -> Comparison:
    """Compare one entry of a section, beside the accounts that it may need."""
    content = {"accounts": RECORDED["accounts"], section: entry}
    found = [one for one in compare(content, folder) if one.kind != "accounts"]
    assert len(found) == 1
    return found[0]


def test_everything_that_was_recorded_matches_and_is_counted_by_kind() -> None:
    shown = check(FILE)

    assert shown.startswith(f"{FILE}: {sum(COUNTS.values())} matched, 0 differ\n")
    for kind, count in COUNTS.items():
        assert f"  {kind}: {count} matched, 0 differ\n" in shown


def changed(value: Any) -> Any:
    """The same, but for one bit, digit or letter."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, list):
        return [changed(value[0]), *value[1:]]
    if value.lstrip("-").isdigit():
        return str(int(value) + 1)
    return value[:-2] + ("2" if value[-2] != "2" else "3") + value[-1]


def spoilt(content: Any) -> dict[str, Any]:
    """Return the file with one thing changed in every entry."""
    content = copy.deepcopy(content)
    for entry in content["pdas"]:
        entry[3] = RECORDED["transaction"]["public_key"]
    for entry in content["accounts"].values():
        fields = entry.get("fields") or entry
        name = sorted(fields.keys() - {"key", "data"})[-1]
        fields[name] = changed(fields[name]) if name != "bins" else [[1, "1", "1", "1"]]
    for entry in content["instructions"].values():
        if entry["accounts"]:
            entry["accounts"][-1][1] = "" if entry["accounts"][-1][1] else "w"
        else:
            entry["data"] = entry["data"] + "00"
    content["transaction"]["signature"] = "1" * 64
    for entry in content["swaps"]:
        entry["expected"]["amount_out"] = changed(entry["expected"]["amount_out"])
    for entry in content["fills"]:
        mint = sorted(entry["moves"])[-1]
        entry["moves"][mint] = changed(entry["moves"][mint])
    return content


def test_one_thing_changed_in_each_entry_is_noticed_in_each(tmp_path: Path) -> None:
    found = wrong(compare(spoilt(RECORDED), tmp_path))

    assert Counter(one.kind for one in found) == COUNTS
    assert [one.unreadable for one in found if one.unreadable] == []


def test_the_first_few_that_differ_are_shown_and_the_command_fails(tmp_path: Path) -> None:
    file = tmp_path / "changed.json"
    file.write_text(json.dumps(spoilt(RECORDED)))
    shown = StringIO()

    with pytest.raises(CommandError, match=r"1 of 2 files failed") as failure:
        call_command("check_solana_vectors", str(FILE), str(file), stdout=shown)

    assert failure.value.returncode == 1
    assert "changed.json: 0 matched, 52 differ\n" in shown.getvalue()
    assert "  addresses, cpmm authority: the address of its seeds is " in shown.getvalue()
    assert shown.getvalue().endswith("  and 47 more\n")


@pytest.mark.parametrize("account", RECORDED["accounts"])
def test_each_decoded_field_is_compared(account: str, tmp_path: Path) -> None:
    entry = RECORDED["accounts"][account]
    fields = entry.get("fields", {})
    for name in fields:
        other = copy.deepcopy(entry)
        other["fields"][name] = changed(other["fields"][name])
        (found,) = compare({"accounts": {account: other}}, tmp_path)
        assert found.difference.startswith(f"{name} is "), name


@pytest.mark.parametrize("place", range(18))
def test_each_account_of_an_instruction_is_compared(place: int, tmp_path: Path) -> None:
    name, entry = next(
        (name, one) for name, one in RECORDED["instructions"].items() if "dlmm swap2" in name
    )
    entry = copy.deepcopy(entry)
    if place in (0, 4, 5, 10):  # the pair, and what the user chose
        entry["accounts"][place][1] = "sw" if entry["accounts"][place][1] != "sw" else ""
    else:
        entry["accounts"][place][0] = RECORDED["accounts"]["cpmm_pool"]["key"]

    assert f"account {place} is " in only("instructions", {name: entry}, tmp_path).difference


def test_addresses_of_other_programs_follow_from_their_seeds_alone(tmp_path: Path) -> None:
    """The price account of SOL/USD as Pyth had it: a number and the feed's identity."""
    feed = "ef0d8b6fda2ceba41da15d4095d1da392a0d2f8ed0c6c7bc0f4cfac8c280b56d"
    program = "pythWSnswVUd12oZpeFP8e9CVaEqJg25g1Vtc2biRsT"
    address = "7UVimffxr9ow1uXYxsr4LHAcV58mLzhmwaeKvJ1pjLiE"
    entry = ["price of SOL", program, ["u16 little-endian 0", feed], address]

    assert not wrong([only("pdas", [entry], tmp_path)])


def swap(**changes: Any) -> list[Any]:
    return [copy.deepcopy(RECORDED["swaps"][0]) | changes]


def with_bins(rows: list[Any]) -> dict[str, Any]:
    return {"lb_pair": RECORDED["accounts"]["lb_pair"]["data"], "bins": rows}


@pytest.mark.parametrize(
    ("section", "entry", "reason"),
    [
        ("pdas", [["x", "y"]], "it is not [name, program, seeds, address]"),
        ("pdas", [["x", "y", ["a"], "b"]], "the program is 'y', not an address"),
        (
            "pdas",
            [[*RECORDED["pdas"][0][:2], [7], RECORDED["pdas"][0][3]]],
            "7 is no seed",
        ),
        (
            "pdas",
            [[*RECORDED["pdas"][0][:2], ["u16 big-endian 70000"], RECORDED["pdas"][0][3]]],
            "'u16 big-endian 70000' has too few bytes",
        ),
        (
            "instructions",
            {"x": {"program": RECORDED["accounts"]["lb_pair"]["key"], "data": "", "accounts": []}},
            f"we make no instruction of {RECORDED['accounts']['lb_pair']['key']}",
        ),
        (
            "instructions",
            {"x": {"program": RECORDED["pdas"][0][1], "data": "00", "accounts": []}},
            "we make no instruction of this kind",
        ),
        (
            "instructions",
            {"x": {"program": RECORDED["pdas"][0][1], "data": "0", "accounts": []}},
            "the data is no hexadecimal",
        ),
        (
            "pdas",
            [
                [
                    *RECORDED["pdas"][0][:2],
                    ["a text of more than thirty-two bytes"],
                    RECORDED["pdas"][0][3],
                ]
            ],
            "'a text of more than thirty-two bytes' is longer than a seed may be",
        ),
        ("transaction", {"seed": "00"}, "it is no transaction: "),
        ("swaps", swap(venue="dlmm", before=with_bins([[1, 2, 3, 4]])), "a bin is not [id, x, y]"),
        ("swaps", swap(kind="exact_middle"), "kind is 'exact_middle', not exact_in or exact_out"),
        ("swaps", swap(venue="orca"), "venue is 'orca', not cpmm or dlmm"),
        ("swaps", swap(amount="1.5"), "amount is '1.5', not an integer"),
        ("swaps", swap(forward="yes"), "forward is 'yes', not true or false"),
        ("swaps", swap(expected={}), "expected is empty"),
        ("swaps", swap(before={"pool": "?"}), "the pool is no base64"),
        ("fills", [{"owner": "x", "account_keys": [], "moves": {}}], "meta is missing"),
    ],
)
def test_an_entry_that_is_not_of_the_form_is_told_with_the_reason(
    section: str, entry: Any, reason: str, tmp_path: Path
) -> None:
    assert only(section, entry, tmp_path).unreadable.startswith(reason)


def test_a_swap_that_fails_is_compared_with_the_failure(tmp_path: Path) -> None:
    assert only("swaps", swap(amount="1"), tmp_path).difference.endswith(
        "it fails with zero_output"
    )
    failing = swap(amount="1", expected={"error": "zero_output"})
    assert not wrong([only("swaps", failing, tmp_path)])


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        ("token_account", {"amount": None}, "it says nothing of what its bytes hold"),
        ("token_account", {"moon": "1"}, "TokenAccount has no field moon"),
        ("bin_array", {"bins": [[1, 2, 3, 4, 5]] * 70}, "a bin is not [id, amount of x"),
        ("bin_array", {"bins": [[1, 2]] * 70}, "a bin is not [id, amount of x"),
        ("bin_array", {"bins": 5}, "bins is no list"),
        ("lb_pair", {"data": "?"}, "data is no base64"),
        ("lb_pair", {"key": "?"}, "key is '?', not an address"),
    ],
)
def test_an_account_that_is_not_of_the_form_is_told(
    name: str, changes: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    entry = {**RECORDED["accounts"][name], **changes}
    entry = {name: value for name, value in entry.items() if value is not None}

    (found,) = compare({"accounts": {name: entry}}, tmp_path)
    assert found.unreadable.startswith(reason)


def test_what_needs_an_account_that_the_file_lacks_is_told(tmp_path: Path) -> None:
    named = {entry[0]: entry for entry in RECORDED["pdas"]}
    found = compare(
        {
            "pdas": [named["dlmm lb_pair"]],
            "instructions": RECORDED["instructions"],
            "swaps": RECORDED["swaps"][:1],
        },
        tmp_path,
    )

    reasons = [one.unreadable for one in found if one.unreadable]
    assert reasons[0] == "the file has 0 accounts LbPair, not one"
    assert sum("the file has no account of the p" in reason for reason in reasons) == 4
    assert reasons[-1] == "the file has 0 accounts ConfigAccount, not one"


def test_an_account_of_no_known_kind_is_told(tmp_path: Path) -> None:
    entry = {"key": RECORDED["accounts"]["lb_pair"]["key"], "data": "AAAA", "amount": "5"}

    (found,) = compare({"accounts": {"strange": entry}}, tmp_path)
    assert found.unreadable == "3 bytes that begin with 000000 are no known kind"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "it is no JSON"),
        ("[]", "the file is no object"),
        ("{}", "it has none of accounts, fills, instructions, pdas, swaps, transaction"),
        ('{"swaps": [], "moon": 1}', "nothing here compares moon"),
    ],
)
def test_a_file_of_another_form_is_refused(content: str, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "vectors.json"
    file.write_text(content)

    with pytest.raises(UnreadableVectors, match=reason):
        list(compare_file(file))


def test_a_file_without_entries_or_that_is_missing_fails_the_command(tmp_path: Path) -> None:
    empty = tmp_path / "empty.json"
    empty.write_text('{"swaps": []}')

    for file in (empty, tmp_path / "none.json"):
        with pytest.raises(CommandError):
            check(file)


def test_without_the_extra_the_command_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "solders").mkdir()
    (tmp_path / "solders/__init__.py").write_text("raise ModuleNotFoundError(name='solders')")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "manage.py", "check_solana_vectors", str(FILE)]

    ran = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True)

    assert ran.returncode == 1
    assert "This needs the extra `solana` (solders is missing): make .venv/solana" in ran.stderr
    assert "Traceback" not in ran.stderr
