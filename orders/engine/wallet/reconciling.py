"""The wallet's history on chain beside the fills of the database, to the atom.

It reads alone: what differs is for a person to judge.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection

from routing.registry import registry
from routing.tokens import UnknownToken

KNOWN = """
SELECT sent.signature, sent.outcome, orders.id::text, orders.status, orders.filled_in,
  orders.filled_out, orders.side, orders.base, orders.quote
FROM order_transactions AS sent JOIN orders ON orders.id = sent.order_id
WHERE sent.signature = ANY(%s)
"""
LANDED = """
SELECT signature FROM order_transactions WHERE outcome = 'landed' ORDER BY order_id, attempt
"""


class Difference(NamedTuple):
    signature: str
    says: str


class Reconciled(NamedTuple):
    address: str
    compared: int
    """Transactions of the wallet that the database has too, and that agree."""
    strange: int
    """Those that others paid, such as deposits."""
    lamports_moved: int
    """The sum of what all of them moved at the wallet's own address."""
    lamports_held: int
    """What it holds there now."""
    differences: list[Difference]


async def reconcile(address: str) -> Reconciled:
    """Compare all final transactions of the wallet with the orders'.

    :raises RpcUnavailable: no provider answers, or lacks a record.
    """
    from solders.pubkey import Pubkey

    from routing.solana.records.history import passed, signatures_of
    from routing.solana.rpc.client import RpcClient
    from routing.solana.rpc.provider import Provider

    wallet, receiver = Pubkey.from_string(address), settings.SOLANA_TIP_RECEIVER
    receivers = [Pubkey.from_string(receiver)] if receiver else []
    client = RpcClient([Provider(url) for url in settings.SOLANA_RPC_URLS])
    differences: list[Difference] = []
    seen: set[str] = set()
    compared = strange = lamports = 0
    try:
        (state,) = (await client.accounts([wallet])).states
        async for page in _pages(signatures_of(client.providers[0], wallet)):
            known = {row[0]: row for row in await _fetch(KNOWN, [page])}
            for signature in page:
                one = await passed(client, wallet, signature, receivers)
                seen.add(signature)
                lamports += one.lamports
                if one.moves is None:
                    strange += 1
                elif says := difference(one, known.get(signature)):
                    differences.append(Difference(signature, says))
                else:
                    compared += 1
        for (signature,) in await _fetch(LANDED, []):
            if signature not in seen:
                differences.append(Difference(signature, "landed here, and is not on chain"))
    finally:
        await client.close()
    held = state.lamports if state else 0
    return Reconciled(address, compared, strange, lamports, held, differences)


def difference(one: Any, row: Any) -> str:
    """Return what a record and an order's row say differently; empty: nothing.

    `one` is a `Passed` whose fee the wallet paid.
    """
    if row is None:
        return "on chain, and of no order here: the wallet's key was used elsewhere"
    _, outcome, order, status, filled_in, filled_out, side, base, quote = row
    if one.has_failed:
        return "" if outcome == "rejected" else f"failed on chain, and {outcome} here ({order})"
    if outcome is None:
        return f"final on chain, and not settled here yet ({order})"
    if outcome != "landed" or status != "confirmed":
        return f"landed on chain, and {outcome}, {status} here ({order})"
    given, taken = (base, quote) if side == "sell" else (quote, base)
    told = _mint(given), filled_in, _mint(taken), filled_out
    moved: Mapping[Any, int] = one.moves.by_mint
    found = str(one.gives), -moved.get(one.gives, 0), str(one.takes), moved.get(one.takes, 0)
    return "" if told == found else f"moved {found} on chain, and {told} here ({order})"


def _mint(symbol: str) -> str:
    try:
        return registry().token(symbol).mint
    except UnknownToken:
        return symbol


async def _pages(signatures: AsyncIterator[str], size: int = 100) -> AsyncIterator[list[str]]:
    page: list[str] = []
    async for signature in signatures:
        page.append(signature)
        if len(page) == size:
            yield page
            page = []
    if page:
        yield page


async def _fetch(query: str, parameters: list[Any]) -> list[Any]:
    from asgiref.sync import sync_to_async

    def fetch() -> list[Any]:
        try:
            with connection.cursor() as cursor:
                cursor.execute(query, parameters)
                rows: list[Any] = cursor.fetchall()
                return rows
        finally:
            connection.close()

    return await sync_to_async(fetch, thread_sensitive=False)()
