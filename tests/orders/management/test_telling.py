"""What a person sees of an order on a terminal: both quotes, who won, the gain, one live line."""

import asyncio
import io
import os
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.management.base import OutputWrapper

from config.environment.data_folder import PROJECT
from orders.events import Event
from orders.lifecycle import Status
from orders.management.demo_board import HEADERS, fitting
from orders.management.gains import gain_of, grouped, rounded, total
from orders.management.telling import CLEAR, Telling

AT = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
ORDER = {"tokenIn": "SOL", "tokenOut": "USDC", "summary": "Sell 1500 SOL for USDC."}
QUOTES = [
    {"dex": "raydium", "amountIn": "1500", "amountOut": "146594.358995", "price": "98.023644"},
    {"dex": "meteora", "amountIn": "1500", "amountOut": "150741.231571", "price": "100.752335"},
]
DECISION = {
    **{"quotes": QUOTES, "legs": [{"dex": "meteora"}], "marginBps": "282.88"},
    **{"dropped": [], "minAmountOut": "149233.819256"},
}
FILL = {"amountIn": "1500", "amountOut": "150738.835785", "executedPrice": "100.492557"}
BOUGHT = {
    "quotes": [
        {"dex": "raydium", "amountIn": "200", "amountOut": "2", "price": "100"},
        {"dex": "meteora", "amountIn": "196", "amountOut": "2", "price": "98"},
    ],
    **{"legs": [{"dex": "meteora"}], "maxAmountIn": "198"},
}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def event(seq: int, status: Status, seconds: float = 0, message: str = "", **data: Any) -> Event:
    return Event("1", seq, status, 0, message, AT + timedelta(seconds=seconds), data)


WAY = (
    event(1, Status.PENDING, order=ORDER),
    event(2, Status.ROUTING, 0.157, "Comparing prices"),
    event(3, Status.BUILDING, 0.471, **DECISION),
    event(4, Status.SUBMITTED, 0.471, txHash="5" * 88),
    event(5, Status.CONFIRMED, 2.725, **FILL),
)


def told(out: io.StringIO, *events: Event) -> str:
    telling = Telling(OutputWrapper(out), as_json=False)
    for one in events:
        telling.tell(one)
    return out.getvalue()


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]|\r", "", text)


def test_both_quotes_the_winner_and_the_gain_in_money_are_told() -> None:
    assert told(io.StringIO(), *WAY).splitlines() == [
        "  0.000 s  pending    Sell 1500 SOL for USDC.",
        "  0.157 s  routing    Comparing prices",
        "  0.471 s  building   Meteora, by 282.88 bps",
        "             Raydium   146,594.358995 USDC at  98.023644",
        "           > Meteora   150,741.231571 USDC at 100.752335",
        "             at least  149,233.819256 USDC",
        "  0.471 s  submitted  Sent to the network as 555555...555555",
        "  2.725 s  confirmed  150,738.835785 USDC at 100.492557",
        "           4,144.476790 USDC more than Raydium offered",
    ]


def test_a_terminal_has_colours_and_the_words_are_the_same() -> None:
    shown = told(Terminal(), *WAY)
    assert "\x1b[32mconfirmed\x1b[0m" in shown
    assert "\x1b[1m> Meteora" in shown
    assert plain(shown) == told(io.StringIO(), *WAY)


def test_who_wants_no_colours_gets_none() -> None:
    out = Terminal()
    telling = Telling(OutputWrapper(out), as_json=False, no_color=True)
    for one in WAY:
        telling.tell(one)
    assert "\x1b[3" not in out.getvalue()


@pytest.mark.parametrize("columns", [60, 80])
def test_no_line_is_wider_than_the_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    failed = event(6, Status.FAILED, 3, "Order failed: " + "the pool has too little; " * 6)
    lines = plain(told(Terminal(), *WAY, failed)).splitlines()
    assert max(map(len, lines)) < columns
    assert lines[-1].startswith(" " * 22)


async def test_one_line_counts_the_seconds_and_leaves_nothing_behind() -> None:
    out = Terminal()
    telling = Telling(OutputWrapper(out), as_json=False)
    telling.tell(WAY[1])
    async with telling.counting():
        async with asyncio.timeout(60):
            while "asks both venues" not in out.getvalue():
                await asyncio.sleep(0.01)
    assert out.getvalue().endswith(CLEAR)
    assert out.getvalue().count("\n") == 1


async def test_nothing_is_counted_where_no_terminal_is() -> None:
    out = io.StringIO()
    telling = Telling(OutputWrapper(out), as_json=False)
    async with telling.counting():
        telling.tell(WAY[1])
    assert out.getvalue() == "  0.000 s  routing    Comparing prices\n"


def test_a_dropped_venue_is_told_with_its_reason() -> None:
    dropped = [{"dex": "raydium", "code": "no_depth", "reason": "Raydium has too little"}]
    decision = DECISION | {"quotes": QUOTES[1:], "dropped": dropped, "marginBps": None}
    shown = told(io.StringIO(), WAY[0], event(3, Status.BUILDING, **decision)).splitlines()
    assert shown[1].endswith("Meteora, alone")
    assert shown[3] == "             Raydium   Raydium has too little"


@pytest.mark.parametrize(
    ("decision", "fill", "amount", "against"),
    [
        (DECISION, FILL, "4144.476790", "Raydium"),
        (DECISION, FILL | {"amountOut": "146000"}, "-594.358995", "Raydium"),
        (BOUGHT, {"amountIn": "196.5", "amountOut": "2"}, "3.5", "Raydium"),
        (
            DECISION | {"legs": [{"dex": "raydium"}, {"dex": "meteora"}]},
            FILL | {"amountOut": "150800"},
            "58.768429",
            "Meteora",
        ),
    ],
)
def test_a_gain_is_the_fill_beside_the_other_offer(
    decision: Any, fill: Any, amount: str, against: str
) -> None:
    gain = gain_of(decision, fill)
    assert gain is not None
    assert (gain.amount, gain.against) == (Decimal(amount), against)


def test_there_is_no_gain_without_another_offer() -> None:
    assert gain_of(DECISION | {"quotes": QUOTES[1:]}, FILL) is None
    assert gain_of({}, FILL) is None


def test_a_gain_in_base_counts_at_the_price_of_its_fill() -> None:
    gain = gain_of(BOUGHT, {"amountIn": "196", "amountOut": "2"})
    assert gain is not None
    assert gain.in_quote("buy", Decimal(98)) == 4
    assert gain.in_quote("sell", Decimal(98)) == 4 * 98


def test_gains_are_summed_for_each_token() -> None:
    sums = [("USDC", Decimal("4.5")), ("SOL", Decimal("0.000312")), ("USDC", Decimal("0.31"))]
    assert total(sums) == "4.81 USDC and 0.00031 SOL more"
    assert total([("USDC", Decimal(-1))]) == "1.00 USDC less"
    assert total([]) == ""


def test_digits_are_grouped() -> None:
    assert grouped("869585.085433") == "869,585.085433"
    assert rounded(Decimal("1234.567")) == "1,234.57"
    assert rounded(Decimal("0.000312345")) == "0.00031"


def test_a_narrow_table_leaves_out_what_matters_least() -> None:
    columns = [[name, "x" * 14] for name in HEADERS]
    assert len(fitting(columns, 200)) == len(HEADERS)
    kept = [column[0] for column in fitting(columns, 80)]
    assert kept == ["order", "venue", "price", "more", "time"]
    assert [column[0] for column in fitting(columns, 50)] == ["order", "venue", "time"]


def test_a_reader_that_has_gone_is_no_fault_of_ours() -> None:
    environment = {**os.environ, "DATABASE_URL": "postgresql://x", "REDIS_URL": "redis://x"}
    with subprocess.Popen(
        [sys.executable, "manage.py", "help", "--commands"],
        **{"cwd": PROJECT, "env": environment | {"DJANGO_SETTINGS_MODULE": "config.settings"}},
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE},
    ) as running:
        assert running.stdout is not None
        running.stdout.close()
        assert running.stderr is not None
        assert running.stderr.read() == b""
    assert running.returncode == 128 + signal.SIGPIPE
