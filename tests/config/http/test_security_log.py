"""What an attack leaves behind is written, counted, told in /metrics and read by fail2ban."""

import configparser
import io
import itertools
import json
import logging
import logging.config
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from structlog.contextvars import bound_contextvars

from config.environment.data_folder import PROJECT
from config.http import security_log
from config.http.security_log import EVENTS, LONGEST, Facts, tell
from config.runtime.counters import counts
from config.runtime.logs import SECURITY_FIELDS, logging_settings
from orders.access.account_log import tell_of_command
from orders.models import ApiKey
from orders.monitoring.metrics import figures_of

FILTER = PROJECT / "docs/deployment/fail2ban/order-engine-filter.conf"
JAIL = PROJECT / "docs/deployment/fail2ban/order-engine-jail.conf"
ACCOUNTS = itertools.count(7)  # of which nothing was written yet
# What fail2ban puts in the place of <HOST>, but for names of hosts.
HOST = r"(?:::f{4,6}:)?(?P<host>\d{1,3}(?:\.\d{1,3}){3}|[0-9a-fA-F:]*:[0-9a-fA-F:.]+)"


@pytest.fixture(params=["console", "json"])
def written(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[io.StringIO]:
    """What a process writes in either form, where LOG_LEVEL wants nothing but errors."""
    loggers = [logging.root, *map(logging.getLogger, logging_settings("INFO", "json")["loggers"])]
    before = [(each, each.handlers[:], each.level, each.propagate) for each in loggers]
    found = io.StringIO()
    monkeypatch.setattr(security_log, "SELDOM_SECONDS", 0.0)
    wanted = logging_settings("ERROR", request.param)
    wanted["handlers"]["console"]["stream"] = found
    logging.config.dictConfig(wanted)
    yield found
    for each, handlers, level, propagate in before:
        each.handlers[:], each.propagate = handlers, propagate
        each.setLevel(level)


def scope(address: str) -> dict[str, Any]:
    return {"type": "websocket", "client": (address, 4711)}


def banned(text: str) -> list[str]:
    """Return the addresses that fail2ban finds in lines of the journal."""
    rules = configparser.ConfigParser()
    rules.read(FILTER)
    patterns = [
        re.compile(rule.strip().replace("<HOST>", HOST))
        for rule in rules["Definition"]["failregex"].splitlines()
    ]
    lines = text.splitlines()
    lines += [f"host python[17]: {line}" for line in lines]
    # From a file it takes the time away, which it has found by `datepattern`.
    lines += [re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", "", line) for line in lines]
    found = [match["host"] for line in lines for rule in patterns if (match := rule.search(line))]
    assert len(found) % 4 == 0, "one form is found and another is not"
    return found[: len(found) // 4]


@pytest.mark.parametrize("event", EVENTS)
def test_every_event_is_written_and_counted_at_every_level(
    event: str, written: io.StringIO
) -> None:
    before = counts.copy()
    with bound_contextvars(request_id="mine-1"):
        tell(event, scope("203.0.113.7"), account=7, key_prefix="oee_abcdefgh")
    (line,) = written.getvalue().splitlines()
    for word in (event, "engine.security", "203.0.113.7", "7", "oee_abcdefgh", "mine-1"):
        assert word in line
    told = dict(counts - before)

    assert told.pop(f"security_events:{event}") == 1
    assert set(told) <= {"log_lines:engine.security/warning"}


def test_every_fact_is_a_field_of_the_log(written: io.StringIO) -> None:
    assert {"address", "account", "key_prefix", *Facts.__annotations__} == set(SECURITY_FIELDS)


def test_an_event_without_a_name_of_ours_is_a_bug() -> None:
    with pytest.raises(KeyError):
        tell("key_eaten")


@pytest.mark.parametrize(
    ("source", "address"),
    [
        (scope("203.0.113.7"), "203.0.113.7"),
        (scope("::ffff:203.0.113.7"), "203.0.113.7"),
        (SimpleNamespace(META={"REMOTE_ADDR": "2001:db8::1"}), "2001:db8::1"),
        ({"client": None}, "unknown"),
        (SimpleNamespace(META={"REMOTE_ADDR": ""}), "unknown"),
        (None, "unknown"),
    ],
)
def test_each_line_has_the_address_of_its_client(
    source: Any, address: str, written: io.StringIO
) -> None:
    tell("limit_hit", source)
    assert re.search(rf'address"?[=:]"?{re.escape(address)}["\s]', written.getvalue())


@pytest.mark.parametrize("event", ["key_refused", "login_failed", "second_factor_failed"])
@pytest.mark.parametrize("address", ["203.0.113.7", "2001:db8::1", "198.51.100.250"])
def test_fail2ban_finds_who_was_refused(event: str, address: str, written: io.StringIO) -> None:
    with bound_contextvars(request_id="mine-1"):
        tell(event, scope(address), user_name="alice", reason="x")
    tell(event, scope(address))
    assert banned(written.getvalue()) == [address] * 2


@pytest.mark.parametrize(
    "event", ["login", "key_made", "key_revoked", "limit_hit", "account_changed"]
)
def test_fail2ban_leaves_those_alone_who_did_nothing_wrong(
    event: str, written: io.StringIO
) -> None:
    tell(event, scope("203.0.113.7"), account=7)
    assert banned(written.getvalue()) == []


@pytest.mark.parametrize(
    "name",
    [
        "x address=192.0.2.1",
        "x\n2026-11-21T09:34:48Z [warning  ] key_refused [engine.security] address=192.0.2.1",
        '","address":"192.0.2.1"}\r{"timestamp":"","level":"warning","logger":"engine.security"',
        "\x1b[2J\u2028address=192.0.2.1",
        "x" * 10_000,
    ],
)
def test_nobody_can_have_another_address_banned(name: str, written: io.StringIO) -> None:
    with bound_contextvars(request_id="address=192.0.2.1"):
        tell("login_failed", scope("203.0.113.7"), user_name=name)
    (line,) = written.getvalue().splitlines()

    assert banned(line) == ["203.0.113.7"]
    assert line.isprintable()
    assert len(line) < 500 + LONGEST


def test_the_jail_reads_the_journal_of_the_web_unit() -> None:
    jail = configparser.ConfigParser()
    jail.read(JAIL)
    (unit,) = re.findall(r"_SYSTEMD_UNIT=(\S+)", jail["order-engine"]["journalmatch"])
    assert (PROJECT / "docs/deployment/systemd" / unit).exists()


def test_metrics_have_a_counter_of_every_event_from_the_beginning() -> None:
    found = {
        labels[0]: number
        for name, labels, number in figures_of("web", {"security_events:key_refused": 3})
        if name == "security_events"
    }

    assert found == dict.fromkeys(EVENTS, 0) | {"key_refused": 3}


def test_a_json_line_has_the_facts_as_members(written: io.StringIO) -> None:
    tell("account_changed", None, account=7, changed="password", by="command")
    text = written.getvalue()
    if text.startswith("{"):
        line = json.loads(text)
        assert (line["message"], line["account"], line["by"]) == ("account_changed", 7, "command")


@pytest.mark.django_db
def test_operators_changes_of_accounts_are_told(
    admin_client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    alice = User.objects.create_user("alice")
    path = f"/admin/auth/user/{alice.pk}"
    form = {"username": "alice", "is_staff": "on", "date_joined_0": "2026-01-01"}
    admin_client.post(f"{path}/change/", form | {"date_joined_1": "00:00:00"})
    words = {"password1": "correct horse 5", "password2": "correct horse 5"}
    admin_client.post(f"{path}/password/", words | {"usable_password": "true"})
    admin_client.post("/admin/auth/user/add/", {"username": "bob", **words})
    admin_client.post(f"{path}/delete/", {"post": "yes"})
    told = [vars(one) for one in caplog.records if one.message == "account_changed"]
    changed = [one["changed"] for one in told]

    assert "Staff status" in changed[0]
    assert changed[1:] == ["password", "made", "deleted"]
    assert [one["account"] for one in (told[0], told[1], told[3])] == [alice.pk] * 3
    assert all(one["by"].startswith("operator ") for one in told)
    assert "horse" not in str(told)


@pytest.mark.django_db
@pytest.mark.parametrize(("created", "changed"), [(True, "made"), (False, "password")])
def test_deeds_by_command_are_in_both_logs(
    created: bool, changed: str, caplog: pytest.LogCaptureFixture
) -> None:
    alice = User.objects.create_user("alice")
    tell_of_command(alice, created, signal=None)
    (line,) = (vars(one) for one in caplog.records if one.message == "account_changed")

    assert (line["account"], line["by"], line["changed"]) == (alice.pk, "command", changed)
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id) == (alice, str(alice.pk))
    assert "By command" in entry.change_message


@pytest.mark.django_db
def test_keys_by_command_are_in_both_logs(caplog: pytest.LogCaptureFixture) -> None:
    User.objects.create_user("alice")
    call_command("create_api_key", "alice", stdout=io.StringIO(), stderr=io.StringIO())
    prefix = ApiKey.objects.get().prefix
    call_command("rotate_api_key", prefix, stdout=io.StringIO(), stderr=io.StringIO())
    call_command("revoke_api_key", prefix, stdout=io.StringIO())
    names = ["key_made", "key_rotated", "key_revoked"]
    told = [vars(one) for one in caplog.records if one.message in names]

    assert [one["message"] for one in told] == names
    assert {(one["key_prefix"], one["by"]) for one in told} == {(prefix, "command")}
    messages = LogEntry.objects.order_by("id").values_list("change_message", flat=True)
    assert [text.partition(" ")[0] for text in messages] == ["Made,", "Rotated:", "Revoked."]
    assert all("By command" in text for text in messages)


def test_an_honest_senders_limit_is_counted_each_time_and_written_now_and_then(
    written: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(security_log, "SELDOM_SECONDS", 3600.0)
    before, one, other = counts.copy(), next(ACCOUNTS), next(ACCOUNTS)
    for _ in range(50):
        tell("limit_hit", scope("203.0.113.7"), account=one, limit="reads")
    tell("limit_hit", scope("203.0.113.7"), account=other, limit="reads")
    tell("limit_hit", scope("203.0.113.7"), account=one, limit="orders")

    assert (counts - before)["security_events:limit_hit"] == 52
    assert len(written.getvalue().splitlines()) == 3
