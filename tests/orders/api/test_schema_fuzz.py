"""Schemathesis sends what the OpenAPI schema allows and what it does not, as three clients.

No answer is 5xx or other than the schema says, no refused order is stored, and none of it shows or
changes what is another's.
"""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from tests.support.accounts import make_account
from tests.support.engine import SELL, Web, engine

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("schemathesis") is None,
    reason="schemathesis is not installed: `make test` brings it",
)

SEED = os.environ.get("FUZZ_SEED", "20261121")
SECONDS = os.environ.get("FUZZ_SECONDS")  # for each client; without, each way is tried once
ENOUGH = 50  # requests
BRIEFLY = (
    *("--phases", "examples,fuzzing"),
    *("--exclude-path-regex", "^/(orders|execute)|^/api/orders/stream$"),  # a stream never ends
)
WAYS = {  # the owner's come furthest, and try each way to be wrong, at one name of a door
    "owner": (
        *("--phases", "examples,coverage,fuzzing"),
        *("--exclude-path-regex", r"^/(orders|execute)|^/api/orders/(execute|stream)$"),
    ),
    "other": BRIEFLY,
    "nobody": BRIEFLY,
}
PRICES = """
INSERT INTO price_ticks (pair, tick, bid, ask, reference)
SELECT 'SOL/USDC', extract(epoch FROM now())::bigint + second, 100, 100, 100
FROM generate_series(-1, 3600) AS second ON CONFLICT DO NOTHING
RETURNING 1
"""
CHECKS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance"),
    *("response_schema_conformance", "response_headers_conformance", "negative_data_rejection"),
    "unsupported_method",
)
OPTIONS = (
    *(("--max-time", SECONDS) if SECONDS else ("--max-examples", "5")),
    *("--seed", SEED, "--generation-database", "none", "--no-shrink", "--continue-on-failure"),
    *("--suppress-health-check", "all", "--no-color", "--warnings", "off", "--report", "har"),
    *("--request-timeout", "60"),
)


def fuzz(
    web: Web, order_id: str, folder: Path, headers: dict[str, str], ways: Sequence[str]
) -> list[Any]:
    """Run Schemathesis, with this order wherever one is named, and return all exchanges."""
    (folder / "schemathesis.toml").write_text(f'[parameters]\norder_id = "{order_id}"\n')
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file"]
    command += [str(folder / "schemathesis.toml"), "run", f"http://{web.address}/api/schema"]
    command += [*OPTIONS, *ways, "--checks", ",".join(CHECKS)]
    command += ["--report-har-path", str(folder / "har")]
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    patience = 600 + float(SECONDS or 0)
    ended = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=patience, check=False
    )
    assert ended.returncode == 0, ended.stdout[-6000:] + ended.stderr[-2000:]
    found: list[Any] = json.loads((folder / "har").read_text())["log"]["entries"]
    return found


@pytest.mark.parametrize("who", ["owner", "other", "nobody"])
def test_requests_out_of_the_schema_are_answered_as_it_says(
    who: str, process_database: str, tmp_path: Path
) -> None:
    limits = {"MAX_BACKLOG": "100000", "REDIS_URL": settings.REDIS_URL}
    with engine(process_database, tmp_path, **limits) as running:
        web = running.web()
        owner = make_account(running.conninfo)
        answer = web.request("/execute", SELL, **owner.headers)
        order_id = answer.body["orderId"]
        headers = {"owner": owner.headers, "nobody": {}}.get(who)
        if headers is None:
            headers = make_account(running.conninfo).headers
        running.value(PRICES)
        exchanges = fuzz(web, order_id, tmp_path, headers, WAYS[who])
        assert len(exchanges) >= ENOUGH
        accepted = sum(one["response"]["status"] == 201 for one in exchanges if is_entry(one))
        assert accepted > 0
        stored = "SELECT count(DISTINCT coalesce(group_id, id))::int FROM orders"
        assert running.value(stored) == 1 + accepted + sum(map(stored_together, exchanges))
        assert "Traceback" not in web.output
        if who != "owner":
            shown = [one["response"]["content"].get("text", "") for one in exchanges]
            assert not any('"amountIn":"1.5"' in text and order_id in text for text in shown)
            found = web.request(f"/api/orders/{order_id}", **owner.headers)
            assert (found.body["status"], found.body["seq"]) == ("pending", 1)


def stored_together(exchange: Any) -> int:
    """Return how many orders of a batch were stored; none if it was no batch."""
    if exchange["response"]["status"] != 207:
        return 0
    answers = json.loads(exchange["response"]["content"]["text"])
    return sum(one["status"] == 201 for one in answers)


def is_entry(exchange: Any) -> bool:
    return "/ws-tickets" not in exchange["request"]["url"]
