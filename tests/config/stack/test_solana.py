"""`VENUES=solana`: the whole engine on a Solana of its own, which outlives a kill -9."""

import json
import signal
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from config.environment.data_folder import EmbeddedError
from config.stack import solana
from config.stack.__main__ import running_solana, running_url
from tests.config.conftest import Start, wait_for

ON_SOLANA = {"VENUES": "solana", "DEMO_LOGIN": "0", "ORDER_RATE_LIMIT": "unlimited"}
SALE = {"tokenIn": "SOL", "tokenOut": "USDC", "amount": 1.5}
PATIENCE = 60.0


def call(url: str, body: dict[str, Any] | None = None) -> Any:
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, content, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def started(data_dir: Path) -> str:
    wait_for(lambda: running_url(data_dir) is not None)
    url = running_url(data_dir)
    assert url is not None
    return url


def sold(url: str) -> str:
    return str(call(f"{url}/api/orders/execute", SALE)["orderId"])


def confirmed(url: str, order_id: str) -> Any:
    deadline = time.monotonic() + PATIENCE
    while (order := call(f"{url}/api/orders/{order_id}"))["status"] != "confirmed":
        assert order["failureCode"] is None, order
        assert time.monotonic() < deadline, order
        time.sleep(0.05)
    return order


def test_orders_confirm_with_signatures_that_the_cluster_shows_and_outlive_a_kill(
    start: Start, data_dir: Path
) -> None:
    first = start("up", data_dir=data_dir, **ON_SOLANA)
    url = started(data_dir)
    order_id = sold(url)
    before = confirmed(url, order_id)
    in_flight = [sold(url) for _ in range(5)]

    first.send_signal(signal.SIGKILL)
    first.wait()
    start("up", data_dir=data_dir, **ON_SOLANA)  # at once: it waits for the old servers itself
    wait_for(lambda: json.loads((data_dir / "stack.json").read_text())["pid"] != first.pid)
    url = started(data_dir)
    fills = [before, *(confirmed(url, one) for one in in_flight)]

    signatures = [fill["txHash"] for fill in fills]
    rpc = running_solana(data_dir)["SOLANA_RPC_URLS"]
    asked = {"jsonrpc": "2.0", "id": 1, "method": "getSignatureStatuses"}
    options = {"searchTransactionHistory": True}
    found = call(rpc, asked | {"params": [signatures, options]})["result"]["value"]
    assert len(set(signatures)) == 6
    assert [one["confirmationStatus"] for one in found] == ["finalized"] * 6
    assert [one["err"] for one in found] == [None] * 6


def test_it_is_said_what_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with (
        solana.listen_for_cluster() as listener,
        pytest.raises(EmbeddedError, match=r"make \.venv/solana"),
    ):
        solana.cluster(tmp_path, listener, lock=0)


def test_only_workers_are_told_where_the_key_is() -> None:
    told = {"SOLANA_KEY_FILE": "k", "SOLANA_SIGNER_URL": "u", "SOLANA_RPC_URLS": "r"}
    assert solana.without_secrets(told) == {"SOLANA_RPC_URLS": "r"}
