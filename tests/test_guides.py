"""What README and docs/ tell people to type is typed here, against an engine that runs."""

import asyncio
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import websockets

from tests.engine import PATIENCE, Engine, Web, engine

PROJECT = Path(__file__).resolve().parent.parent
GUIDES = [
    *(PROJECT / "README.md", PROJECT / "CONTRIBUTING.md"),
    *sorted((PROJECT / "docs").glob("*.md")),
]
PRINTED_ADDRESS = "127.0.0.1:8000"
ORDER_ID = "ORDER_ID"
MAKE_TARGETS = set(re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
NOT_RUN = {  # what these need is not on every machine; the first words of the command
    "npx wscat": "needs Node",
    "docker compose": "needs a Docker engine",
}


@dataclass(frozen=True, slots=True)
class Command:
    guide: str
    line: str

    def __str__(self) -> str:
        return f"{self.guide}: {self.line[:70]}"


def blocks(guide: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", guide.read_text(), re.MULTILINE | re.DOTALL)


def commands() -> list[Command]:
    return [
        Command(guide.name, line.split("   #")[0].strip())
        for guide in GUIDES
        for block in blocks(guide, "sh")
        for line in block.replace("\\\n", " ").splitlines()
        if line.strip() and not line.startswith("#")
    ]


@pytest.fixture(scope="module")
def running(process_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with engine(process_database, tmp_path_factory.mktemp("guides")) as found:
        found.worker()
        found.scheduler()
        yield found


@pytest.fixture(scope="module")
def web(running: Engine) -> Web:
    return running.web()


@pytest.fixture(scope="module")
def order_id(running: Engine, web: Web) -> str:
    """An order that has ended."""
    order_id = web.post()
    running.wait_until_all_ended()
    return order_id


@pytest.mark.parametrize("command", commands(), ids=str)
def test_every_command_that_is_shown_works(
    command: Command, running: Engine, web: Web, order_id: str
) -> None:
    line = command.line.replace(PRINTED_ADDRESS, web.address).replace(ORDER_ID, order_id)
    words = shlex.split(line)
    for start, reason in NOT_RUN.items():
        if line.startswith(start):
            pytest.skip(reason)
    match words:
        case ["curl", *_]:
            curl(words)
        case [".venv/bin/python", "-m", "websockets", url]:
            assert asyncio.run(last_status(url)) in ("confirmed", "cancelled")
        case ["make", target, *_]:
            assert target in MAKE_TARGETS
        case ["python" | ".venv/bin/python", "manage.py", *arguments]:
            ended = running.command(*arguments)
            assert ended.returncode == 0, ended.stdout + ended.stderr
        case _:
            pytest.fail(f"nobody knows how to try this: {line}")


def curl(words: list[str]) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    ended = subprocess.run(
        [*words, "--write-out", "\n%{http_code}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    body, _, status = ended.stdout.rpartition("\n")
    assert status in ("200", "201"), ended.stdout
    assert json.loads(body)


async def last_status(url: str) -> str:
    async with asyncio.timeout(PATIENCE), websockets.connect(url) as stream:
        statuses = [json.loads(text)["status"] async for text in stream]
    return str(statuses[-1])


def test_the_example_in_python_follows_an_order_to_its_end(
    running: Engine, web: Web, tmp_path: Path
) -> None:
    (source,) = blocks(PROJECT / "docs/sockets.md", "python")
    program = tmp_path / "follow.py"
    program.write_text(source.replace(PRINTED_ADDRESS, web.address).replace(ORDER_ID, web.post()))
    ended = subprocess.run(
        [sys.executable, program],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    lines = [line.split()[:2] for line in ended.stdout.splitlines()]
    assert lines[0] == ["1", "pending"]
    assert lines[-1] == ["5", "confirmed"]


def test_the_messages_that_are_shown_have_the_fields_of_real_ones(
    running: Engine, web: Web, order_id: str
) -> None:
    (shown,) = blocks(PROJECT / "docs/sockets.md", "json")
    log = web.request(f"/api/orders/{order_id}/events").body
    real = log["events"][-1] if isinstance(log, dict) else log[-1]
    assert set(json.loads(shown)) == set(real)
    assert set(json.loads(shown)["data"]) == set(real["data"])
