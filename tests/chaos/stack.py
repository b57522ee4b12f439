"""The engine under fire: its processes and servers, kept running as a supervisor would."""

import asyncio
import signal
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from tests.chaos.plan import Options
from tests.chaos.servers import some_postgres, standby_of
from tests.support.engine import (
    Engine,
    Process,
    Server,
    listen,
    own_redis,
)
from tests.support.grid import swinging
from tests.support.proxy import Connections, Proxy, proxy_of, proxy_of_port, proxy_of_redis

WORKERS, WEBS, SCHEDULERS = 3, 2, 2
LEASE_SECONDS = 2.0
NO_SWITCH = {"scheduler", "constraints"}  # parts that are taken away without one
STOP_SECONDS = 30.0  # in which a process that was asked to stop has to end
EVERY_NETWORK_FAULT = {
    "quote_timeout": 0.05,
    "quote_refused": 0.1,
    "absurd_quote": 0.1,
    "send_dropped": 0.2,
    "reply_lost": 0.2,
    "landing_late": 0.1,
    "price_moved": 0.1,
    "expiry": 0.08,
}
ENVIRONMENT = {
    "DJANGO_SETTINGS_MODULE": "tests.chaos.settings",
    "LEASE_SECONDS": str(LEASE_SECONDS),
    "LINGER_SECONDS": "2",  # as in production, unlike in other tests
    "ORDER_RATE_LIMIT": "1000/m",
    "ACCOUNT_RATE_LIMIT": "unlimited",
    "READ_RATE_LIMIT": "unlimited",
    "QUOTE_TIMEOUT": "0.5",
    "RETRY_BACKOFF": "0.3",
    "STATUS_POLL_SECONDS": "0.1",
    "RESEND_SECONDS": "0.5",
    "STOP_GRACE_SECONDS": "3",
    "SIMULATION_QUOTE_LATENCY": "0.1",
    "SIMULATION_LANDING_LATENCY": "0.2-1.5",
    "SIMULATION_LATE_BY": "1.5",
    "SIMULATION_BLOCK_SECONDS": "0.2",
    "SIMULATION_EXPIRY_BLOCKS": "15",
    "SIMULATION_FAULTS": ",".join(f"{name}={rate}" for name, rate in EVERY_NETWORK_FAULT.items()),
}


class Place:
    """One process of the engine that is started again whenever it ends."""

    def __init__(self, name: str, start: Callable[..., Process]) -> None:
        self.name = name
        self.turn = asyncio.Lock()
        """Held by a fault for as long as it has hold of the process."""
        self.starts = 0
        self._start = start
        self.start()

    def start(self, **environment: str) -> None:
        self.process = self._start(**environment)
        self.starts += 1


class Stack:
    """Everything that a fault may be done to."""

    places: list[Place]
    postgres: Server
    database: str
    """libpq's form, without a proxy."""
    before_postgres: Proxy
    disk: Path | None
    """Where PostgreSQL's files are, if that is small enough to be filled."""
    redis: Server
    redis_url: str
    """Without a proxy."""
    before_redis: Connections
    before_web: Connections
    port: int
    """Where clients connect."""

    def __init__(self, exits: AsyncExitStack) -> None:
        """`exits`: where servers end that are started under way."""
        self.postgres_turn, self.redis_turn = asyncio.Lock(), asyncio.Lock()
        self.deaths: Counter[str] = Counter()
        """Processes that ended by themselves, by kind and exit code."""
        self.late_stops: list[str] = []
        """Processes that did not end in time after SIGTERM."""
        self.taken_from_stranger = 0
        """Tasks of another application that were no longer there when it looked."""
        self._retired: list[Server] = []
        self._exits = exits

    def place(self, kind: str, pick: float) -> Place:
        """Return one of the processes of this kind; `pick` is from 0 up to 1."""
        places = [place for place in self.places if place.name == kind]
        return places[int(pick * len(places))]

    async def start_standby(self) -> tuple[Server, str]:
        """Return a new standby of the PostgreSQL that runs, and its address."""
        return await self._exits.enter_async_context(standby_of(self.database))

    def use(self, postgres: Server, database: str) -> None:
        """Have another server be the PostgreSQL from now on; it is behind the proxy already."""
        self._retired.append(self.postgres)
        self.postgres, self.database, self.disk = postgres, database, None

    @property
    def postgres_log(self) -> str:
        return "".join(server.log for server in [*self._retired, self.postgres])

    @property
    def restarts(self) -> int:
        return sum(place.starts - 1 for place in self.places)

    async def stop(self, place: Place) -> None:
        """Ask the process to end and start the next one at once, as a rolling deploy does."""
        old = place.process
        old.send(signal.SIGTERM)
        place.start()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                while old.exit_code is None:
                    await asyncio.sleep(0.05)
        except TimeoutError:
            self.late_stops.append(place.name)
            old.kill()

    async def keep_running(self) -> None:
        """Start again what ended by itself, for ever."""
        while True:
            await asyncio.sleep(0.2)
            for place in self.places:
                code = place.process.exit_code
                if code is not None and not place.turn.locked():
                    self.deaths[f"{place.name}:{code}"] += 1
                    place.start()

    async def is_up(self, server: Server) -> None:
        """Return when the server answers; it is started if it does not run."""
        while not server.is_up():
            await asyncio.sleep(0.05)


@asynccontextmanager
async def running(options: Options, logs: Path, kinds: Collection[str]) -> AsyncIterator[Stack]:
    """A migrated engine with servers of its own, reached through proxies; nothing is left of it.

    Its servers are such that faults of these kinds can be done. For an even seed they are reached
    by TCP, for an odd one by unix sockets.
    """
    by_port = options.seed % 2 == 0
    async with AsyncExitStack() as exits:
        stack = Stack(exits)
        stack.redis, stack.redis_url = exits.enter_context(own_redis())
        stack.postgres, stack.database, stack.disk = exits.enter_context(
            some_postgres(small="fill_disk" in kinds)
        )
        stack.before_postgres = await exits.enter_async_context(
            proxy_of(stack.database, by_port=by_port)
        )
        stack.before_redis, redis_url = await exits.enter_async_context(
            proxy_of_redis(stack.redis_url, by_port=by_port)
        )
        environment = ENVIRONMENT | {
            "DATABASE_URL": stack.before_postgres.conninfo,
            "REDIS_URL": redis_url,
            "SIMULATION_SEED": str(options.seed),
            "SWITCHES": ",".join(sorted(options.without - NO_SWITCH)),
        }
        if options.bot:
            environment |= swinging(options.seconds)
        if not options.has_network_faults:
            environment["SIMULATION_FAULTS"] = ""
        direct = Engine(environment | {"DATABASE_URL": stack.database}, logs)
        direct.manage("migrate", "--verbosity", "0")
        listener = exits.enter_context(listen())
        stack.before_web, stack.port = await exits.enter_async_context(
            proxy_of_port(listener.getsockname()[1])
        )
        engine = Engine(environment, logs)
        exits.callback(engine.kill)
        stack.places = _places(engine, listener, options)
        yield stack


def _places(engine: Engine, listener: socket.socket, options: Options) -> list[Place]:
    schedulers = 0 if "scheduler" in options.without else SCHEDULERS
    return [
        *(Place("worker", engine.worker) for _ in range(WORKERS)),
        *(Place("web", partial(engine.web_on, listener)) for _ in range(WEBS)),
        *(Place("scheduler", engine.scheduler) for _ in range(schedulers)),
    ]
