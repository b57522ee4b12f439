"""Workers are killed in the middle of real transactions, on nodes that lose, delay and deny.

`SOLANA_CHAOS_ORDERS=500` has it go on for longer, and `SOLANA_CHAOS_SEED` look elsewhere.
"""

import os
from pathlib import Path

from tests.support.on_solana import cluster_process
from tests.support.solana_chaos import chaos

ORDERS = int(os.environ.get("SOLANA_CHAOS_ORDERS", "60"))
SEED = int(os.environ.get("SOLANA_CHAOS_SEED", "7"))


def test_no_order_trades_twice_and_the_wallet_has_the_sum_of_all_fills(
    process_database: str, tmp_path: Path
) -> None:
    with cluster_process(tmp_path / "chain") as cluster:
        kills = ORDERS // 10
        judged = chaos(cluster, process_database, tmp_path, SEED, orders=10 * kills, kills=kills)

    print(judged)
    assert sum(judged.statuses.values()) == 10 * kills
    assert judged.landed == judged.statuses["confirmed"] > 8 * kills
