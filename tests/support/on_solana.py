"""The engine's processes on a Solana cluster of its own, and how its money is judged."""

import json
import subprocess
import sys
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from solders.pubkey import Pubkey

from routing.solana.addresses import WRAPPED_SOL, associated_token_account
from routing.tokens import TOKENS
from tests.support.engine import Engine, engine

SOL = str(WRAPPED_SOL)
MINTS = {token.symbol: token.mint for token in TOKENS}
EXPIRY_SLOTS = 160
NODES = ("a", "b")
"""What both of them prove is proven."""
ENGINE = {
    "VENUES": "solana",
    "RESEND_SECONDS": "0.5",
    "STATUS_POLL_SECONDS": "0.1",
    "LEASE_SECONDS": "1",
    "ORDER_ATTEMPTS": "8",
}
ORDERS = """
SELECT o.id::text, o.status, o.signature, o.base, o.quote, o.side, o.filled_in, o.filled_out,
  coalesce(array_agg(t.signature) FILTER (WHERE t.signature IS NOT NULL), '{}')
FROM orders o LEFT JOIN order_transactions t ON t.order_id = o.id GROUP BY o.id
"""


@dataclass
class Cluster:
    """A running cluster. Its nodes share one chain, and have faults of their own."""

    url: str
    folder: Path

    @property
    def key_file(self) -> Path:
        return self.folder / "wallet.json"

    @property
    def wallet(self) -> str:
        return str(self.call("cluster_describe")["wallet"])

    def node(self, name: str) -> str:
        return f"{self.url}/node/{name}"

    def call(self, method: str, *params: Any, node: str = "") -> Any:
        url = self.node(node) if node else self.url
        asked = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(url, json.dumps(asked).encode(), headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            told = json.load(answer)
        assert "error" not in told, told
        return told["result"]

    def set_faults(self, node: str, *faults: dict[str, Any]) -> None:
        self.call("cluster_setFaults", list(faults), node=node)

    def holdings(self) -> Counter[str]:
        """Return what the wallet holds by mint, in atoms: SOL without what is wrapped."""
        owner = Pubkey.from_string(self.wallet)
        final = {"commitment": "finalized"}
        held = Counter({"": self.call("getBalance", str(owner), final)["value"]})
        for mint in set(MINTS.values()):
            account = associated_token_account(owner, Pubkey.from_string(mint))
            found = self.call("getTokenAccountBalance", str(account), final)
            held[mint] = int(found["value"]["amount"])
        return held

    def records(self, signatures: Sequence[str]) -> dict[str, Any]:
        """Return the record of each of these transactions that has landed, well or not."""
        options = {"encoding": "base64", "maxSupportedTransactionVersion": 0}
        found = {one: self.call("getTransaction", one, options) for one in signatures}
        return {signature: told["meta"] for signature, told in found.items() if told is not None}


@contextmanager
def cluster_process(folder: Path, *options: str) -> Iterator[Cluster]:
    """Run a cluster whose slots take 40 ms and whose prices stand still, unless options say."""
    command = [sys.executable, "-m", "routing.cluster", "--data", str(folder), "--port", "0"]
    command += ["--slot-ms", "40", "--volatility-bps", "0", "--seed", "a test's", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            words = process.stdout.readline().split()
            yield Cluster(next(word for word in words if word.startswith("http://")), folder)
        finally:
            process.terminate()


@contextmanager
def engine_on(cluster: Cluster, database: str, logs: Path, **changes: str) -> Iterator[Engine]:
    """An engine that trades on the cluster, which has stored the cluster's pools."""
    urls = {
        "SOLANA_RPC_URLS": ",".join(cluster.node(name) for name in NODES),
        "SOLANA_KEY_FILE": str(cluster.key_file),
    }
    with engine(database, logs, **ENGINE | urls | changes) as running:
        running.manage("find_pools", "--store")
        try:
            yield running
        finally:
            running.query("DELETE FROM live_pools")


class Judgement(NamedTuple):
    """What became of all orders, as the chain says."""

    statuses: dict[str, int]
    transactions: int
    landed: int
    """Transactions that traded."""


def judge(running: Engine, cluster: Cluster, before: Counter[str]) -> Judgement:
    """Hold orders and the wallet to the chain, when all orders have ended.

    Each order has traded at most once, by the very transaction that it names, and only if it is
    confirmed. The wallet's moves are the sum of the fills and of the fees, to the atom.
    """
    for node in ("", *NODES):
        cluster.set_faults(node)
    cluster.call("cluster_advance", EXPIRY_SLOTS)  # what was given up too early would land by then
    moved = Counter(cluster.holdings())
    moved.subtract(before)
    expected: defaultdict[str, int] = defaultdict(int)
    statuses: Counter[str] = Counter()
    transactions = landed = 0
    for _, status, signature, base, quote, side, amount_in, amount_out, signed in running.query(
        ORDERS
    ):
        statuses[status] += 1
        transactions += len(signed)
        records = cluster.records(signed)
        expected[""] -= sum(meta["fee"] for meta in records.values())
        traded = [one for one, meta in records.items() if meta["err"] is None]
        landed += len(traded)
        assert traded == ([signature] if status == "confirmed" else []), (status, signature, traded)
        if status == "confirmed":
            given, taken = (base, quote) if side == "sell" else (quote, base)
            expected[place_of(given)] -= amount_in
            expected[place_of(taken)] += amount_out
    differences = {
        place: (moved[place], expected[place])
        for place in {*moved, *expected}
        if moved[place] != expected[place]
    }
    assert differences == {}
    return Judgement(dict(statuses), transactions, landed)


def place_of(symbol: str) -> str:
    """Return where `Cluster.holdings` counts a token."""
    return "" if symbol == "SOL" else MINTS[symbol]
