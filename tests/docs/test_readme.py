"""What README, the pages for clients, .env.example, docs/settings.md and Procfile say is true."""

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import get_commands
from django.urls import resolve

from config.environment.data_folder import PROJECT
from config.environment.settings_page import PAGE, settings_page
from config.environment.variables import Environment
from config.stack.processes import CELERY_OPTIONS, WEB_FLAGS, WEB_OPTIONS, WORKER_OPTIONS
from orders.api.reading.parsers import parse_json
from orders.api.reading.serializers import ORDER_REQUEST, InvalidOrder
from orders.lifecycle import Status
from orders.models import FailureCode
from orders.urls import entry_paths
from routing.tokens import TOKENS

README = (PROJECT / "README.md").read_text()
ORDERS = (PROJECT / "docs/orders.md").read_text()
API = (PROJECT / "docs/api.md").read_text()
ERRORS = API.partition("\n## Errors\n")[2].partition("\n## ")[0]
DIALECTS = (PROJECT / "docs/dialects.md").read_text()
ENV_EXAMPLE = (PROJECT / ".env.example").read_text()
COMPOSE = (PROJECT / "docker-compose.yml").read_text()
PROCFILE = dict(
    line.split(": ", 1) for line in (PROJECT / "Procfile").read_text().splitlines() if line
)
GUIDES = [
    PROJECT / "README.md",
    PROJECT / "client/README.md",
    *sorted(PROJECT.glob("docs/**/*.md")),
]
EXAMPLES = dict(re.findall(r"^# ([A-Z_]+)=(.*)$", ENV_EXAMPLE, re.MULTILINE))
NOT_DEFAULTS = {  # examples of what might be said, and what differs from machine to machine
    *("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "ENGINE_DATA_DIR"),
    *("POSTGRES_PASSWORD", "REDIS_PASSWORD", "REQUIRE_STAFF_MFA"),
    *("SIMULATION_PRICE_RANGES", "SIMULATION_FAULTS", "MAX_ORDER_VALUE"),
    *("MARKET_MAX_WAIT_SECONDS", "SOLANA_KEY_FILE"),
    *("SOLANA_MAX_ORDER_VALUE", "SOLANA_MAX_DAY_VALUE"),
}
NOT_SETTINGS = {"DJANGO_SETTINGS_MODULE", "SOLANA_PROGRAMS"}  # which the local cluster reads
TO_COME = {"routing/venues/orca.py"}  # the example of a venue that somebody adds


def first_cells(page: str, heading: str) -> list[str]:
    """Return the first column of the table with this heading, its backticks taken off."""
    (rows,) = re.findall(rf"^\| {re.escape(heading)} \|.*\n\|[-| ]+\|\n((?:\|.*\n)+)", page, re.M)
    return [row.split("|")[1].strip().strip("`") for row in rows.splitlines()]


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_every_make_target_that_is_named_exists(guide: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    named = re.findall(r"(?:^|`)make ([a-z]+)", guide.read_text(), re.MULTILINE)
    assert set(named) <= targets


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_every_management_command_that_is_named_exists(guide: Path) -> None:
    named = re.findall(r"manage\.py ([a-z_]+)", guide.read_text())
    assert set(named) <= set(get_commands())


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_every_file_that_is_named_exists(guide: Path) -> None:
    named = set(re.findall(r"\b((?:\w+/)+\w+\.(?:py|md|yml))\b", guide.read_text())) - TO_COME
    places = (PROJECT, guide.parent)
    assert {name for name in named if not any((one / name).exists() for one in places)} == set()


def test_the_orders_of_the_curl_lines_are_taken() -> None:
    sent = r"curl .*/api/orders/execute .*-d '(\{.*?\})'"
    bodies = [parse_json(body) for page in (README, ORDERS, API) for body in re.findall(sent, page)]
    refused = []
    for body in bodies:
        try:
            ORDER_REQUEST.read(body)
        except InvalidOrder:
            refused.append(body)

    assert len(bodies) == 4
    assert [sorted(body) for body in refused] == [["amount", "slipage", "tokenIn", "tokenOut"]]


def test_the_orders_of_all_dialects_are_taken_on_their_paths() -> None:
    dialects = re.findall(r"\| `POST (/\S+)` `(\{.*?\})` \|", DIALECTS)
    assert len(dialects) == 4
    for path, body in dialects:
        assert path in entry_paths()
        ORDER_REQUEST.read(parse_json(body))


def test_every_path_of_the_curl_lines_leads_somewhere() -> None:
    shown = r"curl .*http://127\.0\.0\.1:8000(/[^\s?']+)"
    paths = [path for page in (README, ORDERS, ERRORS) for path in re.findall(shown, page)]
    assert len(paths) == 9
    for path in paths:
        resolve(path)


def test_the_tables_name_what_there_is() -> None:
    assert first_cells(ORDERS, "`failureCode`") == FailureCode.values
    tokens = re.findall(r"^Tokens: (.*?)\.", ORDERS, re.MULTILINE)
    assert tokens == [", ".join(token.symbol for token in TOKENS)]


def test_every_status_is_explained() -> None:
    explained = re.findall(r"^\| `([a-z]+)` \|", ORDERS, re.MULTILINE)
    assert set(Status) <= set(explained)


def test_the_example_environment_has_every_setting_and_no_other() -> None:
    assert set(EXAMPLES) == set(Environment.model_fields)


def test_the_settings_page_is_made_from_the_declarations() -> None:
    assert PAGE.read_text() == settings_page(), "run: python -m config.environment.settings_page"


def test_no_setting_is_read_but_where_it_is_declared() -> None:
    read = set(re.findall(r"\$\{([A-Z_]+)", COMPOSE))

    assert read <= set(Environment.model_fields)
    elsewhere = set()
    for path in [
        p for name in ("config", "orders", "routing") for p in PROJECT.glob(f"{name}/**/*.py")
    ]:
        elsewhere |= set(re.findall(r'\benviron(?:\.\w+\(|\[)"([A-Z_]+)"', path.read_text()))
        elsewhere |= set(re.findall(r'\bgetenv\("([A-Z_]+)"', path.read_text()))
    assert elsewhere == NOT_SETTINGS


def test_the_example_environment_shows_the_defaults() -> None:
    shown = {name: value for name, value in EXAMPLES.items() if name not in NOT_DEFAULTS}
    assert settings_with(shown) == settings_with({})


def settings_with(environment: dict[str, str]) -> dict[str, str]:
    """Return the settings of a process with this environment, as text."""
    show = (
        "import json, config.settings as found\n"
        "print(json.dumps({n: repr(v) for n, v in vars(found).items() if n.isupper()}))"
    )
    base = {"PATH": os.environ["PATH"], "SECRET_KEY": "not-a-secret-in-tests"}
    ended = subprocess.run(
        [sys.executable, "-c", show],
        cwd=PROJECT,
        env=base | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, str] = json.loads(ended.stdout)
    return found


def test_the_procfile_starts_the_processes_that_make_up_starts() -> None:
    assert list(PROCFILE) == ["release", "web", "worker", "scheduler"]
    for command in PROCFILE.values():
        words = shlex.split(command)
        assert words[0] == "python"
        if words[1] == "manage.py":
            assert words[2] in get_commands()
        else:
            assert words[1] == "-m"
            assert importlib.util.find_spec(words[2]) is not None
    web_options = " ".join(word for option in WEB_OPTIONS.items() for word in option)
    web_options = " ".join([web_options, *WEB_FLAGS])
    assert web_options in PROCFILE["web"]
    assert "--port $PORT" in PROCFILE["web"]
    worker = ("python", "-m", "celery", *CELERY_OPTIONS, "worker", *WORKER_OPTIONS)
    assert PROCFILE["worker"] == " ".join(worker)


def test_the_image_and_compose_run_the_commands_of_the_procfile() -> None:
    assert PROCFILE["web"] in (PROJECT / "Dockerfile").read_text()
    commands = re.findall(
        r"^    command: (\[.*\])$|^    command:\n((?:      - .*\n)+)", COMPOSE, re.M
    )
    words = [
        json.loads(inline) if inline else re.findall(r"- (\S+)", listed)
        for inline, listed in commands
    ]
    assert [shlex.join(command) for command in words if command[0] == "python"] == [
        PROCFILE[name] for name in ("release", "worker", "scheduler")
    ]


def test_what_ci_runs_is_what_developers_run() -> None:
    script = PROJECT / ".ci/run"
    assert os.access(script, os.X_OK)
    assert script.read_text().rstrip().endswith("exec make test")


def test_every_test_that_the_security_page_names_exists() -> None:
    text = (PROJECT / "docs/security.md").read_text()
    files = list((PROJECT / "tests").rglob("test_*.py"))
    defined = {name for file in files for name in re.findall(r"def (test_\w+)\(", file.read_text())}
    named = set(re.findall(r"`(?:tests/[\w/]*)?(test_\w+(?:\.py)?)`", text))

    assert len(named) > 40
    assert named - defined - {file.name for file in files} == set()
