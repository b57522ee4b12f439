"""A Solana cluster of our own, for an engine that trades on Solana and was given no provider."""

import http.client
import importlib.util
import json
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from config.environment.data_folder import PROJECT, EmbeddedError
from config.environment.listening import LOOPBACK, listen_on, url_of
from config.environment.variables import read_environment
from config.stack.child import Child
from config.stack.identity import unprivileged

USUAL_PORT = 8899
"""Solana's own tools expect a node of this machine there."""
SECRETS = ("SOLANA_KEY_FILE", "SOLANA_SIGNER_URL", "SOLANA_SIGNER_TOKEN")
"""What workers alone are told."""


def uses_own_cluster() -> bool:
    environment = read_environment()
    return environment.VENUES == "solana" and not environment.SOLANA_RPC_URLS


def listen_for_cluster() -> socket.socket:
    """Return a socket on the usual port of this machine, else on any that is free."""
    try:
        return listen_on(LOOPBACK, USUAL_PORT)
    except OSError:
        return listen_on(LOOPBACK, 0)


def cluster(data_dir: Path, listener: socket.socket, lock: int) -> Child:
    """Return the cluster of a data folder. It goes on with the chain that is there.

    The socket is its own from now on, and stays open: it may be started again.

    :raises EmbeddedError: what it needs is not installed.
    """
    if importlib.util.find_spec("solders") is None:
        raise EmbeddedError(
            "VENUES=solana needs packages that are not installed: run `make .venv/solana`."
        )
    descriptor = listener.detach()
    return Child(
        name="solana",
        command=[
            *(sys.executable, "-m", "routing.cluster"),
            *("--data", str(folder(data_dir)), "--fd", str(descriptor)),
        ],
        layer=1,
        grace=10.0,
        folder=PROJECT,
        log=data_dir / "solana.log",
        keeps=(lock, descriptor),
        identity=unprivileged(),
    )


def folder(data_dir: Path) -> Path:
    """Return where the chain is kept, and the key of its wallet."""
    return data_dir / "solana"


def settings_for(data_dir: Path, port: int) -> dict[str, str]:
    """Return the settings of an engine on the cluster at this port."""
    return {
        "SOLANA_RPC_URLS": url_of(LOOPBACK, port),
        "SOLANA_KEY_FILE": str(folder(data_dir) / "wallet.json"),
    }


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what processes are told that sign nothing."""
    return {name: value for name, value in environment.items() if name not in SECRETS}


def is_ready(port: int) -> bool:
    """Whether the cluster answers."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=1.0)
    asked = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "getHealth"})
    try:
        connection.request("POST", "/", asked, {"content-type": "application/json"})
        return bool(json.load(connection.getresponse())["result"] == "ok")
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        return False
    finally:
        connection.close()
