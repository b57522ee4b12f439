"""What the wallet holds: a worker looks now and then, and writes it down for all processes."""

import asyncio
import logging
import threading
from typing import Any

import orjson
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection

from routing.exchange import signer

LOOK_EVERY = 20.0
"""Seconds between two looks of one worker."""
SEEN = """
INSERT INTO wallet_sightings (address, network, lamports, atoms, seen_at)
VALUES (%s, %s, %s, %s, clock_timestamp())
ON CONFLICT (address) DO UPDATE SET network = excluded.network, lamports = excluded.lamports,
  atoms = excluded.atoms, seen_at = excluded.seen_at
"""

logger = logging.getLogger(__name__)
_stopped = threading.Event()


def keep_watching() -> None:
    """Look from a thread of its own until `stop_watching`. Without a wallet this does nothing."""
    if settings.VENUES == "simulated":
        return

    def run() -> None:
        while not _stopped.is_set():
            look()
            _stopped.wait(LOOK_EVERY)
        connection.close()

    threading.Thread(target=run, name="wallet", daemon=True).start()


def stop_watching() -> None:
    _stopped.set()


def look() -> None:
    """Ask the providers what the wallet holds, and write it down. What fails is only logged."""
    from routing.solana.networks import ForbiddenNetwork, NetworkUnknown
    from routing.solana.rpc.provider import RpcError, RpcUnavailable
    from routing.solana.wallet.key_file import UnusableKey

    try:
        row = asyncio.run(_seen(signer().wallet))
        with connection.cursor() as cursor:
            cursor.execute(SEEN, row)
    except (RpcUnavailable, RpcError, NetworkUnknown, ForbiddenNetwork, UnusableKey) as error:
        logger.warning("what the wallet holds is not known: %s", error)
    except (DatabaseError, InterfaceError) as error:
        logger.warning("what the wallet holds was not written down: %s", error)
        connection.close()


async def _seen(wallet: Any) -> list[Any]:
    """Return a row: address, network, lamports and atoms by mint."""
    from routing.solana.networks import NetworkCheck, name_of
    from routing.solana.rpc.client import RpcClient
    from routing.solana.rpc.provider import Provider

    client = RpcClient([Provider(url) for url in settings.SOLANA_RPC_URLS])
    try:
        genesis = await NetworkCheck(client.providers, is_live=settings.SOLANA_LIVE).check()
        (own,) = (await client.accounts([wallet])).states
        held = await client.tokens_of(wallet)
    finally:
        await client.close()
    atoms = {str(mint): amount for mint, amount in sorted(held.items(), key=str)}
    lamports = own.lamports if own else 0
    return [str(wallet), name_of(genesis), lamports, orjson.dumps(atoms).decode()]
