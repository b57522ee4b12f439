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

from config.environment.data_folder import PROJECT
from tests.support.engine import PATIENCE, Engine, Web, whole_engine

GUIDES = [
    *(PROJECT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    PROJECT / "client/README.md",
    *sorted((PROJECT / "docs").glob("*.md")),
    *sorted((PROJECT / "docs/deployment").glob("*.md")),
]
TYPED = {"sh", "console"}  # commands; commands after "$ ", and what they show
READ = {"text", "json", "yaml", "ini", "js", "ts", "python", "sql", "mermaid"}
PERSON = {"DJANGO_SUPERUSER_PASSWORD": "of-nobody-9", "DJANGO_SUPERUSER_EMAIL": "a@example.com"}
MAKEFILE = (PROJECT / "Makefile").read_text()
PRINTED_ADDRESS = "127.0.0.1:8000"
ORDER_ID = "ORDER_ID"
API_KEY = "oee_test_Tb3k91Qx"
CHANGES = "curl -s -X POST http://127.0.0.1:8000/api/orders/ORDER_ID"
NOT_RUN = {  # the first words of commands that are not run here, and why
    "make demo": "processes/test_demo.py runs it",
    "npx wscat": "needs Node and a package of a foreign host",
    "docker compose": "needs a Docker engine; what it would run, test_as_documented.py runs",
    "cp .env.example .env": "the file is for docker compose",
    "sudo": "needs root and systemd; what the units run, test_as_documented.py runs",
    "sudoedit": "is an editor",
    "journalctl": "needs systemd",
    "cd /srv/order-engine": "leads to what `sudo git clone` made",
    ".venv/bin/python -m config.stack up": "test_as_documented.py runs it",
    ".venv/bin/python -m routing.cluster": "never ends; routing/cluster/test_restart.py runs it",
    "pg_dump": "test_backup.py types it",
    "pg_restore": "test_backup.py types it",
    "make up": "config/test_make.py types it",
    "make check": "is how `make test` begins",
    "make format": "writes in the files of this very run",
    ".venv/bin/python manage.py describe_api": "the same; test_codes.py runs it elsewhere",
    "make test": "takes minutes",
    "make chaos": "takes minutes",
    "cd client": "tests/client/test_grid.py runs it",
    "make bench": "takes minutes",
    "make bench-against": "takes minutes",
    "make bench-wire": "needs another system",
    "curl -N": "never ends; orders/api/following/test_on_a_server.py reads such a stream",
    "curl -s -X PATCH": "needs an order that rests: orders/api/test_amend.py has some",
    f"{CHANGES}/cancel -H": "the same, orders/engine/test_cancelling.py",
    f"{CHANGES}/replace": "the same, orders/api/test_replace.py",
    ".venv/bin/python manage.py place_order sell 1.5 SOL/USDC --type stop": "waits for its price",
}


@dataclass(frozen=True, slots=True)
class Command:
    guide: str
    line: str
    shows: str = ""

    def __str__(self) -> str:
        return f"{self.guide}: {self.line[:70]}"

    @property
    def reason(self) -> str:
        """Why it is not run; empty if it is."""
        return next((why for start, why in NOT_RUN.items() if is_begun(self.line, start)), "")


def is_begun(line: str, start: str) -> bool:
    return f"{line} ".startswith(f"{start} ")


def blocks(guide: Path, language: str) -> list[str]:
    found = re.findall(r"^( *)```(\w*)\n(.*?)^\1```$", guide.read_text(), re.MULTILINE | re.DOTALL)
    return [text for _, named, text in found if named == language]


def commands() -> list[Command]:
    return [
        command
        for guide in GUIDES
        for command in (
            *(one for block in blocks(guide, "sh") for one in typed(guide, block)),
            *(one for block in blocks(guide, "console") for one in typed_and_shown(guide, block)),
        )
    ]


def typed(guide: Path, block: str) -> Iterator[Command]:
    for line in block.replace("\\\n", " ").splitlines():
        if line.strip() and not line.startswith("#"):
            yield Command(guide.name, line.split("   #")[0].strip())


def typed_and_shown(guide: Path, block: str) -> Iterator[Command]:
    joined = re.sub(r"\\\n *", "", block)
    for text in re.split(r"^\$ ", joined, flags=re.MULTILINE)[1:]:
        line, _, shows = text.partition("\n")
        yield Command(guide.name, line, shows)


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_every_block_says_what_it_is_so_that_no_command_is_passed_over(guide: Path) -> None:
    fences = re.findall(r"^ *```(.*)$", guide.read_text(), re.MULTILINE)

    assert len(fences) % 2 == 0
    assert set(fences[::2]) <= TYPED | READ
    assert set(fences[1::2]) <= {""}
    for language in READ:
        assert not [text for text in blocks(guide, language) if re.match(r"\$ |curl |make ", text)]


def test_every_reason_for_not_running_a_command_is_needed() -> None:
    shown = [command.line for command in commands()]
    assert [start for start in NOT_RUN if not any(is_begun(line, start) for line in shown)] == []


@pytest.mark.parametrize("command", commands(), ids=str)
def test_every_command_means_the_same_to_every_shell(command: Command) -> None:
    """A `?`, `&` or `*` in an address is for the shell unless it is quoted; zsh refuses it."""
    assert not re.search(r"\s(?:http|ws)s?://\S*[?&*]", command.line)
    assert subprocess.run(["sh", "-n", "-c", command.line], check=False).returncode == 0


@pytest.fixture(scope="module")
def running(process_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with whole_engine(process_database, tmp_path_factory.mktemp("guides")) as found:
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


@pytest.fixture(scope="module")
def alice(running: Engine) -> Iterator[str]:
    """Whom the guides speak of."""
    running.command("createsuperuser", "--noinput", "--username", "alice", **PERSON)
    yield "alice"
    running.empty()
    running.query("DELETE FROM auth_user WHERE username = 'alice'")


@pytest.fixture
def key(running: Engine, alice: str, command: Command) -> str:
    """A new key of alice, if the command speaks of one: another may have been revoked."""
    if API_KEY not in command.line and "$KEY" not in command.line:
        return API_KEY
    return running.command("create_api_key", alice).stdout.strip()


@pytest.mark.parametrize(
    "command", [command for command in commands() if not command.reason], ids=str
)
def test_every_command_that_is_shown_works(
    command: Command, running: Engine, web: Web, order_id: str, key: str, tmp_path: Path
) -> None:
    line = command.line.replace(PRINTED_ADDRESS, web.address)
    line = line.replace(API_KEY, key[: len(API_KEY)]).replace("$KEY", key)
    line = line.replace("docs/openapi.yaml", str(tmp_path / "openapi.yaml"))
    shown_id = re.search(r"/ws/orders/([0-9a-f-]{36})", line)
    line = line.replace(shown_id[1] if shown_id else ORDER_ID, order_id)
    match shlex.split(line):
        case ["curl", *words]:
            # What has ended cannot be cancelled, and this one has.
            shows = '{"status":409}' if words[-1].endswith("/cancel") else command.shows
            curl(line, shows)
        case [".venv/bin/python", "-m", "websockets", url]:
            assert asyncio.run(last_status(url)) in ("confirmed", "cancelled")
        case [".venv/bin/python", "manage.py", *arguments]:
            ended = running.command(*(path for word in arguments for path in expanded(word)))
            assert ended.returncode == 0, ended.stdout + ended.stderr
        case _:
            pytest.fail(f"nobody knows how to try this: {line}")


def expanded(word: str) -> list[str]:
    """Return what a shell makes of a word in the project's folder."""
    if "*" not in word:
        return [word]
    return sorted(str(path.relative_to(PROJECT)) for path in PROJECT.glob(word))


@pytest.mark.parametrize(
    "line", [command.line for command in commands() if is_begun(command.line, "make")]
)
def test_what_a_make_command_leads_to_exists(line: str) -> None:
    target, *variables = shlex.split(line)[1:]

    assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)
    for variable in variables:
        name, _, value = variable.partition("=")
        assert f"$({name})" in MAKEFILE
        assert all((PROJECT / word).exists() for word in value.split() if word.startswith("tests/"))


def curl(line: str, shows: str) -> None:
    """Type it, and get what is shown, or a success."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    command = f"{line} --write-out '\n%{{http_code}}'"
    ended = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    body, _, status = ended.stdout.rpartition("\n")
    refused = re.search(r'"status":(\d{3})\b', shows)
    assert status in ((refused[1],) if refused else ("200", "201", "202", "207")), ended.stdout
    json.loads(body)
    assert [name for name in re.findall(r'"\w+":', shows) if name not in body] == []


async def last_status(url: str) -> str:
    async with asyncio.timeout(PATIENCE), websockets.connect(url) as stream:
        statuses = [json.loads(text)["status"] async for text in stream]
    return str(statuses[-1])


def test_the_example_in_python_follows_an_order_to_its_end(
    running: Engine, web: Web, tmp_path: Path
) -> None:
    programs = blocks(PROJECT / "docs/sockets.md", "python")
    (source,) = [one for one in programs if ORDER_ID in one]
    program = tmp_path / "follow.py"
    program.write_text(source.replace(PRINTED_ADDRESS, web.address).replace(ORDER_ID, web.post()))
    ended = subprocess.run(
        [sys.executable, program],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT / "client")},
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
    shown = blocks(PROJECT / "docs/sockets.md", "json")[0]
    log = web.request(f"/api/orders/{order_id}/events").body
    real = log["events"][-1] if isinstance(log, dict) else log[-1]
    assert set(json.loads(shown)) == set(real)
    assert set(json.loads(shown)["data"]) == set(real["data"])
