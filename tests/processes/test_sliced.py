"""TWAPs in schedulers that are killed between any two effects: each slot has one slice."""

import signal
from collections.abc import Iterator

import pytest

from tests.support.checker import load, violations
from tests.support.engine import Engine, engine, wait_for
from tests.support.resting import order_of_type

SLICES = 5
SECONDS = 3
MADE = "SELECT slice FROM orders WHERE parent_id = %s ORDER BY slice"
ON_ITS_WAY = "SELECT count(*) FROM orders WHERE finished_at IS NULL"
LEFT = {"after_slice_stored": 0, "after_slice": 1}
"""By the point at which a scheduler dies: how many slices it leaves behind."""


@pytest.fixture
def running(process_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with engine(process_database, tmp_path_factory.mktemp("sliced")) as found:
        yield found


def test_two_schedulers_and_kill_9_at_each_point_a_slot_has_one_slice(running: Engine) -> None:
    more = {"slices": SLICES, "intervalSeconds": SECONDS, "catchUp": "spread"}
    order = order_of_type("twap", more=more, slippage_bps=1000)
    running.store(order)
    for point, left in LEFT.items():
        dying = running.scheduler(CRASH_AT=point)
        assert dying.wait() == -signal.SIGKILL, dying.output
        assert len(running.query(MADE, order.id)) == left
    running.worker()
    running.scheduler()
    running.scheduler()
    wait_for(lambda: running.value(ON_ITS_WAY) == 0, what="the end of the TWAP")

    made = [slot for (slot,) in running.query(MADE, order.id)]
    assert len(set(made)) == len(made)
    facts = load(running.conninfo)
    assert violations(facts) == []
    ((status, filled),) = running.query(
        "SELECT status, filled_in FROM orders WHERE id = %s", order.id
    )
    total = running.value(
        "SELECT coalesce(sum(filled_in), 0)::bigint FROM orders WHERE parent_id = %s", order.id
    )
    assert filled == total
    assert (status == "confirmed") == (total == order.amount_in)
    slots = running.value(
        "SELECT jsonb_agg(data->'slice' ORDER BY seq) FROM order_events"
        " WHERE order_id = %s AND event = 'slice'",
        order.id,
    )
    assert slots == made
