"""A client of Redis waits so long and no longer, and asks once."""

import asyncio
import socketserver
import threading
from collections.abc import Callable, Iterator

import pytest
import redis
from django.conf import settings

from config.runtime.redis_client import async_redis_client, redis_client
from tests.support.machine import Watch

SECONDS = 0.1


class SilentServer(socketserver.ThreadingTCPServer):
    """Lets clients in, and never answers what they ask."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Greeting)
        self.url = f"redis://127.0.0.1:{self.server_address[1]}/0"
        self.questions = 0


class Greeting(socketserver.BaseRequestHandler):
    server: SilentServer

    def handle(self) -> None:
        while said := self.request.recv(4096):
            self.server.questions += said.count(b"PING")
            self.request.sendall(b"+OK\r\n" * said.count(b"SETINFO"))


@pytest.fixture
def silent() -> Iterator[SilentServer]:
    with SilentServer() as server:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield server
        server.shutdown()


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
    assert silent.questions == 1


@pytest.mark.parametrize("ask", [ask, ask_from_a_loop])
def test_a_redis_that_answers_is_asked_as_it_is_named(ask: Callable[[str], None]) -> None:
    ask(settings.REDIS_URL)
