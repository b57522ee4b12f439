import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from tests.routing.pools.test_vectors import SWAPS, VECTORS


def check(*files: Path) -> str:
    shown = StringIO()
    call_command("check_vectors", *map(str, files), stdout=shown)
    return shown.getvalue()


def test_files_that_match_are_counted() -> None:
    shown = check(*(VECTORS / name for name in SWAPS))

    for name, count in SWAPS.items():
        assert f"{name}: {count} matched, 0 differ\n" in shown


def test_the_first_few_swaps_that_differ_are_shown_and_the_command_fails(tmp_path: Path) -> None:
    content = json.loads((VECTORS / "raydium_cpmm.json").read_text())
    for case in content["cases"][:7]:
        case["expected"]["amount_in"] = "5"
    file = tmp_path / "changed.json"
    file.write_text(json.dumps(content))
    shown = StringIO()

    with pytest.raises(CommandError, match=r"1 of 2 files failed") as failure:
        call_command("check_vectors", str(VECTORS / "meteora_dlmm.json"), str(file), stdout=shown)

    assert failure.value.returncode == 1
    assert "changed.json: 516 matched, 7 differ\n" in shown.getvalue()
    assert shown.getvalue().count("amount_in is") == 5
    assert shown.getvalue().endswith("  and 2 more\n")


def test_a_case_that_cannot_be_read_fails_the_command(tmp_path: Path) -> None:
    content = json.loads((VECTORS / "meteora_dlmm.json").read_text())
    del content["cases"][3]["now"]
    file = tmp_path / "changed.json"
    file.write_text(json.dumps(content))
    shown = StringIO()

    with pytest.raises(CommandError):
        call_command("check_vectors", str(file), stdout=shown)

    assert "719 matched, 0 differ, 1 could not be read" in shown.getvalue()
    assert "case md0003: unreadable: now is None, not an integer" in shown.getvalue()


def test_a_file_that_cannot_be_read_fails_the_command(tmp_path: Path) -> None:
    shown = StringIO()

    with pytest.raises(CommandError):
        call_command("check_vectors", str(tmp_path / "none.json"), stdout=shown)

    assert "cannot be read" in shown.getvalue()
