"""Runs a cluster: `python -m routing.cluster --help`."""

import argparse
import asyncio
import os
import signal
import socket
import sqlite3
import sys
from collections import defaultdict
from pathlib import Path

from routing.cluster.cluster import Cluster, Settings, write_key
from routing.cluster.rpc.errors import RpcError
from routing.cluster.rpc.faults import Fault, read_flag
from routing.cluster.serving import listen, serving, url_of


def main() -> None:
    given = _parser().parse_args()
    settings = Settings(
        folder=given.data,
        seed=given.seed,
        depth=given.depth,
        slot_seconds=given.slot_ms / 1_000,
        volatility=round(given.volatility_bps * 100),
        programs=given.programs,
    )
    try:
        faults = faults_of(given.fault)
        cluster = Cluster(settings)
    except RpcError as error:
        sys.exit(f"--fault: {error}")
    except sqlite3.OperationalError:
        sys.exit(f"Another process has the chain in {given.data}.")
    except FileNotFoundError as error:
        sys.exit(str(error))
    for name, of_node in faults.items():
        cluster.node(name).faults.replace(of_node)
    if given.data:
        write_key(given.data / "wallet.json", cluster.keys.wallet)
    try:
        asyncio.run(_serve(cluster, _opened(given)))
    except OSError as error:
        sys.exit(f"Port {given.port}: {error.strerror}")
    finally:
        cluster.close()


def _opened(given: argparse.Namespace) -> socket.socket:
    """Return the socket that another process has opened for us, or one of our own."""
    if given.fd is not None:
        return socket.socket(fileno=given.fd)
    return listen(given.host, given.port)


async def _serve(cluster: Cluster, opened: socket.socket) -> None:
    """Serve until the process is told to stop."""
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with serving(cluster, opened) as slots:
        slots.add_done_callback(lambda _: stopped.set())
        print(f"Solana cluster on {url_of(opened)} (WebSocket: the same port)", flush=True)
        print(f"Wallet {cluster.keys.wallet.pubkey()}", flush=True)
        await stopped.wait()
        if slots.done():
            slots.result()  # raises what ended it


def faults_of(flags: list[str]) -> dict[str, list[Fault]]:
    """Return the faults of each node, by its name; see `_parser` for the form."""
    faults: dict[str, list[Fault]] = defaultdict(list)
    for flag in flags:
        text, _, node = flag.partition("@")
        faults[node].append(read_flag(text))
    return faults


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m routing.cluster", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8899, help="0: any that is free")
    parser.add_argument("--fd", type=int, help="an opened socket, instead of host and port")
    parser.add_argument(
        "--data", type=Path, help="where the chain is kept, and wallet.json; without it, nowhere"
    )
    parser.add_argument("--seed", default="", help="of a new chain; without it, one is drawn")
    parser.add_argument(
        "--depth", type=int, default=10_000_000, help="dollars on each side of a new chain's pools"
    )
    parser.add_argument(
        "--slot-ms", type=float, default=400, help="0: slots are made by cluster_advance alone"
    )
    parser.add_argument(
        "--volatility-bps", type=float, default=2.0, help="of prices, in a second; 0: they stand"
    )
    parser.add_argument(
        "--programs",
        type=Path,
        default=os.environ.get("SOLANA_PROGRAMS") or None,
        help="folder of the real programs, each as ADDRESS.so (SOLANA_PROGRAMS)",
    )
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="KIND[:NAME=NUMBER,…][@NODE]",
        help="such as drop:times=1 or behind:slots=20@b; cluster_setFaults changes them",
    )
    return parser


if __name__ == "__main__":
    main()
