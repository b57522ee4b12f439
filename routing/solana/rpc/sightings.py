"""What one provider knows of signatures, asked for many at once, and what it thereby proves.

A signature that a node does not know may still land, or the node may be behind. It is proven to be
absent at a height only by two answers: first the node's finalized height and slot, then the
signature's absence in its whole history, of a slot at least as high.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

from routing.solana.rpc import answers
from routing.solana.rpc.provider import Provider, RpcError, RpcUnavailable
from routing.solana.rpc.shared import Shared

MOST_SIGNATURES = 256
"""How many one call may ask for."""
INTERVAL = 0.25
"""Seconds from one call to the next."""
EPOCH_SECONDS = 1.0
"""How old the height may be: an older one proves less, and nothing wrong."""


class Final(NamedTuple):
    """It is in a final block, with this error or with None."""

    error: Any


class NotFinal(NamedTuple):
    """It is in a block that may yet be skipped."""


class Unknown(NamedTuple):
    """The node did not know it when its finalized chain stood at `height`."""

    height: int


Sighting = Final | NotFinal | Unknown


class Sightings:
    """Everyone who looks while a call is under way shares the next one."""

    def __init__(self, provider: Provider, *, interval: float = INTERVAL) -> None:
        self._provider = provider
        self._interval = interval
        self._waiting: dict[str, asyncio.Future[Sighting]] = {}
        self._task: asyncio.Task[None] | None = None
        self._next_call = 0.0
        self._epoch = Shared(self._ask_epoch, EPOCH_SECONDS)

    async def look(self, signature: str) -> Sighting:
        """Return what the provider knows of a signature, after this call began.

        :raises RpcUnavailable: it did not answer, or its answer proves nothing.
        """
        if (future := self._waiting.get(signature)) is None:
            future = asyncio.get_running_loop().create_future()
            self._waiting[signature] = future
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._ask_all())
        return await asyncio.shield(future)

    async def epoch(self) -> answers.Epoch:
        """Return where the provider stands, at most a second old.

        :raises RpcUnavailable: it did not answer.
        """
        return await self._epoch.get()

    async def reaches_back_to(self, height: int) -> bool:
        """Whether the provider's history has every block that a transaction of `height` may be in.

        Heights are fewer than slots, since some slots have no block: at most half of them, we say.

        :raises RpcUnavailable: it did not answer.
        """
        epoch = await self.epoch()
        answer = await _called(self._provider, "getFirstAvailableBlock")
        first = answers.read_answer(answers.number, answer)
        return first <= max(epoch.slot - 2 * (epoch.height - height), 0)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await self._epoch.close()
        self._fail(self._waiting, RpcUnavailable("the network was closed"))
        self._waiting = {}

    async def _ask_epoch(self) -> answers.Epoch:
        answer = await _called(self._provider, "getEpochInfo", {"commitment": "finalized"})
        return answers.read_answer(answers.epoch, answer)

    async def _ask_all(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            await asyncio.sleep(max(self._next_call - loop.time(), 0))
            self._next_call = loop.time() + self._interval
            asked = dict(list(self._waiting.items())[:MOST_SIGNATURES])
            for signature in asked:
                del self._waiting[signature]
            try:
                found = await self._ask(list(asked))
            except RpcUnavailable as error:
                self._fail(asked, error)
            except BaseException:
                self._fail(asked, RpcUnavailable("the network was closed"))
                raise
            else:
                for future, sighting in zip(asked.values(), found, strict=True):
                    _settle(future, sighting)

    async def _ask(self, signatures: Sequence[str]) -> list[Sighting | RpcUnavailable]:
        epoch = await self.epoch()  # before the statuses: that is what makes it a proof
        config = {"searchTransactionHistory": True}
        answer = await _called(self._provider, "getSignatureStatuses", signatures, config)
        found = answers.read_answer(answers.statuses, answer)
        if len(found.of) != len(signatures):
            raise RpcUnavailable(f"{self._provider.name} answered for other signatures")
        return [self._sighting(one, found.slot, epoch) for one in found.of]

    def _sighting(
        self, status: answers.Status | None, slot: int, epoch: answers.Epoch
    ) -> Sighting | RpcUnavailable:
        if status is not None:
            return Final(status.error) if status.is_final else NotFinal()
        if slot < epoch.slot:
            reason = f"answered as of slot {slot}, before its own {epoch.slot}"
            return RpcUnavailable(f"{self._provider.name} {reason}")
        return Unknown(epoch.height)

    def _fail(self, asked: dict[str, asyncio.Future[Sighting]], error: RpcUnavailable) -> None:
        for future in asked.values():
            _settle(future, error)


def _settle(future: "asyncio.Future[Sighting]", outcome: Sighting | RpcUnavailable) -> None:
    if isinstance(outcome, RpcUnavailable):
        future.set_exception(outcome)
        future.exception()  # nobody may be waiting any more
    else:
        future.set_result(outcome)


async def _called(provider: Provider, method: str, *params: Any) -> Any:
    try:
        return await provider.call(method, *params)
    except RpcError as error:
        raise RpcUnavailable(f"{provider.name} refused {method}: {error}") from error
