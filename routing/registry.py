"""The tokens and markets that this process knows: its copy of the operators' tables.

A look-up reads only memory. The copy is read again with each heartbeat of the process. It is also
read at once when a look-up finds nothing, because the name may have been added since. While the
database is away, the copy stays as it is.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from contextvars import Context
from decimal import Decimal
from fractions import Fraction
from math import ceil
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from django.conf import settings
from django.db import connection

from config.runtime.per_loop import once_per_loop
from routing import models
from routing.tokens import REGISTRY, Market, Registry, Token

PAUSE_SECONDS = 1.0
"""The least time between two reads for unknown names: clients may send any number of them."""

Found = TypeVar("Found")


class PoolRow(NamedTuple):
    """A real pool that is traded in: its venue, the mints of its market, its address."""

    venue: str
    base: str
    quote: str
    address: str


class Copy(NamedTuple):
    """A registry, and the rows that it was made from; None before the first read."""

    registry: Registry
    rows: Any = None
    read_at: float = float("-inf")
    pools: tuple[PoolRow, ...] = ()
    stopped: Mapping[str, str] = MappingProxyType({})


_copy = Copy(REGISTRY)
_reading = threading.Lock()  # so that no read replaces a newer copy by an older one


def registry() -> Registry:
    """Return the copy as it is. It is replaced as a whole, so ask again for each order."""
    return _copy.registry


def is_read() -> bool:
    """Whether the copy comes from the database. If not, it is what a new engine trades."""
    return _copy.rows is not None


def live_pools() -> tuple[PoolRow, ...]:
    """Return the real pools that are traded in: none in a simulation. The same while they are."""
    return _copy.pools


def stopped_venues() -> Mapping[str, str]:
    """Return by venue why it takes no part until a person resumes it."""
    return _copy.stopped


def read_registry() -> None:
    """Read the tables. It is for threads and sync code. The same rows keep the same registry.

    :raises django.db.Error: the database does not answer; the copy stays.
    """
    global _copy
    with _reading:
        read_at = time.monotonic()
        # In this order: a market's tokens are stored before it.
        markets: list[Any] = list(
            models.Market.objects.values_list(
                *("base", "quote", "reference_price", "takes_orders", "min_base", "min_quote")
            )
        )
        tokens = list(models.Token.objects.values_list("symbol", "mint", "decimals"))
        rows = (tokens, markets)
        latest = _copy.registry if rows == _copy.rows else registry_of(tokens, markets)
        pools, stopped = _read_live() if settings.VENUES == "solana" else ((), {})
        _copy = Copy(latest, rows, read_at, _copy.pools if pools == _copy.pools else pools, stopped)


def _read_live() -> tuple[tuple[PoolRow, ...], dict[str, str]]:
    columns = "venue", "market__base__mint", "market__quote__mint", "address"
    pools = models.LivePool.objects.filter(is_traded=True).values_list(*columns)
    stops = models.VenueStop.objects.filter(resumed_at=None).values_list("venue", "why")
    return tuple(PoolRow(*row) for row in pools), dict(stops)


MarketRow = tuple[str, str, Decimal, bool, Decimal | None, Decimal | None]
"""Base, quote, reference price, whether it takes orders, the least base and quote input."""


def registry_of(tokens: list[tuple[str, str, int]], markets: list[MarketRow]) -> Registry:
    known = {symbol: Token(symbol, mint, decimals) for symbol, mint, decimals in tokens}
    return Registry(known.values(), [_market_of(row, known) for row in markets])


def _market_of(row: MarketRow, known: dict[str, Token]) -> Market:
    base, quote, price, is_open, min_base, min_quote = row
    return Market(
        known[base],
        known[quote],
        price.normalize(),
        is_open=is_open,
        min_base=_least_atoms(known[base], min_base),
        min_quote=_least_atoms(known[quote], min_quote),
    )


def _least_atoms(token: Token, amount: Decimal | None) -> int | None:
    """Return an operator's minimum in atoms. It may have more decimals than the token."""
    return None if amount is None else ceil(Fraction(amount) * 10**token.decimals)


def look_up(look: Callable[[Registry], Found]) -> Found:
    """Return what `look` finds. If it finds nothing, read the copy again and look once more.

    It is for sync code and stored orders, whose tokens and markets always exist.

    :raises LookupError: it is unknown.
    :raises django.db.Error: the database does not answer, and may know it.
    """
    try:
        return look(registry())
    except LookupError:
        read_registry()
        return look(registry())


def look_up_if_due(look: Callable[[Registry], Found]) -> Found:
    """Like `look_up`, for a client's names. A copy not older than PAUSE_SECONDS is enough."""
    if time.monotonic() - _copy.read_at < PAUSE_SECONDS:
        return look(registry())
    return look_up(look)


async def read_again() -> None:
    """Return when the copy is younger than this call. All callers that wait share a read.

    :raises django.db.Error: the database does not answer; the copy stays.
    """
    await _reader_of_this_loop().read()


class _Reader:
    """Reads for one asyncio loop without blocking it."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._next: asyncio.Task[None] | None = None
        self._began = float("-inf")

    async def read(self) -> None:
        if self._next is None:  # a read under way may miss a newer row
            self._next = asyncio.create_task(self._read_next(), context=Context())
            self._next.add_done_callback(_note)
        await asyncio.shield(self._next)

    async def _read_next(self) -> None:
        async with self._turn:
            await asyncio.sleep(self._began + PAUSE_SECONDS - time.monotonic())
            self._next, self._began = None, time.monotonic()
            await asyncio.to_thread(_read_and_hang_up)


@once_per_loop
def _reader_of_this_loop() -> _Reader:
    return _Reader()


def _note(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()  # marks the error as seen, even if no caller waits


def _read_and_hang_up() -> None:
    try:
        read_registry()
    finally:
        connection.close()
