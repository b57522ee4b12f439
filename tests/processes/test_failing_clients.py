"""What the sockets and the command line tell of orders that fail, on workers with faults."""

import asyncio
from pathlib import Path

from tests.support.engine import engine
from tests.support.shapes import assert_told
from tests.support.transcripts import transcript

QUICK_EXPIRY = {"SIMULATION_EXPIRY_BLOCKS": "1", "SIMULATION_BLOCK_SECONDS": "0.5"}
FAULTS = {
    "price_moved=1": "slippage_exceeded",
    "expiry=1": "never_landed",
    "quote_refused=1": "venues_unavailable",
}


async def test_orders_that_fail_are_told_as_promised(process_database: str, tmp_path: Path) -> None:
    with engine(process_database, tmp_path, **QUICK_EXPIRY) as failing:
        web = failing.web()
        failing.scheduler()
        for faults, code in FAULTS.items():
            worker = failing.worker(SIMULATION_FAULTS=faults)
            order_id = await asyncio.to_thread(web.post)
            messages = await transcript(web.stream_url(order_id))
            assert_told(messages, "orderStream")
            statuses = [message["status"] for message in messages]
            assert (statuses.count("pending"), statuses[-1]) == (3, "failed")
            assert messages[-1]["data"]["failureCode"] == code
            worker.kill()
        ended = await asyncio.to_thread(failing.command, "watch_order", order_id)
        assert ended.returncode == 1
        assert f"Order {order_id} is failed" in ended.stderr
