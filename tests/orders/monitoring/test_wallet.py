"""Health, metrics and the start page show the wallet, and warn before it runs out."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from django.db import connection

from orders.admin_pages.operations_page import wallet_rows
from orders.engine.wallet import watching
from orders.engine.wallet.limits import UNIT_ATOMS
from orders.monitoring import metrics
from orders.monitoring.health import Probes
from orders.monitoring.wallet import WalletState
from routing.tokens import USDC
from tests.routing.solana.signers import KeyInMemory
from tests.support.database import Database
from tests.support.local_cluster import Client, local_cluster

SOL = 10**9

pytestmark = pytest.mark.usefixtures("engine_loop", "redis_client")


@pytest_asyncio.fixture
async def node(settings: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    async with local_cluster() as client:
        await client.advance(2)
        settings.VENUES, settings.SOLANA_RPC_URLS = "solana", (client.url,)
        monkeypatch.setattr(watching, "signer", lambda: KeyInMemory(client.wallet))
        yield client


async def once(deed: Any) -> Any:
    def do() -> Any:
        try:
            return deed()
        finally:
            connection.close()

    return await sync_to_async(do, thread_sensitive=False)()


async def told() -> dict[str, Any]:
    probes = Probes()
    try:
        return await probes.check()
    finally:
        await probes.close()


async def test_what_a_worker_saw_is_told_by_health_metrics_and_the_start_page(
    node: Client, database: Database
) -> None:
    assert "wallet" not in await told()
    await once(watching.look)
    await once(watching.look)  # and again: the row is the same
    await database.rows(
        "INSERT INTO wallet_days VALUES (%s, (now() AT TIME ZONE 'UTC')::date, 7500000)"
        " RETURNING 1",
        str(node.owner),
    )

    wallet = (await told())["wallet"]
    text = await once(lambda: "\n".join(map(str, metrics.read())))
    (row,) = await once(wallet_rows)

    assert wallet["address"] == str(node.owner)
    assert wallet["network"] == "local cluster"
    assert wallet["tokens"]["SOL"] == "10000"
    assert Decimal(wallet["tokens"]["USDC"]) > 900_000
    assert wallet["warnings"] == []
    assert f"{10_000 * SOL}" in text
    assert "engine_wallet_signed_usdc" in text
    assert (row.load, row.is_bad) == ("10000 SOL", False)


async def test_nodes_that_are_away_are_no_end_of_the_worker(
    node: Client, caplog: pytest.LogCaptureFixture
) -> None:
    await node.set_faults({"kind": "unavailable"})

    await once(watching.look)

    assert "what the wallet holds is not known" in caplog.text
    assert "wallet" not in await told()


def test_it_warns_before_sol_tokens_or_the_day_run_out(settings: Any) -> None:
    well = WalletState("a", "mainnet", SOL, {USDC.mint: 500 * UNIT_ATOMS}, 3.0, 0)
    settings.SOLANA_MAX_ORDER_VALUE = settings.SOLANA_MAX_DAY_VALUE = Decimal(100)

    assert well.warnings == []
    assert well._replace(lamports=SOL // 10).warnings == ["0.1 SOL are few for fees"]
    (poor,) = well._replace(atoms={USDC.mint: 99 * UNIT_ATOMS}).warnings
    assert poor == "USDC is worth less than the largest order may give"
    assert "no worker has seen" in well._replace(age=500.0).warnings[0]
    assert "nine tenths" in well._replace(signed_today=90 * UNIT_ATOMS).warnings[0]
