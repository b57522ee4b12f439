"""A short run of `make abuse`, and that its judgement can fail. The long one is run by hand."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.abuse.attacks import KINDS
from tests.abuse.honest import Order
from tests.abuse.run import MOST_GROWTH_MB, MOST_TIMES, Figures, Options, confirmed, run

SHORT = Options(seed=7, quiet=3, seconds=8, kinds=tuple(KINDS))
ENDED = Order(accepted=0.01, ended=1.0, last="confirmed")
QUIET = Figures([ENDED], [ENDED], [ENDED], (100.0, 110.0, 105.0), 0)


async def test_a_short_attack_by_all_means_loses_no_honest_order(tmp_path: Path) -> None:
    """How long orders took is not asked: other tests have their part of the machine."""
    found = await run(SHORT, tmp_path, behind_nginx=False)

    for orders in (found.before, found.under, found.after):
        assert confirmed(orders) == len(orders) > 0, found.lines()
    assert [fault for fault in found.faults() if " was " not in fault] == []
    assert found.answers.keys() == set(KINDS)
    refused = Counter[str]()  # the attack came, and was refused
    for told in found.answers.values():
        refused.update(told)
    assert refused["429"] > 0, found.answers


@pytest.mark.parametrize(
    ("spoilt", "fault"),
    [
        (
            replace(QUIET, under=[replace(ENDED, last="pending", ended=None)]),
            "1 orders under attack were ['pending']",
        ),
        (
            replace(QUIET, after=[replace(ENDED, ended=MOST_TIMES + 0.1)]),
            "p50 afterwards was 2.1 times as long",
        ),
        (
            replace(QUIET, memory=(100.0, 100.0 + MOST_GROWTH_MB + 1, 100.0)),
            "web grew by 201 MB",
        ),
        (replace(QUIET, open_after=31), "web still had 31 descriptors more than before"),
        (replace(QUIET, failures=2), "web failed at 2 requests"),
    ],
    ids=["lost", "slow", "fat", "open", "failed"],
)
def test_each_damage_is_a_fault(spoilt: Figures, fault: str) -> None:
    assert QUIET.faults() == []
    assert fault in spoilt.faults()
