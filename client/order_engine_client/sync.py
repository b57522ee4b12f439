"""The same client for programs without asyncio.

It is the asynchronous one, on a loop in a thread of its own: so both do the same, and a stream is
read and pings are answered while the program does something else.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Concatenate, ParamSpec, TypeVar

from order_engine_client.answers import Event, Snapshot
from order_engine_client.client import AsyncClient
from order_engine_client.events import Events

P = ParamSpec("P")
Found = TypeVar("Found")


def _waiting(
    method: Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, Found]],
) -> "Callable[Concatenate[Client, P], Found]":
    """Return the method as one that returns when it is done."""

    def waiting(client: "Client", /, *args: P.args, **kwargs: P.kwargs) -> Found:
        return client.run(method(client.asynchronous, *args, **kwargs))

    waiting.__doc__ = method.__doc__
    return waiting


def _iterating(
    method: Callable[Concatenate[AsyncClient, P], AsyncIterator[Found]],
) -> "Callable[Concatenate[Client, P], Iterator[Found]]":
    """Return the method as one whose iterator waits for each."""

    def iterating(client: "Client", /, *args: P.args, **kwargs: P.kwargs) -> Iterator[Found]:
        found = method(client.asynchronous, *args, **kwargs)
        try:
            while (one := client.run(_next(found))) is not None:
                yield one
        finally:
            if isinstance(found, AsyncGenerator):
                client.run(found.aclose())

    iterating.__doc__ = method.__doc__
    return iterating


def _streaming(
    method: Callable[Concatenate[AsyncClient, P], Events],
) -> "Callable[Concatenate[Client, P], SyncEvents]":
    def streaming(client: "Client", /, *args: P.args, **kwargs: P.kwargs) -> "SyncEvents":
        return SyncEvents(client, method(client.asynchronous, *args, **kwargs))

    streaming.__doc__ = method.__doc__
    return streaming


async def _next(found: AsyncIterator[Found]) -> Found | None:
    return await anext(found, None)


class SyncEvents(Iterator[Event | Snapshot]):
    """As `Events`. End a stream that is left before its end by `close()`, or use it in a `with`."""

    def __init__(self, client: "Client", events: Events) -> None:
        self._client, self._events = client, events

    @property
    def cursor(self) -> str | None:
        return self._events.cursor

    def __next__(self) -> Event | Snapshot:
        found = self._client.run(_next(self._events))
        if found is None:
            raise StopIteration
        return found

    def close(self) -> None:
        self._client.run(self._events.aclose())

    def __enter__(self) -> "SyncEvents":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Client:
    """As `AsyncClient`, which says what each call does and raises. Threads may share it."""

    def __init__(self, url: str, api_key: str | None = None, **patience: float) -> None:
        """`patience`: `timeout` and `give_up_after`, as of `AsyncClient`."""
        self.asynchronous = AsyncClient(url, api_key, **patience)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    get = _waiting(AsyncClient.get)
    place = _waiting(AsyncClient.place)
    place_pair = _waiting(AsyncClient.place_pair)
    preview = _waiting(AsyncClient.preview)
    batch = _waiting(AsyncClient.batch)
    replace = _waiting(AsyncClient.replace)
    cancel = _waiting(AsyncClient.cancel)
    cancel_many = _waiting(AsyncClient.cancel_many)
    cancel_all = _waiting(AsyncClient.cancel_all)
    amend = _waiting(AsyncClient.amend)
    order = _waiting(AsyncClient.order)
    order_events = _waiting(AsyncClient.order_events)
    orders = _iterating(AsyncClient.orders)
    follow = _iterating(AsyncClient.follow)
    events = _streaming(AsyncClient.events)

    def run(self, work: Coroutine[Any, Any, Found]) -> Found:
        """Do this on the client's loop, and wait for it; a Ctrl-C ends it."""
        doing = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return doing.result()
        finally:
            doing.cancel()  # changes nothing if it is done

    def close(self) -> None:
        self.run(self.asynchronous.aclose())
        self.run(self._loop.shutdown_asyncgens())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
