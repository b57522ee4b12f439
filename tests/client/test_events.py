"""An account's events: none missed, none twice, however the lines break."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from order_engine_client import AsyncClient, Event, NotNow, Refused, Snapshot, events, lines
from order_engine_client.errors import EngineError
from order_engine_client.events import Transport
from tests.client.conftest import Clock
from tests.client.scripted import Close, Cut, Silence, Told, streaming
from tests.support.engine import PATIENCE

FINAL = "confirmed"


def hello(cursor: str) -> Told:
    return {"type": "hello", "cursor": cursor, "heartbeatSeconds": 5}


def event(order_id: str, seq: int, status: str = "pending") -> dict[str, Any]:
    message = {"orderId": order_id, "seq": seq, "status": status, "event": status, "data": {}}
    return {"type": "status_update", "timestamp": "2026-11-21T09:00:00.000000Z", **message}


def checkpoint(cursor: str) -> Told:
    return {"type": "checkpoint", "cursor": cursor}


def snapshot(*orders: tuple[str, int], more: bool = False) -> Told:
    told = [{"orderId": order_id, "seq": seq, "status": "open"} for order_id, seq in orders]
    return {"type": "snapshot", "orders": told, "more": more}


def error(code: str, status: int = 400, **members: Any) -> Told:
    return {"type": "error", "error": code, "httpStatus": status, "detail": code, **members}


def said(told: Event | Snapshot) -> Any:
    if isinstance(told, Event):
        return told.order_id, told.seq
    return [(order.order_id, order.seq) for order in told.orders], told.is_anew


async def first(count: int, client: AsyncClient, *args: Any, **options: Any) -> list[Any]:
    """Return the first so many that are told, and the cursor after them."""
    async with (
        asyncio.timeout(PATIENCE),
        client,
        client.events(*args, **options) as stream,
    ):
        found = [said(await anext(stream)) for _ in range(count)]
        return [*found, stream.cursor]


def an_account(url: str, **options: Any) -> AsyncClient:
    return AsyncClient(url, "oee_test_key", **options)


@pytest.mark.parametrize("transport", ["ws", "sse", "feed"])
async def test_a_broken_line_goes_on_at_the_last_checkpoint_and_nothing_comes_twice(
    clock: Clock, transport: Transport
) -> None:
    script: Sequence[Sequence[Told]] = (
        [hello("c1")],
        [event("a", 1), event("b", 1), checkpoint("c2"), Cut()],
        [event("b", 2), event("a", 2, FINAL), checkpoint("c3")],
        [event("a", 2, FINAL), event("b", 3), checkpoint("c4")],
    )
    if transport != "feed":
        script = ([*script[0], *script[1]], *([hello("no"), *page] for page in script[2:]))
    async with streaming(*script) as engine:
        told = await first(5, an_account(engine.url), transport=transport)
    assert told == [("a", 1), ("b", 1), ("b", 2), ("a", 2), ("b", 3), "c3"]
    cursors = [path.partition("cursor=")[2].partition("&")[0] for path in engine.opened]
    assert (
        cursors
        == (["", "c1", "c2", "c3"] if transport == "feed" else ["", "c2", "c3"])[: len(cursors)]
    )
    assert len(cursors) == len(script)
    assert len(clock.pauses) == (0 if transport == "feed" else 2)  # none comes again at once


@pytest.mark.parametrize(
    "end",
    [
        [Cut()],
        [Close(1001)],
        [Close(1012)],
        [Close(1013)],
        [Close(1000)],  # there is always more to come for an account
        [error("too_slow", 408), Close(4408)],
        [error("too_many_sockets", 429), Close(4429)],
    ],
    ids=str,
)
async def test_whatever_passes_is_waited_for(clock: Clock, end: list[Told]) -> None:
    script = [hello("c1"), event("a", 1), checkpoint("c2"), *end], [hello("c2"), event("a", 2)]
    async with streaming(*script) as engine:
        assert await first(2, an_account(engine.url)) == [("a", 1), ("a", 2), "c2"]
    assert engine.opened == ["/ws/orders", "/ws/orders?cursor=c2"]
    assert len(clock.pauses) == 1
    if end[-1] == Close(4429):
        assert clock.pauses == [lines.PLACE_SECONDS]


async def test_a_silent_line_is_left(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "SILENT_SECONDS", 0.05)
    script = [hello("c1"), event("a", 1), Silence()], [hello("c1"), event("a", 1), event("a", 2)]
    async with streaming(*script) as engine:
        assert await first(2, an_account(engine.url)) == [("a", 1), ("a", 2), "c1"]


@pytest.mark.parametrize(
    ("code", "name"),
    [(4400, "invalid_request"), (4401, "not_authenticated"), (4403, "insufficient_scope")],
)
async def test_what_does_not_pass_is_raised(clock: Clock, code: int, name: str) -> None:
    async with streaming([error(name), Close(code)]) as engine:
        with pytest.raises(Refused) as told:
            await first(1, an_account(engine.url))
    assert (told.value.code, told.value.status) == (name, code)
    assert clock.pauses == []


async def test_a_stream_that_cannot_be_had_is_given_up_in_time(clock: Clock) -> None:
    start = clock.now
    async with streaming([hello("c1"), Cut()]) as engine:
        with pytest.raises(NotNow):
            await first(1, an_account(engine.url, give_up_after=20))
    assert 10 < clock.now - start <= 20
    assert len(engine.opened) == len(clock.pauses) + 1


async def test_a_reader_that_takes_long_does_not_use_up_the_patience(clock: Clock) -> None:
    script = [hello("c1"), event("a", 1), Cut()], [hello("c1"), event("a", 2)]
    async with streaming(*script) as engine, an_account(engine.url, give_up_after=20) as client:
        stream = client.events()
        assert said(await anext(stream)) == ("a", 1)
        clock.now += 1000
        assert said(await anext(stream)) == ("a", 2)
        await stream.aclose()


LOG = {
    f"/api/orders/a/events?after={n}": {"events": [event("a", 2), event("a", 3), event("a", 4)]}
    for n in (1,)
}


async def test_a_hole_is_read_from_the_log_and_told_in_order(clock: Clock) -> None:
    script = [hello("c1"), event("a", 1), event("a", 3), event("a", 4), event("a", 5)]
    async with streaming(script, rest=LOG) as engine:
        told = await first(5, an_account(engine.url))
    assert told == [("a", 1), ("a", 2), ("a", 3), ("a", 4), ("a", 5), "c1"]
    assert engine.asked == ["/api/orders/a/events?after=1"]


async def test_a_hole_in_the_log_itself_is_told(clock: Clock) -> None:
    log = {"/api/orders/a/events?after=1": {"events": [event("a", 3)]}}
    async with streaming([hello("c1"), event("a", 1), event("a", 3)], rest=log) as engine:
        with pytest.raises(EngineError) as told:
            await first(2, an_account(engine.url))
    assert told.value.code == "hole_in_log"


async def test_a_snapshot_comes_first_and_its_orders_are_known(clock: Clock) -> None:
    script = [
        *(hello("c1"), snapshot(("a", 3), more=True), snapshot(("b", 1))),
        *(event("a", 3), event("b", 2), event("a", 4)),
    ]
    async with streaming(script) as engine:
        told = await first(3, an_account(engine.url), snapshot=True)
    assert told == [([("a", 3), ("b", 1)], False), ("b", 2), ("a", 4), "c1"]
    assert engine.opened == ["/ws/orders?snapshot=open"]


async def test_a_snapshot_that_was_cut_off_begins_anew(clock: Clock) -> None:
    script = (
        [hello("c1"), snapshot(("a", 3), more=True), Cut()],
        [hello("c2"), snapshot(("b", 1))],
    )
    async with streaming(*script) as engine:
        told = await first(1, an_account(engine.url), snapshot=True)
    assert told == [([("b", 1)], False), "c2"]


async def test_after_a_snapshot_an_order_whose_first_events_are_missing_has_a_hole(
    clock: Clock,
) -> None:
    log = {"/api/orders/new/events?after=0": {"events": [event("new", 1), event("new", 2)]}}
    async with streaming([hello("c1"), snapshot(), event("new", 2)], rest=log) as engine:
        told = await first(3, an_account(engine.url), snapshot=True)
    assert told == [([], False), ("new", 1), ("new", 2), "c1"]


async def test_the_feed_has_its_snapshot_from_the_list(clock: Clock) -> None:
    listed = [{"orderId": "a", "seq": 3, "status": "open"}]
    rest = {
        "/api/orders?state=active&limit=200&market=SOL%2FUSDC": {
            "results": listed,
            "next": "/api/orders?cursor=x",
        },
        "/api/orders?cursor=x": {"results": [{**listed[0], "orderId": "b"}], "next": None},
    }
    script = [hello("c1")], [event("a", 3), event("a", 4), checkpoint("c2")]
    async with streaming(*script, rest=rest) as engine:
        account = an_account(engine.url)
        told = await first(2, account, snapshot=True, transport="feed", market="SOL/USDC")
    assert told == [([("a", 3), ("b", 3)], False), ("a", 4), "c1"]
    assert engine.opened[1] == "/api/events?market=SOL%2FUSDC&cursor=c1&wait=8"


@pytest.mark.parametrize("transport", ["ws", "sse", "feed"])
async def test_a_cursor_that_the_engine_does_not_know_leads_to_a_snapshot_that_says_so(
    clock: Clock, transport: Transport
) -> None:
    anew = [hello("c1"), snapshot(("a", 2)), event("a", 3)]
    script = [error("cursor_unknown"), Close(4400)], anew
    listed = {"results": [{"orderId": "a", "seq": 2, "status": "open"}], "next": None}
    rest = {"/api/orders?state=active&limit=200": listed}
    async with streaming(*script, rest=rest) as engine:
        told = await first(2, an_account(engine.url), "old", seen={"a": 9}, transport=transport)
    assert told == [([("a", 2)], True), ("a", 3), "c1"]
    assert "cursor=old" in engine.opened[0]
    assert "cursor=old" not in engine.opened[1]


async def test_an_engine_that_knows_no_cursor_at_all_is_not_asked_for_ever(clock: Clock) -> None:
    async with streaming([error("cursor_unknown"), Close(4400)]) as engine:
        with pytest.raises(Refused) as told:
            await first(1, an_account(engine.url), "old")
    assert told.value.code == "cursor_unknown"
    assert len(engine.opened) == 2


async def test_a_program_that_was_restarted_misses_nothing_of_the_orders_in_its_books(
    clock: Clock,
) -> None:
    script = [hello("c9"), event("a", 1), event("a", 3), event("b", 7)]
    log = {"/api/orders/a/events?after=1": {"events": [event("a", 2), event("a", 3)]}}
    async with streaming(script, rest=log) as engine:
        told = await first(3, an_account(engine.url), "c9", seen={"a": 1})
    assert told == [("a", 2), ("a", 3), ("b", 7), "c9"]


async def test_filters_go_with_every_line(clock: Clock) -> None:
    script = [hello("c1"), event("a", 1), Cut()], [hello("c1"), event("a", 2)]
    async with streaming(*script) as engine:
        wanted = {"market": "SOL/USDC", "types": ["limit", "stop"], "tags": {"desk": "a"}}
        await first(2, an_account(engine.url), **wanted)
    query = "market=SOL%2FUSDC&type=limit%2Cstop&tag.desk=a"
    assert engine.opened == [f"/ws/orders?{query}", f"/ws/orders?{query}&cursor=c1"]


async def test_what_is_kept_of_orders_that_ended_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(events, "MOST_ENDED", 3)
    seqs = events.Seqs({"open": 4})
    for number in range(10):
        seqs.note(f"{number}", 1, is_final=False)
        seqs.note(f"{number}", 2, is_final=True)
    assert [seqs.of(f"{number}") for number in range(10)] == [None] * 7 + [2] * 3
    assert seqs.of("open") == 4
    assert (len(seqs._open), len(seqs._ended)) == (1, 3)


async def test_texts_with_characters_that_look_like_ends_of_lines_are_read(clock: Clock) -> None:
    odd = event("a", 1) | {"message": "one\u2028two\x85three"}
    async with (
        streaming([hello("c1"), odd]) as engine,
        an_account(engine.url) as client,
        client.events(transport="sse") as stream,
    ):
        told = await anext(stream)
    assert isinstance(told, Event)
    assert told.message == "one\u2028two\x85three"


async def test_one_order_is_followed_to_its_last_event_without_an_account(clock: Clock) -> None:
    script = (
        [event("a", 1), event("a", 2), Close(1012)],
        [event("a", 2), event("a", 4, FINAL), Close(1000)],
    )
    log = {"/api/orders/a/events?after=2": {"events": [event("a", 3), event("a", 4, FINAL)]}}
    async with streaming(*script, rest=log) as engine, AsyncClient(engine.url) as client:
        told = [one.seq async for one in client.follow("a")]
    assert told == [1, 2, 3, 4]
    assert engine.opened == ["/ws/orders/a?after=0", "/ws/orders/a?after=2"]


async def test_an_order_that_is_not_there_is_not_asked_for_again(clock: Clock) -> None:
    script = [error("order_not_found", 404), Close(4404)]
    async with streaming(script) as engine, AsyncClient(engine.url) as client:
        with pytest.raises(Refused) as told:
            await anext(client.follow("a"))
    assert told.value.code == "order_not_found"
    assert len(engine.opened) == 1
