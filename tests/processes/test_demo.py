"""`manage.py demo` shows seven orders to their ends, and its exit code tells how they ended."""

import asyncio
import io
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from django.core.management.base import OutputWrapper

from config.environment.data_folder import PROJECT
from order_engine_client import AsyncClient, Order
from order_engine_client.answers import Event, build, values
from orders.management.commands import demo
from orders.management.demo_board import Board
from orders.management.demo_client import SentOrder
from orders.management.telling import short
from tests.support.database import rewrite
from tests.support.engine import PATIENCE, Engine, engine
from tests.support.forked import Ended, run_program

WAY = "pending > routing > building > submitted > confirmed"


@pytest.fixture
def running(process_database: str, tmp_path: Path) -> Iterator[Engine]:
    with engine(process_database, tmp_path) as found:
        yield found


def without_servers() -> dict[str, str]:
    """An environment in which neither database nor Redis can be reached."""
    nowhere = {"DATABASE_URL": "postgresql://127.0.0.1:1/no", "REDIS_URL": "redis://127.0.0.1:1/0"}
    key = {"SECRET_KEY": "not-a-secret-in-tests"}
    return {**os.environ, **nowhere, **key, "DJANGO_SETTINGS_MODULE": "config.settings"}


def run_demo(folder: Path, *options: str) -> Ended:
    return run_program(["manage.py", "demo", *options], without_servers(), folder)


def run_demo_on_a_terminal(*options: str) -> tuple[int, str]:
    """Return its exit code and what it wrote."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "manage.py", "demo", *options]
    with subprocess.Popen(command, cwd=PROJECT, env=without_servers(), stdout=theirs) as running:
        os.close(theirs)
        written = b""
        try:
            while part := os.read(ours, 65536):
                written += part
        except OSError:  # how Linux says that the other end is closed
            pass
        os.close(ours)
        return running.wait(), written.decode()


def test_five_orders_a_limit_and_a_stop_are_shown_to_their_ends(
    running: Engine, tmp_path: Path
) -> None:
    running.worker()
    running.scheduler()
    url = f"http://{running.web().address}"
    ended = run_demo(tmp_path, "--url", url)
    assert ended.returncode == 0, ended.stderr
    assert running.statuses() == {"confirmed": 6, "cancelled": 1}
    lines = ended.stdout.splitlines()
    for status in WAY.split(" > ")[1:]:
        assert sum(f"  {status:<9}  " in line for line in lines) == 6
    assert sum("  open       " in line for line in lines) >= 2
    table = ended.stdout.partition("order  ")[2].splitlines()
    assert len([line for line in table if "Raydium" in line or "Meteora" in line]) == 6
    assert_in_money(lines[-2], running)
    gained = r"[\d.,]+ (USDC|USDT|SOL)"
    pattern = rf"5 confirmed in \d+\.\d s, {gained}(, {gained})* and {gained} more( or less)?"
    assert re.fullmatch(pattern + r" than the other venue\.", lines[-1]), lines[-1]

    code, written = run_demo_on_a_terminal("--url", url + "/")
    assert code == 0, written
    assert running.statuses() == {"confirmed": 12, "cancelled": 2}
    five, _, two = written.partition("once the best bid is")
    for screen, count in ((five, 5), (two, 2)):
        drawn = screen.rpartition(f"\x1b[{count}F")[2]
        assert drawn.count("\x1b[2K") == count
        assert all(line.isprintable() for line in plain(drawn).splitlines())


def plain(text: str) -> str:
    """Return what a terminal shows of a text."""
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)


def assert_in_money(line: str, running: Engine) -> None:
    """Hold the demo's last line to what the database says was paid in USDC."""
    ((atoms,),) = running.query(
        "SELECT sum(filled_in)::bigint FROM orders"
        " WHERE (side, base, quote) = ('buy', 'SOL', 'USDC')"
    )
    bought = re.search(r"Bought \d+ SOL for ([\d.,]+) USDC", line)
    assert bought, line
    assert Decimal(bought[1].replace(",", "")) == Decimal(atoms).scaleb(-6)
    assert re.search(r"; sold .* Network fees: 0\.00003 SOL\.$", line), line


def test_orders_that_do_not_end_as_they_should_are_told(running: Engine, tmp_path: Path) -> None:
    url = f"http://{running.web().address}"
    for within in ("0.5", "3", "30"):
        late = run_demo(tmp_path, "--url", url, "--within", within)
        if "did not take the orders" not in late.stderr:
            break  # a busy machine had the time to take them
    assert late.returncode == 1
    assert f"Only 0 of 5 orders were confirmed; 5 had not ended after {within} s." in late.stderr

    running.worker(SIMULATION_FAULTS="quote_refused=1", ORDER_ATTEMPTS="1")
    failed = run_demo(tmp_path, "--url", url)
    assert failed.returncode == 1
    assert "Only 0 of 5 orders were confirmed.\n" in failed.stderr
    assert failed.stdout.count("failed: ") >= 5
    assert "refuses to quote for now" in failed.stdout


def test_an_engine_that_makes_no_prices_is_told(running: Engine, tmp_path: Path) -> None:
    rewrite(running.conninfo, "TRUNCATE price_ticks")
    running.worker()
    ended = run_demo(tmp_path, "--url", f"http://{running.web().address}")
    assert ended.returncode == 1
    assert "has no prices of SOL/USDC" in ended.stderr
    assert "Is its scheduler running?" in ended.stderr
    assert running.statuses() == {"confirmed": 5}
    assert "order  " in ended.stdout  # the table of those that were


def test_a_url_where_nothing_answers_is_told(tmp_path: Path) -> None:
    ended = run_demo(tmp_path, "--url", "http://127.0.0.1:1")
    assert ended.returncode == 1
    assert "No engine answers at http://127.0.0.1:1" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_url_that_is_none_is_told(tmp_path: Path) -> None:
    ended = run_demo(tmp_path, "--url", "localhost:8000")
    assert ended.returncode == 1
    assert "is not a URL" in ended.stderr


def test_a_server_that_is_no_engine_is_told(tmp_path: Path) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Other) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        ended = run_demo(tmp_path, "--url", f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
    assert ended.returncode == 1
    assert "is no order execution engine (status 200)" in ended.stderr


@contextmanager
def answering(*answers: tuple[int, Any] | None) -> Iterator[tuple[str, list[str]]]:
    """Give these answers in turn, the last of them for ever; None hangs up instead."""
    asked: list[str] = []

    class Scripted(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            found = answers[min(len(asked), len(answers) - 1)]
            asked.append(f"{self.command} {self.path}")
            if found is not None:
                self.send_response(found[0])
                self.end_headers()
                self.wfile.write(json.dumps(found[1]).encode())

        do_GET = do_POST = answer  # noqa: N815

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Scripted) as server:
        Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def test_the_demo_tells_of_an_order_that_nobody_knows_of(tmp_path: Path) -> None:
    with answering((200, {"markets": []}), None) as (url, _):
        ended = run_demo(tmp_path, "--url", url)
    assert ended.returncode == 1
    assert "Nobody knows whether" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_signature_is_shown_by_its_ends() -> None:
    assert short("5" * 40 + "abcdef") == "555555...abcdef"
    assert short("-") == "-"


async def test_a_limit_that_rests_on_is_moved_to_the_price_until_it_is_filled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(demo, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(demo, "AGAIN_SECONDS", 0.05)
    answer = {"summary": "Sell.", "tokenIn": "SOL", "tokenOut": "USDC"}
    limit, stop = (
        SentOrder(build(Order, values(answer | {"amountIn": amount})), 0.0) for amount in ("1", "2")
    )
    limit.events.append(build(Event, {"status": "open"}))
    said: list[str] = []

    async def sent(client: AsyncClient) -> tuple[SentOrder, SentOrder]:
        return limit, stop

    async def meet(client: AsyncClient, order: SentOrder) -> str:
        said.append("amended")
        return "Amended."

    async def followed(*_: object) -> None:
        while len(said) < 2:
            await asyncio.sleep(0)

    async def cancelled(*_: object) -> bool:
        said.append("cancelled")
        return True

    for name, stand_in in (
        *(("send_resting", sent), ("meet_the_price", meet)),
        *(("follow", followed), ("cancel", cancelled)),
    ):
        monkeypatch.setattr(demo, name, stand_in)
    board = Board(OutputWrapper(io.StringIO()))
    async with AsyncClient("http://127.0.0.1:1") as client:
        await demo.show_resting(client, PATIENCE, board)
    assert said == ["amended", "amended", "cancelled"]
