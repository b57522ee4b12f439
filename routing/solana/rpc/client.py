"""Asks providers: one after the other for what any may answer, all at once for what must be sent.

`finalized` is the commitment of all that decides something; pools are read as they are now.
"""

import asyncio
import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from solders.pubkey import Pubkey

from routing.base58 import base58
from routing.solana.addresses import TOKEN_PROGRAMS
from routing.solana.rpc import answers
from routing.solana.rpc.provider import Provider, RpcError, RpcUnavailable
from routing.solana.token_accounts import read_token_account
from routing.solana.transactions.message import Blockhash

MOST_ACCOUNTS = 100
FINALIZED = {"commitment": "finalized"}
PROCESSED = {"commitment": "processed"}

_KNOWN_ALREADY = "AlreadyProcessed"

Value = TypeVar("Value")


class RpcClient:
    def __init__(self, providers: Sequence[Provider], senders: Sequence[Provider] = ()) -> None:
        """`senders` only take transactions. :raises ValueError: there is no provider."""
        if not providers:
            raise ValueError("there is no provider to ask")
        self.providers = tuple(providers)
        self._senders = (*self.providers, *senders)

    async def blockhash(self) -> Blockhash:
        """Return a final block's hash, and the last height at which it may be named.

        :raises RpcUnavailable: no provider answered.
        """
        return await self._any(answers.blockhash, "getLatestBlockhash", FINALIZED)

    async def accounts(self, addresses: Sequence[Pubkey], least_slot: int = 0) -> answers.Accounts:
        """Return at most 100 accounts, all of one slot that is at least `least_slot`.

        :raises RpcUnavailable: no provider answered, or none is as far as that.
        """
        if len(addresses) > MOST_ACCOUNTS:
            raise ValueError(f"{len(addresses)} accounts are more than one call may ask for")
        wanted = [str(address) for address in addresses]
        config: dict[str, Any] = PROCESSED | {"encoding": "base64"}
        if least_slot:
            config |= {"minContextSlot": least_slot}

        def read(answer: Any) -> answers.Accounts:
            found = answers.accounts(answer)
            if len(found.states) != len(wanted):
                raise ValueError(f"{len(found.states)} accounts instead of {len(wanted)}")
            if found.slot < least_slot:
                raise ValueError(f"accounts of slot {found.slot}, before {least_slot}")
            return found

        return await self._any(read, "getMultipleAccounts", wanted, config)

    async def accounts_of(
        self, program: Pubkey, size: int, contents: Mapping[int, bytes]
    ) -> tuple[Pubkey, ...]:
        """Return where the program's accounts of this size stand that have these bytes at places.

        Providers limit or sell this call: it is for operators' deeds alone.

        :raises RpcUnavailable: no provider answered.
        :raises RpcError: no provider takes such a request.
        """
        filters: list[dict[str, Any]] = [{"dataSize": size}]
        for place, content in contents.items():
            compared = {"offset": place, "bytes": base58(content), "encoding": "base58"}
            filters.append({"memcmp": compared})
        config = FINALIZED | {
            "encoding": "base64",
            "dataSlice": {"offset": 0, "length": 0},
            "filters": filters,
        }
        return await self._any(answers.addresses, "getProgramAccounts", str(program), config)

    async def tokens_of(self, owner: Pubkey) -> dict[Pubkey, int]:
        """Return what all token accounts of an owner hold now, in atoms by mint.

        :raises RpcUnavailable: no provider answered.
        """
        held: dict[Pubkey, int] = {}
        config = PROCESSED | {"encoding": "base64"}
        for program in TOKEN_PROGRAMS:
            of = {"programId": str(program)}
            found = await self._any(
                answers.owned, "getTokenAccountsByOwner", str(owner), of, config
            )
            for state in found:
                account = read_token_account(state.data)
                held[account.mint] = held.get(account.mint, 0) + account.amount
        return held

    async def simulate(
        self, payload: bytes, addresses: Sequence[Pubkey] = ()
    ) -> answers.Simulation:
        """Return what a transaction would do now, and how these accounts would be afterwards.

        It need not be signed, and its blockhash may be too old.

        :raises RpcUnavailable: no provider answered.
        :raises RpcError: the node cannot read it.
        """
        config = PROCESSED | {
            "encoding": "base64",
            "sigVerify": False,
            "replaceRecentBlockhash": True,
            "accounts": {"encoding": "base64", "addresses": [str(one) for one in addresses]},
        }

        def read(answer: Any) -> answers.Simulation:
            found = answers.simulation(answer)
            if found.error is None and len(found.states) != len(addresses):
                raise ValueError(f"{len(found.states)} accounts instead of {len(addresses)}")
            return found

        return await self._any(read, "simulateTransaction", _text(payload), config)

    async def priority_fees(self, written: Sequence[Pubkey]) -> tuple[int, ...]:
        """Return what was paid lately to write these accounts, in micro-lamports for a unit.

        :raises RpcUnavailable: no provider answered.
        """
        addresses = [str(address) for address in written]
        return await self._any(answers.fees, "getRecentPrioritizationFees", addresses)

    async def rent(self, size: int) -> int:
        """Return the lamports that an account of this size needs; they change with time.

        :raises RpcUnavailable: no provider answered.
        """
        return await self._any(answers.number, "getMinimumBalanceForRentExemption", size)

    async def stored(self, signature: str) -> answers.StoredTransaction | None:
        """Return a final transaction and its record, from the first provider that has it.

        :raises RpcUnavailable: no provider answered.
        """
        config = FINALIZED | {"encoding": "base64", "maxSupportedTransactionVersion": 1}
        failures = []
        for provider in self._in_turn():
            try:
                answer = await provider.call("getTransaction", signature, config)
                found = answers.read_answer(answers.stored_transaction, answer)
            except (RpcUnavailable, RpcError) as error:
                failures.append(error)
                continue
            if found is not None:
                return found
        if len(failures) == len(self.providers):
            raise RpcUnavailable(_told(failures)) from failures[-1]
        return None

    async def send(self, payload: bytes) -> None:
        """Hand the bytes to all providers at once. Return if one took them, or had them before.

        :raises RpcError: all of them refused the bytes.
        :raises RpcUnavailable: no provider is known to have taken them, but one may have.
        """
        config = {"encoding": "base64", "skipPreflight": True, "maxRetries": 0}
        sends = (one.call("sendTransaction", _text(payload), config) for one in self._senders)
        outcomes = await asyncio.gather(*sends, return_exceptions=True)
        refusals = [one for one in outcomes if isinstance(one, RpcError)]
        failures = [one for one in outcomes if isinstance(one, RpcUnavailable)]
        for one in outcomes:
            if isinstance(one, BaseException) and not isinstance(one, RpcError | RpcUnavailable):
                raise one
        known = any(_KNOWN_ALREADY in f"{one} {one.data}" for one in refusals)
        if known or len(refusals) + len(failures) < len(outcomes):
            return
        if not failures:
            raise refusals[0]
        raise RpcUnavailable(_told(failures)) from failures[-1]

    async def close(self) -> None:
        for provider in self._senders:
            await provider.close()

    async def _any(self, read: Callable[[Any], Value], method: str, *params: Any) -> Value:
        """Return the answer of the first provider that has one.

        :raises RpcUnavailable: none has.
        :raises RpcError: the first one that answered refuses the request, and no other has it.
        """
        failures: list[Exception] = []
        for provider in self._in_turn():
            try:
                return answers.read_answer(read, await provider.call(method, *params))
            except (RpcUnavailable, RpcError) as error:
                failures.append(error)
        refused = [error for error in failures if isinstance(error, RpcError)]
        if refused:
            raise refused[0]
        raise RpcUnavailable(_told(failures)) from failures[-1]

    def _in_turn(self) -> list[Provider]:
        """Those first that did not ask to be left alone, each group as the operator listed it."""
        return sorted(self.providers, key=lambda provider: provider.is_resting)


def _text(payload: bytes) -> str:
    return base64.b64encode(payload).decode()


def _told(failures: Sequence[Exception]) -> str:
    return "; ".join(str(error) for error in failures)
