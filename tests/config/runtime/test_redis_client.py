"""A client of Redis waits so long and no longer, and asks once."""

import asyncio
import socket
from collections.abc import Callable, Iterator

import pytest
import redis
from django.conf import settings

from config.runtime.redis_client import async_redis_client, redis_client
from tests.support.machine import Watch

SECONDS = 0.1


class SilentServer:
    """Takes connections, and never answers."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.url = f"redis://127.0.0.1:{listener.getsockname()[1]}/0"

    def connections(self) -> int:
        """Count those that wait to be taken."""
        self._listener.setblocking(False)
        taken = []
        try:
            while True:
                taken.append(self._listener.accept()[0])
        except BlockingIOError:
            return len(taken)
        finally:
            for one in taken:
                one.close()


@pytest.fixture
def silent() -> Iterator[SilentServer]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield SilentServer(listener)


def ask(url: str) -> None:
    with redis_client(url, SECONDS) as client:
        client.ping()


def ask_from_a_loop(url: str) -> None:
    async def ask() -> None:
        async with async_redis_client(url, SECONDS) as client:
            await client.ping()

    asyncio.run(ask())


@pytest.mark.parametrize("ask", [ask, ask_from_a_loop])
def test_a_redis_that_is_silent_is_asked_once_and_given_up(
    ask: Callable[[str], None], silent: SilentServer
) -> None:
    watch = Watch()
    with pytest.raises(redis.TimeoutError):
        ask(silent.url)
    watch.assert_within(1.0)
    assert silent.connections() == 1


@pytest.mark.parametrize("ask", [ask, ask_from_a_loop])
def test_a_redis_that_answers_is_asked_as_it_is_named(ask: Callable[[str], None]) -> None:
    ask(settings.REDIS_URL)
