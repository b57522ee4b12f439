"""A wallet that cannot be emptied by a mistake: no check can be left out, whoever asks."""

import ast
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from routing.cluster.rpc.methods import METHODS
from routing.solana.addresses import TOKEN_PROGRAM, associated_token_account
from routing.solana.networks import ForbiddenNetwork, NetworkUnknown
from routing.solana.programs import system
from routing.solana.rpc.answers import Simulation
from routing.solana.transactions.assembly import Tip
from routing.solana.transactions.message import read_message
from routing.solana.wallet.money import Balances
from routing.solana.wallet.permit import TransactionForbidden
from routing.solana.wallet.proposal import Proposal
from routing.solana.wallet.trial import TrialFailed
from routing.solana.wallet.worth import WorthUnknown
from routing.venue import InsufficientFunds, SigningHalted, SlippageExceeded, WalletRefused
from tests.routing.cluster.swaps import market
from tests.routing.solana.wallet.desk import SOL, TERMS, Desk, with_account
from tests.support.local_cluster import local_cluster
from tests.support.venue_contract import landed

STRANGER = Pubkey.new_unique()
Change = Callable[[Instruction], Instruction]


@asynccontextmanager
async def a_desk(**how: Any) -> AsyncIterator[Desk]:
    async with local_cluster(slot_seconds=how.pop("slot_seconds", 0)) as node:
        await node.advance(2)
        desk = Desk(node, **how)
        try:
            yield desk
        finally:
            await desk.close()


async def refused(desk: Desk, proposal: Proposal) -> None:
    with pytest.raises(TransactionForbidden):
        await desk.wallet.sign(proposal)
    assert not desk.signer.asked
    assert not desk.allowance.reserved


async def test_a_signed_sale_lands_at_the_costs_that_its_trial_showed() -> None:
    async with a_desk(slot_seconds=0.02) as desk:
        signed = await desk.wallet.sign(await desk.sale())
        await desk.network.send(signed)
        fill = await landed(desk.network, signed)

        assert fill.amount_in == SOL
        assert signed.costs is not None
        assert fill.network_fee == 5_000 + signed.costs["priorityFee"]
        assert 30_000 < signed.costs["unitLimit"] < 200_000
        assert desk.allowance.reserved == [SOL // 10]
        assert desk.allowance.confirmed == [signed.signature]


async def test_a_retry_pays_twice_as_much_and_never_more_than_the_cap() -> None:
    async with a_desk() as desk:
        prices = [
            (await desk.wallet.sign(await desk.sale(attempt=attempt))).costs
            for attempt in (1, 2, 9)
        ]

    first, second, ninth = (one for one in prices if one)
    assert second["unitPrice"] == 2 * first["unitPrice"]
    assert ninth["priorityFee"] <= TERMS.fees.most_lamports
    assert ninth["unitPrice"] > second["unitPrice"]


def to_stranger(swap: Instruction) -> Instruction:
    mint = swap.accounts[11].pubkey
    return with_account(swap, 5, associated_token_account(STRANGER, mint))


def approval(swap: Instruction) -> Instruction:
    account, owner = swap.accounts[5].pubkey, swap.accounts[0].pubkey
    metas = [
        AccountMeta(account, False, True),
        AccountMeta(STRANGER, False, False),
        AccountMeta(owner, True, False),
    ]
    return Instruction(TOKEN_PROGRAM, bytes([4]) + (10**9).to_bytes(8, "little"), metas)


def transfer(swap: Instruction) -> Instruction:
    return system.transfer(swap.accounts[0].pubkey, STRANGER, SOL)


def of_a_pool_that_is_not_listed(swap: Instruction) -> Instruction:
    return with_account(swap, 3, market("JUP/USDC").cpmm)


def of_another_program(swap: Instruction) -> Instruction:
    return Instruction(STRANGER, swap.data, swap.accounts)


def for_less(swap: Instruction) -> Instruction:
    return Instruction(swap.program_id, swap.data[:16] + bytes(8), swap.accounts)


THEFTS = [
    to_stranger,
    approval,
    transfer,
    of_a_pool_that_is_not_listed,
    of_another_program,
    for_less,
]


@pytest.mark.parametrize("change", THEFTS)
async def test_what_a_venue_makes_of_its_own_accord_is_never_signed(change: Change) -> None:
    async with a_desk() as desk:
        await refused(desk, await desk.tampered(change))


def gains_plenty(found: Simulation) -> Simulation:
    """A trial without an error in which the wallet had nothing before."""
    return found._replace(error=None, before=found.before and Balances(found.before.lamports, ()))


@pytest.mark.parametrize("change", THEFTS)
async def test_nor_when_the_node_says_of_its_simulation_that_all_is_well(change: Change) -> None:
    async with a_desk(lie=gains_plenty) as desk:
        await refused(desk, await desk.tampered(change))


def loses_sol(found: Simulation) -> Simulation:
    own, *others = found.states
    assert own is not None
    return found._replace(states=(own._replace(lamports=own.lamports - 10 * SOL), *others))


def gains_nothing(found: Simulation) -> Simulation:
    return found._replace(states=(found.states[0], *(None for _ in found.states[1:])))


def loses_an_account_that_was_not_asked_for(found: Simulation) -> Simulation:
    assert found.before is not None
    (held, *_) = [one for one in found.before.tokens if one.amount]
    more = held._replace(mint=STRANGER, owner=own_of(found))
    return found._replace(before=found.before._replace(tokens=(*found.before.tokens, more)))


def own_of(found: Simulation) -> Pubkey:
    assert found.before is not None
    amounts = [one for one in found.before.tokens if one.amount == 10**12]
    return amounts[0].owner


@pytest.mark.parametrize("lie", [loses_sol, gains_nothing, loses_an_account_that_was_not_asked_for])
async def test_what_would_lose_more_than_the_order_gives_is_not_signed(
    lie: Callable[[Simulation], Simulation],
) -> None:
    async with a_desk(lie=lie) as desk:
        await refused(desk, await desk.sale())


async def test_an_account_that_a_stranger_may_empty_is_not_paid_into() -> None:
    async with a_desk() as desk:
        leg = await desk.leg()
        own = associated_token_account(desk.node.owner, leg.asset_out.mint)
        metas = [
            AccountMeta(own, False, True),
            AccountMeta(STRANGER, False, False),
            AccountMeta(desk.node.owner, True, False),
        ]
        data = bytes([4]) + (10**9).to_bytes(8, "little")
        await desk.node.land(Instruction(TOKEN_PROGRAM, data, metas))

        await refused(desk, await desk.sale())


def without_balances(found: Simulation) -> Simulation:
    return found._replace(before=None)


async def test_a_node_that_tells_no_balances_is_asked_for_the_same_slot() -> None:
    async with a_desk(lie=without_balances) as desk:
        assert (await desk.wallet.sign(await desk.sale())).signature

    async with a_desk(lie=lambda found: without_balances(found)._replace(slot=found.slot - 1)) as (
        desk
    ):
        with pytest.raises(TrialFailed, match="as of slot"):
            await desk.wallet.sign(await desk.sale())
        assert not desk.signer.asked


async def test_a_price_beyond_the_bound_is_seen_before_signing() -> None:
    async with a_desk() as desk:
        with pytest.raises(SlippageExceeded):
            await desk.wallet.sign(await desk.sale(least=10**12))
        with pytest.raises(InsufficientFunds):
            await desk.wallet.sign(await desk.sale(20_000 * SOL))
        assert not desk.signer.asked


async def test_what_the_wallet_keeps_for_fees_is_not_sold() -> None:
    terms = TERMS._replace(least_lamports=9_999 * SOL)
    async with a_desk(terms=terms) as desk:
        await desk.wallet.sign(await desk.sale(SOL // 2))
        with pytest.raises(InsufficientFunds, match="is to keep"):
            await desk.wallet.sign(await desk.sale(SOL))
        assert desk.signer.asked == 1


async def test_nothing_is_signed_beyond_a_limit_or_without_a_price() -> None:
    async with a_desk() as desk:
        desk.allowance.most = SOL // 10
        await desk.wallet.sign(await desk.sale())
        with pytest.raises(WalletRefused):
            await desk.wallet.sign(await desk.sale())
        assert desk.signer.asked == 1

    class NoPrice:
        async def of(self, mint: Pubkey, atoms: int) -> int:
            raise WorthUnknown("no price")

    async with a_desk(worth=NoPrice()) as desk:
        with pytest.raises(WorthUnknown):
            await desk.wallet.sign(await desk.sale())
        assert not desk.signer.asked


async def test_a_halt_between_build_and_signature_leaves_nothing_that_could_be_sent() -> None:
    async with a_desk() as desk:
        desk.allowance.is_halted = True
        with pytest.raises(SigningHalted):
            await desk.wallet.sign(await desk.sale())
        assert not desk.signer.asked

    async with a_desk() as desk:
        desk.allowance.halts_while_signing = True
        with pytest.raises(SigningHalted):
            await desk.wallet.sign(await desk.sale())
        assert desk.signer.asked == 1
        assert not desk.allowance.confirmed


MAINNET = "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d"


@pytest.mark.parametrize("others", [[], ["b"]])
async def test_a_network_of_value_is_known_by_its_genesis_and_needs_the_operators_word(
    others: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METHODS, "getGenesisHash", lambda node, given: MAINNET)
    async with a_desk(nodes=["", *others]) as desk:
        with pytest.raises(ForbiddenNetwork, match="mainnet, where tokens have value"):
            await desk.wallet.sign(await desk.sale())
        assert not desk.signer.asked

    async with a_desk(is_live=True) as desk:
        assert (await desk.wallet.sign(await desk.sale())).signature


async def test_where_only_a_cluster_is_allowed_every_node_has_to_prove_that_it_is_one() -> None:
    async with a_desk(nodes=["", "b"]) as desk:
        await desk.node.set_faults({"kind": "unavailable"}, node="b")
        with pytest.raises(NetworkUnknown):
            await desk.wallet.sign(await desk.sale())
        await desk.node.set_faults(node="b")
        assert (await desk.wallet.sign(await desk.sale())).signature

    async with a_desk(nodes=["", "b"], is_live=True) as desk:
        await desk.node.set_faults({"kind": "unavailable"}, node="b")
        assert (await desk.wallet.sign(await desk.sale())).signature


async def test_a_tip_goes_to_its_receiver_alone_and_is_told_apart_in_the_fill() -> None:
    tip = Tip(STRANGER, SOL // 1_000)
    async with a_desk(slot_seconds=0.02, terms=TERMS._replace(tip=tip)) as desk:
        await desk.node.call("requestAirdrop", str(STRANGER), SOL)
        signed = await desk.wallet.sign(await desk.sale())
        await desk.network.send(signed)
        desk.network._tip_receivers = frozenset({STRANGER})
        fill = await landed(desk.network, signed)

    assert (fill.tip, fill.amount_in) == (SOL // 1_000, SOL)
    assert signed.costs is not None
    assert signed.costs["tip"] == SOL // 1_000


async def test_what_is_signed_is_what_was_tried_out_but_for_its_fee_and_block() -> None:
    async with a_desk() as desk:
        sale = await desk.sale()
        signed = read_message((await desk.wallet.sign(sale)).payload)

    tried = sale.trial(None)
    assert signed.account_keys == tried.account_keys
    assert signed.instructions[2:] == tried.instructions[2:]


SIGNING = {"sign_transaction", "KeyInFile", "RemoteSigner"}
"""What leads to a signature. All else asks the wallet."""
ALLOWED = {
    "routing/solana/wallet/wallet.py": {"sign_transaction"},
    "routing/solana/wallet/opening.py": {"KeyInFile", "RemoteSigner"},
}


def test_no_other_code_than_the_wallet_comes_by_a_signature() -> None:
    root = Path(__file__).parents[4]
    found = {}
    for path in [*root.glob("routing/**/*.py"), *root.glob("orders/**/*.py")]:
        tree = ast.parse(path.read_text())
        named = {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        if named & SIGNING:
            found[str(path.relative_to(root))] = named & SIGNING

    assert found == ALLOWED
