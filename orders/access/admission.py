"""Limits how much the engine lets in: the orders of each account, and all orders that wait.

No sender may fill more than a share of the backlog.

The accounts' limit is counted in Redis, over all web processes; requests that ask at the same
moment share one command. When Redis does not answer in time, each process counts for itself.
PostgreSQL counts the waiting orders once a second. Each process adds the orders that it has let in
since then.
"""

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import psycopg
from django.conf import settings
from django.utils.crypto import salted_hmac
from redis.exceptions import RedisError

from config.database.conninfo import conninfo
from config.http.address import site_of
from config.runtime.background import Background
from config.runtime.per_loop import once_per_loop
from config.runtime.postgres import Link
from config.runtime.rate import Rate
from config.runtime.redis_client import async_redis_client
from config.runtime.session import remaining
from orders.access.accounts import Principal
from orders.lifecycle import IS_WAITING

logger = logging.getLogger(__name__)

REDIS_SECONDS = 0.25
SILENT_SECONDS = 1.0  # after Redis failed us; each process counts for itself meanwhile
MAX_COUNTED = 10_000  # accounts that a process counts by itself
BACKLOG_SECONDS = 1.0
OVERLOADED_SECONDS = 5  # after which a refused client should come again
STRANGER_BYTES = 6  # of an address's digest; addresses with equal digests share turns
KEY = settings.REDIS_PREFIX + "limit:"

# The generic cell rate algorithm: each key holds the time at which its bucket is full again.
# ARGV: how many, in how many seconds, then one index into KEYS for each request, oldest first.
# A key's value that is no such time is ignored and overwritten.
# The answer to each request is how many are left, the seconds until the bucket is full, and the
# seconds until the next request is let in (0: this one was).
TAKE = """
local count, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local step, clock, answers, full = window / count, redis.call('TIME'), {}, {}
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
for place = 3, #ARGV do
  local key = KEYS[tonumber(ARGV[place])]
  local at = full[key]
  if not at then
    local found = redis.pcall('GET', key)
    at = type(found) == 'string' and tonumber(found)
    if not at or not (at <= now + window) then at = 0 end
  end
  at = math.max(at, now)
  local wait = at + step - now - window
  if wait < 0.000001 then wait = 0; at = at + step end
  full[key] = at
  local left = math.max(0, math.floor((window - (at - now)) / step + 0.000001))
  answers[#answers + 1] = string.format('%d %.6f %.6f', left, at - now, wait)
end
for key, at in pairs(full) do
  if at > now then
    redis.call('SET', key, string.format('%.6f', at), 'PX', math.ceil((at - now) * 1000))
  end
end
return answers
"""

WAITING = f"""
SELECT sender, count(*) FROM (
  SELECT sender FROM orders WHERE {IS_WAITING} AND turn >= 0 LIMIT %s) AS waiting
GROUP BY sender
"""  # noqa: S608  # our own words


class Allowance(NamedTuple):
    """What a limit says of one request. Seconds; `wait` 0 means it is let in."""

    limit: int
    left: int
    reset: float
    wait: float

    def headers(self) -> dict[str, str]:
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.left),
            "RateLimit-Reset": str(math.ceil(self.reset)),
        }


class Overloaded(Exception):
    """Too many orders wait. Nothing was stored; try again after OVERLOADED_SECONDS."""


class ShareIsFull(Exception):
    """Too many orders of this sender wait. Nothing was stored; others may go on sending."""


class Limiter:
    """The limit of each account; one object for each asyncio loop."""

    def __init__(self, redis_url: str, rate: Rate) -> None:
        self._rate = rate
        self._redis = async_redis_client(redis_url, REDIS_SECONDS)
        self._take = self._redis.register_script(TAKE)
        self._own = OwnCount(rate)
        self._waiting: list[tuple[str, asyncio.Future[Allowance]]] = []
        self._asking = Background(self._ask)
        self._silent_until = 0.0

    async def take(self, name: str) -> Allowance:
        """Count one request of `name`; never raises for a Redis that is away."""
        future: asyncio.Future[Allowance] = asyncio.get_running_loop().create_future()
        self._waiting.append((name, future))
        self._asking.begin()
        return await future

    async def close(self) -> None:
        await self._asking.wait_until_done()
        await self._redis.aclose()

    async def _ask(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            allowed = await self._allowances([name for name, _ in batch])
            for (_, future), allowance in zip(batch, allowed, strict=True):
                if not future.done():
                    future.set_result(allowance)

    async def _allowances(self, names: Sequence[str]) -> list[Allowance]:
        clock = asyncio.get_running_loop().time
        if clock() >= self._silent_until:
            try:
                async with asyncio.timeout(REDIS_SECONDS):
                    return await self._shared(names)
            except (RedisError, OSError, TimeoutError) as error:
                self._silent_until = clock() + SILENT_SECONDS
                logger.warning("each process counts orders by itself for now: %s", error)
        return [self._own.take(name) for name in names]

    async def _shared(self, names: Sequence[str]) -> list[Allowance]:
        places = {name: place for place, name in enumerate(dict.fromkeys(names), start=1)}
        answers = await self._take(
            keys=[KEY + name for name in places],
            args=[self._rate.count, self._rate.seconds, *(places[name] for name in names)],
        )
        return [
            Allowance(self._rate.count, int(left), float(reset), float(wait))
            for left, reset, wait in (answer.split() for answer in answers)
        ]


class OwnCount:
    """The same limit within one process."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._full: dict[str, float] = {}

    def take(self, name: str, cost: int = 1) -> Allowance:
        now, window = time.monotonic(), float(self._rate.seconds)
        unit = window / self._rate.count
        step = unit * cost
        if len(self._full) >= MAX_COUNTED:
            self._full = {key: at for key, at in self._full.items() if at > now}
        at = max(self._full.get(name, 0.0), now)
        wait = at + step - now - window
        if wait < 1e-6:
            wait, at = 0.0, at + step
            self._full[name] = at
        left = max(0, math.floor((window - (at - now)) / unit + 1e-6))
        return Allowance(self._rate.count, left, at - now, wait)


class Backlog:
    """How many orders wait for their first start; one object for each asyncio loop."""

    def __init__(self, most: int, share: float = 1.0) -> None:
        self._most = most
        self._most_of_one = max(1, int(most * share))
        self._link = Link(conninfo(), "engine backlog")
        self._waiting: Counter[int] = Counter()  # of each sender, at the last reading
        self._waiting_in_all = 0
        self._stored: Counter[int] = Counter()  # by us since then; that reading may have some, too
        self._stored_in_all = 0
        self._let_in: Counter[int] = Counter()  # and not stored yet
        self._let_in_in_all = 0
        self._read_at = -math.inf
        self._reading = Background(self._read)

    def room(self, sender: int) -> "Room":
        """Return a context that lets one order of the sender in: store the order inside it.

        Entering it raises Overloaded if the backlog is full, and ShareIsFull if the sender's share
        of it is full.
        """
        return Room(self, sender)

    async def let_in(self, sender: int) -> None:
        """:raises Overloaded, ShareIsFull: there is no room."""
        if asyncio.get_running_loop().time() - self._read_at > BACKLOG_SECONDS:
            self._reading.begin()
            if self._refusal_of(sender):  # it was full; now it may not be any more
                await self._reading.wait_until_done(remaining(BACKLOG_SECONDS))
        if (refusal := self._refusal_of(sender)) is not None:
            raise refusal
        self._let_in_in_all += 1
        self._let_in[sender] += 1

    def let_out(self, sender: int, *, is_stored: bool) -> None:
        self._let_in_in_all -= 1
        self._let_in[sender] -= 1
        if not self._let_in[sender]:
            del self._let_in[sender]
        if is_stored:
            self._stored[sender] += 1
            self._stored_in_all += 1

    async def close(self) -> None:
        await self._reading.wait_until_done()
        await self._link.close()

    def _refusal_of(self, sender: int) -> Exception | None:
        if self._waiting_in_all + self._stored_in_all + self._let_in_in_all >= self._most:
            return Overloaded()
        own = self._waiting[sender] + self._stored[sender] + self._let_in[sender]
        return ShareIsFull() if own >= self._most_of_one else None

    async def _read(self) -> None:
        stored, self._stored = self._stored, Counter()
        self._stored_in_all = 0
        try:
            rows = await self._link.fetch(WAITING, (self._most,))
        except psycopg.Error as error:
            self._stored += stored
            self._stored_in_all += stored.total()
            logger.warning("the backlog was not counted: %s", error)
        else:
            self._waiting = Counter(dict(rows))
            self._waiting_in_all = self._waiting.total()
        finally:
            self._read_at = asyncio.get_running_loop().time()


class Room:
    """The room of one order, held until it is stored."""

    __slots__ = ("_backlog", "_sender")

    def __init__(self, backlog: Backlog, sender: int) -> None:
        self._backlog, self._sender = backlog, sender

    async def __aenter__(self) -> None:
        await self._backlog.let_in(self._sender)

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._backlog.let_out(self._sender, is_stored=kind is None)


async def allowance_of(
    principal: Principal, client: str, *, rests: bool = False
) -> Allowance | None:
    """Count one order sent by the account, or anonymously from this address; None: no limit.

    Orders that rest are counted apart.
    """
    limiter = resting_limiter_of_this_loop() if rests else limiter_of_this_loop()
    if limiter is None:
        return None
    name = name_of(principal, client)
    return await limiter.take(f"resting:{name}" if rests else name)


def name_of(principal: Principal, client: str) -> str:
    """Return what is counted together: an account; an IPv4 address; a network of IPv6."""
    if principal.owner is not None:
        return f"account:{principal.owner}"
    return f"address:{site_of(client)}"


def sender_of(principal: Principal, client: str) -> int:
    """Return the number of a sender: an account's number, or a negative number for an address.

    The negative number is a short digest with a secret key: it tells senders apart, but does not
    reveal their addresses.
    """
    if principal.owner is not None:
        return principal.owner
    return _stranger(name_of(principal, client))


@lru_cache(maxsize=MAX_COUNTED)
def _stranger(name: str) -> int:
    digest = salted_hmac("orders.access.admission.stranger", name, algorithm="sha256").digest()
    return -1 - int.from_bytes(digest[:STRANGER_BYTES])


@once_per_loop
def limiter_of_this_loop() -> Limiter | None:
    """Return the running loop's limiter, made at the first call; None if there is no limit."""
    rate = settings.ACCOUNT_RATE_LIMIT
    return None if rate is None else Limiter(settings.REDIS_URL, rate)


@once_per_loop
def resting_limiter_of_this_loop() -> Limiter | None:
    """Return the running loop's limiter of orders that rest; None if there is no limit."""
    rate = settings.RESTING_RATE_LIMIT
    return None if rate is None else Limiter(settings.REDIS_URL, rate)


@once_per_loop
def backlog_of_this_loop() -> Backlog:
    """Return the running loop's backlog, made at the first call."""
    return Backlog(settings.MAX_BACKLOG, settings.SENDER_BACKLOG_SHARE)
