"""What the wallet moved on chain is compared with the fills, to the atom and in both directions."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from orders.engine.wallet import reconciling
from orders.engine.wallet.reconciling import reconcile
from orders.management.commands.reconcile import lines_of
from routing.venue import SignedTransaction
from tests.routing.solana.wallet.desk import SOL, Desk
from tests.support.local_cluster import local_cluster
from tests.support.venue_contract import landed


class Rows:
    """What the database has of transactions, by signature."""

    def __init__(self) -> None:
        self.known: dict[str, tuple[Any, ...]] = {}

    async def fetch(self, query: str, parameters: list[Any]) -> list[Any]:
        if query == reconciling.LANDED:
            return [(one[0],) for one in self.known.values() if one[1] == "landed"]
        return [self.known[one] for one in parameters[0] if one in self.known]

    def has(self, signature: str, gave: int, gained: int, outcome: str | None = "landed") -> None:
        status = {"landed": "confirmed", None: "submitted"}.get(outcome, "failed")
        self.known[signature] = (
            *(signature, outcome, "an order", status, gave, gained),
            *("sell", "SOL", "USDC"),
        )


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> Rows:
    made = Rows()
    monkeypatch.setattr(reconciling, "_fetch", made.fetch)
    return made


@pytest_asyncio.fixture
async def desk(settings: Any) -> AsyncIterator[Desk]:
    async with local_cluster(slot_seconds=0.02) as node:
        await node.advance(2)
        settings.SOLANA_RPC_URLS = (node.url,)
        made = Desk(node)
        yield made
        await made.close()


async def fill(desk: Desk, rows: Rows, atoms: int) -> SignedTransaction:
    signed = await desk.wallet.sign(await desk.sale(atoms))
    await desk.network.send(signed)
    found = await landed(desk.network, signed)
    rows.has(signed.signature, found.amount_in, found.amount_out)
    return signed


async def test_a_history_that_agrees_is_explained_to_the_lamport(desk: Desk, rows: Rows) -> None:
    before = await desk.node.lamports(desk.node.owner)
    for atoms in (SOL, SOL // 3, 7 * SOL // 5):
        await fill(desk, rows, atoms)

    found = await reconcile(str(desk.node.owner))

    assert (found.compared, found.differences) == (3, [])
    assert found.lamports_held - found.lamports_moved == before
    assert found.lamports_held == await desk.node.lamports(desk.node.owner)
    assert f"{before} before the first" in "\n".join(lines_of(found))


async def test_what_is_missing_on_either_side_or_differs_is_told(desk: Desk, rows: Rows) -> None:
    strange, other = await fill(desk, rows, SOL), await fill(desk, rows, SOL // 2)
    open_, dead = await fill(desk, rows, SOL // 4), await fill(desk, rows, SOL // 5)
    del rows.known[strange.signature]
    rows.has(other.signature, SOL // 2, 1)
    rows.has(open_.signature, 0, 0, None)
    rows.has(dead.signature, 0, 0, "expired")
    rows.has("never seen", SOL, 1)

    found = await reconcile(str(desk.node.owner))

    told = {one.signature: one.says for one in found.differences}
    assert told.keys() == {
        *(strange.signature, other.signature, open_.signature, dead.signature, "never seen")
    }
    assert "of no order here" in told[strange.signature]
    assert f"'{SOL // 2}" not in told[other.signature]
    assert str(SOL // 2) in told[other.signature]
    assert "not settled here yet" in told[open_.signature]
    assert "landed on chain, and expired" in told[dead.signature]
    assert told["never seen"] == "landed here, and is not on chain"
    assert found.compared == 0
