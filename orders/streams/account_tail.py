"""The end of the accounts' logs: what is new, told to each reader that has read all before it.

Once a second one query of the process asks for what its last one did not see, for all accounts that
are followed here. Between two of them, hints tell of events as they happen. So a hint that was lost
costs a second and never an event. Nothing is kept for a reader that is slow: it reads the log from
where it stands, and joins again.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Protocol

import psycopg

from config.runtime.background import Background
from config.runtime.counters import counts
from config.runtime.per_loop import once_per_loop
from orders.events import Event, group_of_account
from orders.streams.account_log import (
    Choice,
    Logged,
    LogLost,
    Page,
    account_log_of_this_loop,
    in_order,
)
from orders.streams.cursor import Position, UnknownCursor
from orders.streams.followers import LAYER_FAULTS, Hint, followers_of_this_loop
from orders.streams.resync import UnknownOrder, streams_of_this_loop

logger = logging.getLogger(__name__)

RESYNC_SECONDS = 1.0
SOON_SECONDS = 0.02  # from a question for the next query to it: others may ask as well
MOST_EVENTS = 5_000  # in one query; readers of more read the log, each for itself
LAYER_SECONDS = 1.0

Make = Callable[[str], bytes]
"""How a transport writes a message."""


class Told:
    """An event, as all readers of an account are told of it."""

    def __init__(self, of: Hint | Event) -> None:
        self._of = of
        self.order_id, self.seq, self.is_final = of.order_id, of.seq, of.is_final
        self._made: dict[Make, bytes] = {}

    @property
    def key(self) -> tuple[str, int]:
        return self.order_id, self.seq

    @cached_property
    def text(self) -> str:
        """The event's message."""
        return self._of.text if isinstance(self._of, Hint) else self._of.as_text().decode()

    def made(self, make: Make) -> bytes:
        """Return the message as a transport writes it; it is made once for all its readers."""
        if make not in self._made:
            self._made[make] = make(self.text)
        return self._made[make]


class Reader(Protocol):
    """What reads an account's log to its end, and then hears of what is new."""

    owner: int
    choice: Choice
    seen: Position
    """All that the database had when the reader had read all of it; then what the tail has seen."""

    def hear(self, told: Told) -> bool:
        """Take an event at once. False: it cannot, and is told nothing more until it joins."""

    def reach(self, seen: Position, last: int) -> None:
        """Learn that all of this was told; the last transaction that wrote any of it, or 0."""

    def fall_behind(self) -> None:
        """Learn that there is more than what is told here: read the log, and join again."""

    def wait(self) -> None:
        """Learn that the log cannot be read for now."""


class Account:
    """The readers of one account in this process."""

    def __init__(self, hear: Callable[["Account", Hint], None]) -> None:
        self._hear = hear
        self.is_listened_to = False
        """Whether hints of the account come here."""
        self.open: set[Reader] = set()
        """All of them, also those that still read the log."""
        self.joining: set[Reader] = set()
        """They are told nothing before the next query: they may have read what hints tell."""
        self.joined: set[Reader] = set()
        self.last: dict[str, int] = {}
        """The seq that was told last, of each order that is under way."""
        self.hinted: dict[tuple[str, int], Told] = {}
        """What hints have told and no query has found yet."""

    def hear(self, hint: Hint) -> None:
        self._hear(self, hint)

    @property
    def is_followed(self) -> bool:
        """Whether a reader hears of what is new; the others read the log."""
        return bool(self.joining or self.joined)

    def follows(self, hint: Hint) -> bool | None:
        """Whether a hint is the next event of its order. None: it was told before."""
        last = self.last.get(hint.order_id, 0 if hint.seq == 1 else -1)
        return None if hint.seq <= last else hint.seq == last + 1

    def tell(self, told: Told, readers: Iterator[Reader]) -> None:
        for reader in readers:
            if not reader.hear(told):
                self.joined.discard(reader)
                self.joining.discard(reader)

    def tell_hint(self, hint: Hint) -> None:
        """Tell those that want all events: a hint does not say what its order is."""
        told = Told(hint)
        self.tell(told, iter([reader for reader in self.joined if not reader.choice]))
        self.hinted[told.key] = told
        self.last[hint.order_id] = hint.seq

    def tell_logged(self, row: Logged, joining: set[Reader]) -> None:
        """Tell an event of the log to those that no hint has told of it."""
        told = Told(row.event)
        was_hinted = self.hinted.pop(told.key, None) is not None
        readers = [one for one in self.joined if one.choice or not was_hinted]
        readers += [one for one in joining & self.joining if not one.seen.has_told(row.transaction)]
        self.tell(told, iter([one for one in readers if one.choice.takes(row.order)]))
        if told.is_final:
            self.last.pop(told.order_id, None)
        else:
            self.last[told.order_id] = max(told.seq, self.last.get(told.order_id, 0))

    def forget(self, hinted: set[tuple[str, int]]) -> None:
        """Drop hints that came before a query: what it did not find of them never happened."""
        for key in hinted:
            self.hinted.pop(key, None)

    def let_join(self, joining: set[Reader], seen: Position, last: int) -> None:
        """Have readers join that were told all of this, and now what hints told since."""
        for reader in joining & self.joining:
            self.joining.discard(reader)
            self.joined.add(reader)
            if not reader.choice:
                for told in self.hinted.values():
                    self.tell(told, iter([reader]))
        for reader in [one for one in self.joining if not one.seen.covers(seen)]:
            self.joining.discard(reader)
            reader.fall_behind()
        for reader in list(self.joined):
            reader.reach(seen, last)


class AccountTail:
    """One for each asyncio loop."""

    def __init__(self) -> None:
        self._accounts: dict[int, Account] = {}
        self._seen: Position | None = None
        self._asking = Background(self._ask_for_ever)
        self._listening = Background(self._listen_to_others)
        self._soon = asyncio.Event()

    async def open(self, reader: Reader) -> None:
        """Have hints of the reader's account come here. Without Redis, the queries serve."""
        account = self._accounts.get(reader.owner)
        if account is None:
            account = self._accounts[reader.owner] = Account(self._hear)
        is_first = not account.open
        account.open.add(reader)
        if is_first:
            await self._listen_to(reader.owner, account)

    async def close_reader(self, reader: Reader) -> None:
        account = self._accounts[reader.owner]
        for readers in (account.open, account.joining, account.joined):
            readers.discard(reader)
        if account.open:
            return
        del self._accounts[reader.owner]
        try:
            async with asyncio.timeout(LAYER_SECONDS):
                await followers_of_this_loop().leave(group_of_account(reader.owner), account)
        except LAYER_FAULTS as error:
            logger.info("an account's group was not left: %s", error)

    def join(self, reader: Reader) -> bool:
        """Tell the reader what comes after what it has seen. False: it has to read on before.

        Between its reading and this, nothing may be waited for.
        """
        if self._seen is None or not self._is_followed():
            self._seen = reader.seen
        if not reader.seen.covers(self._seen):
            return False
        account = self._accounts[reader.owner]
        if not account.is_followed:  # nothing was told or noted of it meanwhile
            account.last.clear()
            account.hinted.clear()
        account.joining.add(reader)
        self._soon.set()
        self._asking.begin()
        return True

    async def close(self) -> None:
        await self._asking.stop()
        await self._listening.stop()

    async def _listen_to(self, owner: int, account: Account) -> None:
        try:
            async with asyncio.timeout(LAYER_SECONDS):
                await followers_of_this_loop().join(group_of_account(owner), account)
        except LAYER_FAULTS as error:
            logger.warning("no hints of an account, the resync serves: %s", error)
        else:
            account.is_listened_to = True

    async def _listen_to_others(self) -> None:
        """Have hints come of accounts that were opened while Redis was away."""
        for owner, account in list(self._accounts.items()):
            if account.is_listened_to or self._accounts.get(owner) is not account:
                continue
            await self._listen_to(owner, account)
            if not account.is_listened_to:
                return

    def _is_followed(self) -> bool:
        return any(account.is_followed for account in self._accounts.values())

    def _hear(self, account: Account, hint: Hint) -> None:
        """Tell a hint if it is the next event of its order; else have the log asked soon."""
        if not account.is_followed:
            return
        follows = account.follows(hint)
        if follows:
            account.tell_hint(hint)
        if follows is False or (follows and any(reader.choice for reader in account.joined)):
            self._soon.set()

    async def _ask_for_ever(self) -> None:
        """End when the last reader has gone."""
        while self._seen is not None and self._is_followed():
            try:
                await self._ask(self._seen)
            except psycopg.Error as error:
                logger.warning("the accounts' logs cannot be read, it is tried again: %s", error)
                for account in self._accounts.values():
                    for reader in (*account.joining, *account.joined):
                        reader.wait()
                await asyncio.sleep(RESYNC_SECONDS)
            except (UnknownCursor, LogLost):  # after a crash, too: each reader looks for itself
                self._have_all_read()
            except Exception:
                logger.exception("the accounts' events were not told, so each reader reads them")
                self._have_all_read()
                await asyncio.sleep(RESYNC_SECONDS)
            else:
                await self._wait()
            if not all(account.is_listened_to for account in self._accounts.values()):
                self._listening.begin()

    def _have_all_read(self) -> None:
        self._seen = None
        for reader in self._all_let_go():
            reader.fall_behind()

    def _all_let_go(self) -> list[Reader]:
        """Tell nothing more to the readers of all accounts before they join again; return them."""
        readers: list[Reader] = []
        for account in self._accounts.values():
            readers += [*account.joining, *account.joined]
            account.joining.clear()
            account.joined.clear()
        return readers

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(RESYNC_SECONDS):
                await self._soon.wait()
            await asyncio.sleep(SOON_SECONDS)
        except TimeoutError:
            pass
        self._soon.clear()

    async def _ask(self, since: Position) -> None:
        followed = {
            owner: account for owner, account in self._accounts.items() if account.is_followed
        }
        hinted = {owner: set(account.hinted) for owner, account in followed.items()}
        joining = {owner: set(account.joining) for owner, account in followed.items()}
        readers = [one for of in followed.values() for one in (*of.joining, *of.joined)]
        described = any(reader.choice for reader in readers)
        page = await account_log_of_this_loop().page(
            followed, since, MOST_EVENTS, described=described
        )
        seen = page.seen
        if seen is not None:
            rows = await self._with_holes_filled(page, followed)
            for row in rows:
                if (account := followed.get(row.event.owner or 0)) is not None:
                    account.tell_logged(row, joining[row.event.owner or 0])
        else:
            counts["account_streams_left_behind"] += len(readers)
            seen = await account_log_of_this_loop().now()
            for reader in self._all_let_go():
                reader.fall_behind()
        self._seen = seen
        last: Counter[int] = Counter()
        for row in page.events:
            last[row.event.owner or 0] = max(last[row.event.owner or 0], row.transaction)
        for owner, account in followed.items():
            account.forget(hinted[owner])
        for owner, account in list(self._accounts.items()):
            account.let_join(joining.get(owner, set()), seen, last[owner])

    async def _with_holes_filled(self, page: Page, followed: dict[int, Account]) -> list[Logged]:
        """Return the rows, and between them what no query found.

        A process of an older version writes events without their account. The next event of the
        order tells that one is missing.
        """
        last = {key: seq for account in followed.values() for key, seq in account.last.items()}
        missing: list[Logged] = []
        for row in page.events:
            event = row.event
            before = last.get(event.order_id)
            if before is not None and event.seq > before + 1:
                counts["account_stream_holes"] += event.seq - before - 1
                history = await self._history(event, before)
                missing += [row._replace(event=one) for one in history]
            last[event.order_id] = max(event.seq, before or 0)
        return in_order([*page.events, *missing]) if missing else page.events

    async def _history(self, event: Event, after: int) -> list[Event]:
        try:
            history = await streams_of_this_loop().history(event.order_id, after, event.owner)
        except UnknownOrder:
            return []
        return [one._replace(owner=event.owner) for one in history if one.seq < event.seq]


@once_per_loop
def account_tail_of_this_loop() -> AccountTail:
    """Return the running loop's tail, made at the first call."""
    return AccountTail()
