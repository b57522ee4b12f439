"""Every element of other systems' dialects, and five of them whole, on a real engine."""

import asyncio
import json
from pathlib import Path

from config.environment.data_folder import PROJECT
from tests.dialects import as_table, lost, recorded, replay
from tests.support.engine import engine

DOCUMENT = PROJECT / "docs" / "dialects.md"
RECORDED = Path(__file__).with_name("recorded_dialects.json")
"""What clients of the five systems were told by the release before accounts had streams."""


def test_what_other_systems_send_is_served_as_often_as_the_document_says(
    process_database: str, tmp_path: Path
) -> None:
    with engine(process_database, tmp_path) as running:
        running.worker()
        running.scheduler()
        counts = asyncio.run(replay(running.web().address))

        now = asyncio.run(recorded(running.web().address))

    assert [one.faults for one in counts if one.faults] == []
    assert as_table(counts) in DOCUMENT.read_text()
    then = json.loads(RECORDED.read_text())
    for system, messages in then.items():
        assert len(now[system]) == len(messages)
        assert lost(messages, now[system]) == [], f"what clients of system {system} were told"
