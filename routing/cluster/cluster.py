"""The cluster as a whole: it begins or goes on with its chain, and makes a slot every 0.4 s."""

import asyncio
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from solders.keypair import Keypair
from solders.pubkey import Pubkey

from routing.cluster.bank import Bank
from routing.cluster.chain import FIRST_HEIGHT, FIRST_SLOT, Chain
from routing.cluster.genesis.accounts import Keys, accounts
from routing.cluster.machine import Machine
from routing.cluster.programs.cpmm import Cpmm
from routing.cluster.programs.dlmm import Dlmm
from routing.cluster.rpc.faults import SLOT, Faults, Kind
from routing.cluster.rpc.node import Node
from routing.cluster.store import Block, Store
from routing.cluster.trader import Trader, market_price, prices
from routing.solana.addresses import CPMM_PROGRAM, DLMM_PROGRAM
from routing.solana.networks import local_genesis

FORGET_EVERY, KEPT_SLOTS = 9_000, 18_000
"""In slots. Blocks, and what the trader did, are forgotten after two hours."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a cluster is started with. Seed and depth are for a new chain alone."""

    folder: Path | None = None
    """Where the chain is kept; None: nowhere."""
    seed: str = ""
    """The wallets follow from it. Empty: one is drawn."""
    depth: int = 10_000_000
    """What each side of each pool is worth, in dollars."""
    slot_seconds: float = 0.4
    """0: slots are made only by `cluster_advance`."""
    volatility: int = 200
    """How far prices move in a second, in millionths; 0: they stand still."""
    programs: Path | None = None
    """A folder of the real programs, each dumped as ADDRESS.so."""


class Cluster:
    """For one asyncio loop. `now` returns the unix time in seconds."""

    def __init__(self, settings: Settings, now: Callable[[], float] = time.time) -> None:
        """Begin a chain, or go on with the stored one.

        :raises sqlite3.OperationalError: another process has it.
        :raises FileNotFoundError: the folder of programs has none of them.
        """
        self._settings = settings
        self._now = now
        if settings.folder:
            settings.folder.mkdir(0o700, parents=True, exist_ok=True)
        self._store = Store(settings.folder / "chain.sqlite3" if settings.folder else None)
        machine = Machine({CPMM_PROGRAM: Cpmm(), DLMM_PROGRAM: Dlmm()})
        if settings.programs:
            _install(machine, settings.programs)
        if self._store.fact("seed") is None:
            self._begin_chain(machine)
        seed = str(self._store.fact("seed"))
        self.keys = Keys.of(seed)
        self.chain = Chain(machine, self._store, now)
        self.bank = Bank(self.chain, self.keys.bank)
        self._trader = Trader(self.chain, self.keys.trader, prices(seed, settings.volatility))
        self._nodes: dict[str, Node] = {}

    def node(self, name: str) -> Node:
        """Return the node of this name. It is made when it is first asked for."""
        if name not in self._nodes:
            self._nodes[name] = Node(self.chain, self.bank, Faults(name))
        return self._nodes[name]

    def close(self) -> None:
        self._store.close()

    def step(self) -> None:
        """Have the trader look at a pool, and make the next slot."""
        if self._settings.volatility:
            self._trader.trade(int(self._now()))
        self.chain.advance()
        if fault := self.node("").faults.hit(SLOT, Kind.FORK, Kind.LOST_SLOT):
            self.chain.reorganise(lands_again=fault.kind is Kind.FORK)
        if self.chain.slot % FORGET_EVERY == 0:
            self._store.forget(self.chain.slot - KEPT_SLOTS, self.keys.trader.pubkey())

    async def run(self) -> None:
        """Make slots for ever. Slots that were missed are not made up for."""
        seconds = self._settings.slot_seconds
        if not seconds:
            await asyncio.Event().wait()  # for ever: slots are made by request
        while True:
            began = time.monotonic()
            self.step()
            await asyncio.sleep(max(began + seconds - time.monotonic(), 0))

    def _begin_chain(self, machine: Machine) -> None:
        seed = self._settings.seed or os.urandom(16).hex()
        keys, now = Keys.of(seed), int(self._now())
        arbitrage = prices(seed, self._settings.volatility)
        made = accounts(
            keys,
            machine.rent_for,
            lambda market: market_price(arbitrage, market, now),
            now,
            self._settings.depth,
        )
        genesis = local_genesis(seed)
        facts = {"seed": seed, "genesis": genesis, "wallet": str(keys.wallet.pubkey())}
        self._store.begin_chain(facts, made, Block(FIRST_SLOT, FIRST_HEIGHT, genesis, now))


def write_key(path: Path, keypair: Keypair) -> None:
    """Write a key as Solana's tools do, for its owner alone; an old file is replaced."""
    path.unlink(missing_ok=True)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "w") as opened:
        json.dump(list(bytes(keypair)), opened)


def _install(machine: Machine, folder: Path) -> None:
    found: list[tuple[Pubkey, Path]] = [
        (program, path)
        for program in (CPMM_PROGRAM, DLMM_PROGRAM)
        if (path := folder / f"{program}.so").exists()
    ]
    if not found:
        raise FileNotFoundError(f"{folder} has neither {CPMM_PROGRAM}.so nor {DLMM_PROGRAM}.so")
    for program, path in found:
        machine.install(program, path)
