"""A wallet or a network that may not be used ends the process before it has begun."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from solders.keypair import Keypair

from config.environment.first_cause import CannotStart
from orders.engine.wallet.start import NEVER_RUN, check_wallet, refuse_unfit_wallet
from routing.cluster.rpc.methods import METHODS
from tests.support.local_cluster import Client, local_cluster

MAINNET = "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "wallet.json"
    path.write_text(json.dumps(list(bytes(Keypair()))))
    path.chmod(0o600)
    return path


@pytest_asyncio.fixture
async def node(settings: Any, key: Path) -> AsyncIterator[Client]:
    async with local_cluster() as client:
        settings.VENUES, settings.SOLANA_RPC_URLS = "solana", (client.url,)
        settings.SOLANA_KEY_FILE = str(key)
        yield client


async def test_a_key_that_others_may_read_is_refused_and_never_shown(
    node: Client, key: Path
) -> None:
    key.chmod(0o644)

    with pytest.raises(CannotStart, match=r"may be used by others \(mode 0644\)") as refused:
        await check_wallet()
    assert key.read_text()[1:20] not in str(refused.value)
    key.chmod(0o600)
    assert await check_wallet()


async def test_a_key_of_another_wallet_or_none_is_refused(node: Client, settings: Any) -> None:
    settings.SOLANA_WALLET = str(Keypair().pubkey())
    with pytest.raises(CannotStart, match=f"and not of {settings.SOLANA_WALLET}"):
        await check_wallet()
    settings.SOLANA_KEY_FILE = None
    with pytest.raises(CannotStart, match="neither a key file nor a remote signer"):
        await check_wallet()
    settings.SOLANA_SIGNER_URL = "http://signer.example"
    with pytest.raises(CannotStart, match="is https"):
        await check_wallet()
    settings.SOLANA_SIGNER_URL = "https://signer.example"
    assert await check_wallet() == settings.SOLANA_WALLET


async def test_a_network_of_value_needs_the_operators_word(
    node: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METHODS, "getGenesisHash", lambda node, given: MAINNET)
    with pytest.raises(CannotStart, match="mainnet, where tokens have value: that needs SOLANA_L"):
        await check_wallet()
    settings.SOLANA_LIVE = True
    assert await check_wallet()


async def test_a_node_that_is_away_is_waited_for(
    node: Client, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    await node.set_faults({"kind": "unavailable"})

    assert await check_wallet()
    assert "nothing is signed before that" in caplog.text


def test_at_start_it_is_said_what_was_never_run(
    settings: Any,
    key: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    refuse_unfit_wallet()  # simulated: nothing is looked at
    settings.VENUES, settings.SOLANA_LIVE = "solana", True
    settings.SOLANA_KEY_FILE, settings.SOLANA_RPC_URLS = str(key), ("http://127.0.0.1:1",)
    refuse_unfit_wallet()

    assert NEVER_RUN in caplog.text
    key.chmod(0o640)
    with pytest.raises(SystemExit) as ended:
        refuse_unfit_wallet()
    assert ended.value.code == 2
    assert "chmod 600" in capsys.readouterr().err
