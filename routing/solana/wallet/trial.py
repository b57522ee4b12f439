"""A transaction tried out before it is signed: what it uses, and what the wallet has after it."""

from typing import NamedTuple

from solders.message import MessageV0
from solders.signature import Signature

from routing.solana.records.failures import (
    INSUFFICIENT_FUNDS,
    INSUFFICIENT_LIQUIDITY,
    SLIPPAGE_EXCEEDED,
    failure_of,
)
from routing.solana.rpc.answers import Simulation
from routing.solana.rpc.client import RpcClient
from routing.solana.rpc.provider import RpcError, RpcUnavailable
from routing.solana.transactions.message import instructions_of, with_signature
from routing.solana.wallet.money import Holdings, check_money, holdings_before, holdings_of
from routing.solana.wallet.permit import Permit
from routing.solana.wallet.proposal import Proposal
from routing.venue import (
    InsufficientFunds,
    InsufficientLiquidity,
    SlippageExceeded,
    VenueUnavailable,
)

_KNOWN: dict[str, type[Exception]] = {
    SLIPPAGE_EXCEEDED: SlippageExceeded,
    INSUFFICIENT_FUNDS: InsufficientFunds,
    INSUFFICIENT_LIQUIDITY: InsufficientLiquidity,
}


class TrialFailed(VenueUnavailable):
    """The simulation failed for a reason of the network's own, or there was none."""


class Trial(NamedTuple):
    units: int
    """Compute units that it used."""
    lamports: int
    """What the wallet's own address has left, without its token accounts."""


async def try_out(
    client: RpcClient, proposal: Proposal, message: MessageV0, permit: Permit
) -> Trial:
    """Simulate the message and hold what the wallet would lose and gain to the order.

    :raises TransactionForbidden: it loses too much or gains too little.
    :raises SlippageExceeded, InsufficientFunds, InsufficientLiquidity: the swap would fail so.
    :raises TrialFailed: it fails for another reason, or no node simulates it.
    """
    accounts = proposal.own_accounts
    try:
        found = await client.simulate(with_signature(message, bytes(Signature.LENGTH)), accounts)
        if found.error is not None:
            raise _failure(found, proposal, message)
        before = await _before(client, proposal, message, found)
    except (RpcUnavailable, RpcError) as error:
        raise TrialFailed(f"no node has simulated it: {error}") from error
    states = dict(zip(accounts, found.states, strict=True))
    check_money(before, holdings_of(permit.wallet, states), permit)
    own = states[permit.wallet]
    return Trial(found.units, own.lamports if own else 0)


async def _before(
    client: RpcClient, proposal: Proposal, message: MessageV0, found: Simulation
) -> Holdings:
    """Return what the wallet held in the slot of the simulation.

    :raises RpcUnavailable: no node says it as of that slot.
    """
    if found.before is None:
        return await _read_before(client, proposal, found.slot)
    tables = sum(
        len(one.writable_indexes) + len(one.readonly_indexes)
        for one in message.address_table_lookups
    )
    if len(found.before.lamports) != len(message.account_keys) + tables:
        raise RpcUnavailable("a simulation has balances of other accounts")
    try:
        return holdings_before(proposal.trade.wallet, found.before)
    except ValueError as error:
        raise RpcUnavailable(f"a simulation says what cannot be: {error}") from error


async def _read_before(client: RpcClient, proposal: Proposal, slot: int) -> Holdings:
    """For nodes before Agave 3.0: an answer of another slot may hide another order's fill."""
    accounts = proposal.own_accounts
    held = await client.accounts(accounts, slot)
    if held.slot != slot:
        raise RpcUnavailable(f"the wallet is known as of slot {held.slot}, and not {slot}")
    return holdings_of(proposal.trade.wallet, dict(zip(accounts, held.states, strict=True)))


def _failure(found: Simulation, proposal: Proposal, message: MessageV0) -> Exception:
    programs = [one.program_id for one in instructions_of(message, proposal.tables)]
    failure = failure_of(found.error, programs)
    kind = _KNOWN.get(failure.code, TrialFailed)
    return kind(f"simulated before signing: {failure.reason}")
