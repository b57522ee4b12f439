"""Settings are read as they are meant, or the process ends before it has begun anything."""

import os
import re
import subprocess
import sys
from decimal import Decimal
from itertools import zip_longest
from pathlib import Path

import pytest

from config.environment.data_folder import PROJECT
from config.environment.variables import (
    WARNED,
    Environment,
    WrongSettings,
    look_alikes,
    read_environment,
    reading_of,
)
from config.runtime.rate import Rate
from tests.config.conftest import Start, clean_environment
from tests.support.engine import engine
from tests.support.forked import run_program

PASSWORD = "S3cret"
ANYWHERE = (" ", "\t", "a\nb", "\x1b[31m", "\udcff", "\N{ARABIC-INDIC DIGIT ONE}")
NO_NUMBER = (
    *(
        "",
        "1e3",
        "2m",
        "-3",
        "+5",
        "nan",
        "inf",
        "1_000",
        "0x10",
        "\u0661\u0660",
        "9" * 40,
        "05",
        " 5",
        "5 ",
    ),
    *("$PORT", "1,5", "five", "5s", ".5", "5."),
)
NO_PROVIDER = (
    *("rpc.example.org", "ws://rpc.example.org", "https://", "https://a.example,", "8899"),
    *("https://a.example http://b", "file:///etc/passwd", "yes"),
)
NO_ADDRESS = (
    *("x", "0" * 44, "l" * 40, "2" * 31, "2" * 45, "SOL", "$WALLET", "I" * 44),
    *(f"{'2' * 43},{'3' * 43}", f" {'2' * 43}"),
)
NO_TRUTH = (
    "",
    "ture",
    "enabled",
    "maybe",
    "2",
    "-1",
    "$HTTPS",
    "\uff54rue",
    "true ",
    "None",
    "on!",
)
NO_RATE = (
    "",
    "0/m",
    "-1/s",
    "100/d",
    "1e3/m",
    "100",
    "100/",
    "\u0661/m",
    "inf/s",
    "$RATE",
    "unlimitd",
)
NO_NAMES = (
    "*,",
    "https://a.example",
    "a.example:8000",
    "a.example/",
    "a b",
    "$HOSTS",
    "ex\u200bample",
)
NO_ORIGINS = (
    *(
        "*",
        "null",
        "a.example",
        "https://a.example/page",
        "https://",
        "ftp://a.example",
        "$ORIGINS",
    ),
    *("https://a.example,", "https://a.example:99999", f"https://me:{PASSWORD}@a.example"),
    *("https://bücher.example", "https://a.example?x", "https://-a.example", "https://1.2.3"),
)
NO_DATABASE = (
    *("", "$DATABASE", f"mysql://me:{PASSWORD}@host/name", f"me:{PASSWORD}@host:5432/engine"),
    *(f"postgresql://me:{PASSWORD}@host:99999/name", f"postgresql://me:{PASSWORD}/@host/name"),
    *(f"postgresql://me:{PASSWORD}@{PASSWORD}@host/name", f"redis://:{PASSWORD}@host"),
    *(f"postgresql://me:{PASSWORD}@host/name?sslmode=requird", f"postgresql://{PASSWORD}@[::1/"),
    *(f"postgresql://me:{PASSWORD}@host/name?nosuch=1", "127.0.0.1:15432/engine"),
)
NO_REDIS = (
    *("", "$REDIS", "127.0.0.1:6379", f"redis:/{PASSWORD}", f"http://:{PASSWORD}@host"),
    *(
        f"redis://:{PASSWORD}@host:99999/0",
        f"redis://:{PASSWORD}@host/x",
        f"redis://:{PASSWORD}#@h",
    ),
    *(f"redis://:{PASSWORD}@host?nosuch=1", f"postgresql://me:{PASSWORD}@host/name"),
)
NO_PROXIES = (
    *("**", "*,10.0.0.1", "nginx", "10.0.0.1/8", "10.0.0.1:80", "10.0.0.1,,", "1,2", "[::1]", "$P"),
    f"http://me:{PASSWORD}@proxy",
)
WRONG: dict[str, tuple[str, ...]] = {
    "DATABASE_URL": NO_DATABASE,
    "REDIS_URL": NO_REDIS,
    "ENGINE_NAME": ("", "a b", "a/b", "a:b", "a.b", "x" * 65, "$NAME", "ä"),
    "ENGINE_DATA_DIR": (
        *("", "~/data", "$HOME/data", __file__, " data", "data ", "'/data'", '"/data"'),
        f"postgresql://me:{PASSWORD}@host/name",
    ),
    "SOLANA_KEY_FILE": (
        *("", "~/key.json", "$HOME/key.json", "key.json", "/tmp", " /key", "/key ", "'/key'"),
        f"https://me:{PASSWORD}@host/name",
    ),
    "POSTGRES_PASSWORD": (
        f"{PASSWORD}@",
        f"{PASSWORD}/",
        f"{PASSWORD}:x",
        f"{PASSWORD} x",
        "%",
        "ä",
    ),
    "REDIS_PASSWORD": (
        f"{PASSWORD}@",
        f"{PASSWORD}/",
        f"{PASSWORD}:x",
        f"{PASSWORD} x",
        "%",
        "ä",
    ),
    "METRICS_TOKEN": (
        *(PASSWORD, "x" * 15, "x" * 201, "of nobody and long", "of-nobody-and-lóng"),
        *(f"{PASSWORD}\n0123456789", f"{PASSWORD}\x7f0123456789", "\uff540123456789abcdef"),
        *(f"{PASSWORD} of-metrics-x", f" {PASSWORD}-of-metrics", "ключ" * 4),
        *(f"{PASSWORD}-of-metrics\r", f"{PASSWORD}-of-metrics ", "short", "None"),
    ),
    "SECRET_KEY": ("", "x", "short", "x" * 11, " " * 20, f"{PASSWORD}-and-a-space-behind "),
    "SECRET_KEY_FALLBACKS": (
        "x",
        "x" * 11,
        f"{PASSWORD}-of-before,short",
        f"{PASSWORD}-of-before,",
    ),
    "ALLOWED_HOSTS": NO_NAMES,
    "CSRF_TRUSTED_ORIGINS": (*NO_ORIGINS, "https://*", "https://a.*.example"),
    "ALLOWED_ORIGINS": (*NO_ORIGINS, "https://*.example.com"),
    "PROXY_SSL_HEADER": (
        "HTTP_X_FORWARDED_PROTO",
        "X-Forwarded-Proto: https",
        "a,b",
        "$H",
        "-",
        "1",
    ),
    "TRUSTED_PROXIES": NO_PROXIES,
    "FORWARDED_ALLOW_IPS": NO_PROXIES,
    "ENGINE_API_KEY": (
        *(f"oee_{PASSWORD} x", "ключ", "oee_" + "x" * 201, f"oee_{PASSWORD}\r", "oee_", "None"),
        *(f"'oee_{PASSWORD}'", f"redis://:{PASSWORD}@host"),
    ),
    "LOG_LEVEL": ("", "LOUD", "verbose", "10", "NOTSET", "$LEVEL", "\u0131nfo", "INFO "),
    "LOG_FORMAT": ("", "xml", "JSON", "$json", "json ", "1", "console,json"),
    "HOST": (
        *("", "*", "0", "127.1", "256.0.0.1", "localhost:8000", "http://localhost", "[::1]"),
        *("::g", "$HOST", "a..b", "2130706433", "0x7f000001", f"me:{PASSWORD}@host"),
    ),
    "PORT": (*NO_NUMBER, "abc", "0", "65536", "99999", "8000,8001", "tcp://10.0.0.1:8000"),
    "DEFAULT_MARKET": (
        "",
        "X",
        "SOL",
        "SOL/SOL",
        "sol-usdc",
        "SOL/",
        "/USDC",
        "$RAY/USDC",
        "\u017fOL/USDC",
    ),
    "SIMULATION_LANDING_LATENCY": (*NO_NUMBER, "3-2", "1-", "-1", "1-2-3", "0-inf", "0-nan"),
    "SIMULATION_PRICE_RANGES": (
        *("raydium", "raydium=1.02-0.98", "raydium=nan", "raydium=1e3", "nowhere=1", "$RANGES"),
        *("raydium=1,raydium=2", "raydium=0"),
    ),
    "SIMULATION_PRICE_PATH": (
        *("SOL", "SOL=-8%/60", "SOL=-8%/60 @soon", "SOL=-8% @1795964400", "$PATH", "SOL=8"),
        *("SOL=-95%/60 @1795964400", "SOL=-8%/0 @1795964400", "SOL=-8%/9999 @1795964400"),
    ),
    "VENUES": ("Solana", "live", "solana,simulated", "mainnet", "0", "true", "yes"),
    "SOLANA_RPC_URLS": NO_PROVIDER,
    "SOLANA_SIGNER_URL": NO_PROVIDER,
    "SOLANA_SEND_URLS": NO_PROVIDER,
    "SOLANA_SIGNER_TOKEN": (
        *("short", "x" * 401, "sixteen signs here", "x" * 15, "ä" * 16, "x" * 16 + " "),
        *(" " + "x" * 16, "x" * 16 + "\n"),
    ),
    "SOLANA_WALLET": NO_ADDRESS,
    "SOLANA_TIP_RECEIVER": NO_ADDRESS,
    "SOLANA_PRICE_FEEDS": (
        *("SOL", "SOL=", f"={'2' * 43}", "SOL=0OIl", f"SOL={'2' * 31}", f"SOL={'2' * 45}"),
        *(f"SOL={'2' * 43},SOL={'3' * 43}", f"SOL={'2' * 43},", "yes"),
    ),
    "SIMULATION_SEED": ("x" * 101, "7 ", " 7"),
    "SIMULATION_FAULTS": (
        *("nosuch=1", "expiry", "expiry=2", "expiry=nan", "expiry=-1", "$FAULTS", "expiry=often"),
        *("nowhere.quote_timeout=1", "expiry=1,expiry=0", f"redis://:{PASSWORD}@host"),
    ),
}
BEYOND = {  # whole numbers and decimals alike: the least and the most are in their sentences
    "ORDER_CONCURRENCY": ("0", "10001", "1.5"),
    "MAX_BACKLOG": ("0", "10000001", "1.5"),
    "ORDER_ATTEMPTS": ("0", "21", "1.5"),
    "TRUSTED_PROXIES": ("17", "-1", "1.5"),
    "FORWARDED_ALLOW_IPS": ("17", "-1", "1.5"),
    "HSTS_SECONDS": ("315360001", "1.5"),
    "SESSION_IDLE_SECONDS": ("59", "1209601", "1.5"),
    "MAX_PRICE_IMPACT_BPS": ("10001", "1.5"),
    "SIMULATION_VOLATILITY_BPS": ("50.1",),
    "SIMULATION_LATE_BY": ("3600.1",),
    "SOLANA_FEE_RESERVE": ("1000.1",),
    "SOLANA_MAX_PRIORITY_FEE": ("1000000001", "1.5"),
    "SOLANA_TIP": ("1000000001", "1.5"),
    "SIMULATION_QUOTE_LATENCY": ("3600.1",),
}


def wrong_values(name: str) -> list[str]:
    """Return at least eight values that this setting must not be given."""
    found = [*WRONG.get(name, ()), *BEYOND.get(name, ())]
    takes = reading_of(name).takes
    if name not in WRONG:
        found += {"true": NO_TRUTH, "a rate": NO_RATE}.get(takes[:4], ()) or (
            NO_RATE if takes.startswith("a rate") else NO_NUMBER
        )
    if name not in BEYOND and " number" in takes and not takes.endswith("such as 2-3"):
        found += ["0", "1000000000000000"]
    odd = ANYWHERE[:-1] if reading_of(name).is_ascii is False else ANYWHERE
    return list(dict.fromkeys([*found, *odd]))


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in set(os.environ) & set(Environment.model_fields):
        monkeypatch.delenv(name)
    return monkeypatch


def test_no_value_of_a_setting_is_taken_for_another(environ: pytest.MonkeyPatch) -> None:
    """The first wrong values of all settings at once, then the second ones, and so on."""
    values = {name: wrong_values(name) for name in Environment.model_fields}

    assert min(len(each) for each in values.values()) >= 8
    for turn in zip_longest(*values.values()):
        given = {name: value for name, value in zip(values, turn, strict=True) if value is not None}
        for name in values:
            environ.delenv(name, raising=False)
        for name, value in given.items():
            environ.setenv(name, value)
        with pytest.raises(WrongSettings) as refused:
            read_environment()
        told = {sentence.split()[0]: sentence for sentence in refused.value.sentences}
        taken = {name: value for name, value in given.items() if name not in told}
        assert taken == {}
        assert told.keys() == given.keys()
        assert len(told) == len(refused.value.sentences)
        for name, sentence in told.items():
            assert re.fullmatch(rf"{name} [^\n]+: it has to be [^\n]+\.", sentence), sentence
            assert PASSWORD not in sentence
            assert sentence.isprintable()


def test_what_is_wrong_is_said_of_all_settings_at_once(environ: pytest.MonkeyPatch) -> None:
    wrong = {"DATABASE_URL": f"mysql://me:{PASSWORD}@host", "SECRET_KEY": "x", "HSTS_SECONDS": "5"}
    wrong |= {"PORT": "abc", "DEFAULT_MARKET": "X", "SIMULATION_FAULTS": "nosuch=1"}
    for name, value in wrong.items():
        environ.setenv(name, value)
    with pytest.raises(WrongSettings) as refused:
        read_environment(for_engine=True)

    assert sorted(sentence.split()[0] for sentence in refused.value.sentences) == sorted(wrong)


def test_settings_are_what_they_say(environ: pytest.MonkeyPatch) -> None:
    given = {
        **{"HTTPS": "On", "ALLOW_ANONYMOUS_ORDERS": "no", "LOG_LEVEL": "debug", "PORT": "8123"},
        **{"LEASE_SECONDS": "2.5", "ORDER_RATE_LIMIT": "5/s", "ACCOUNT_RATE_LIMIT": "unlimited"},
        **{"SECRET_KEY": "$ecret-of-ours", "DEFAULT_MARKET": "RAY/USDC", "HOST": "::0001"},
        "ALLOWED_HOSTS": "Orders.Example.com, .example.org,[::1]",
        "ALLOWED_ORIGINS": "HTTPS://App.Example:443/,https://b.example:8443,http://[::1]:80",
        "CSRF_TRUSTED_ORIGINS": "https://*.Example.com/",
        "SIMULATION_LANDING_LATENCY": "0.5",
        "SIMULATION_VOLATILITY_BPS": "1.5",
        "SIMULATION_SEED": "$1",
    }
    for name, value in given.items():
        environ.setenv(name, value)
    found = read_environment(for_engine=True)

    assert {name: getattr(found, name) for name in given} == {
        **{"HTTPS": True, "ALLOW_ANONYMOUS_ORDERS": False, "LOG_LEVEL": "DEBUG", "PORT": 8123},
        **{"LEASE_SECONDS": 2.5, "ORDER_RATE_LIMIT": Rate(5, 1), "ACCOUNT_RATE_LIMIT": None},
        **{"SECRET_KEY": "$ecret-of-ours", "DEFAULT_MARKET": "RAY/USDC", "HOST": "::1"},
        "ALLOWED_HOSTS": ("orders.example.com", ".example.org", "[::1]"),
        "ALLOWED_ORIGINS": ("https://app.example", "https://b.example:8443", "http://[::1]"),
        "CSRF_TRUSTED_ORIGINS": ("https://*.example.com",),
        "SIMULATION_LANDING_LATENCY": (0.5, 0.5),
        "SIMULATION_VOLATILITY_BPS": Decimal("1.5"),
        "SIMULATION_SEED": "$1",
    }


LIVE = {
    **{"SOLANA_LIVE": "yes", "VENUES": "solana", "SOLANA_RPC_URLS": "https://rpc.example"},
    **{"SOLANA_MAX_ORDER_VALUE": "1", "SOLANA_MAX_DAY_VALUE": "9"},
}


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"DATABASE_URL": "postgresql://host/name"}, "SECRET_KEY is not set, and DATABASE_URL is"),
        ({"HSTS_SECONDS": "60"}, "HSTS_SECONDS is set, and HTTPS is off"),
        ({"SIMULATION_QUOTE_LATENCY": "2.5"}, "SIMULATION_QUOTE_LATENCY is above QUOTE_TIMEOUT"),
        (
            {"HTTPS": "true", "ALLOWED_ORIGINS": "http://localhost:3000,http://app.example"},
            "ALLOWED_ORIGINS has http://app.example, and HTTPS is on",
        ),
        ({"SOLANA_TIP": "5"}, "SOLANA_TIP and SOLANA_TIP_RECEIVER belong together"),
        ({"SOLANA_SIGNER_TOKEN": "x" * 16}, "SOLANA_SIGNER_URL is not"),
        ({"SOLANA_SIGNER_URL": "https://s.example"}, "SOLANA_WALLET is not"),
        (
            {"SOLANA_MAX_ORDER_VALUE": "2", "SOLANA_MAX_DAY_VALUE": "1"},
            "SOLANA_MAX_ORDER_VALUE is above SOLANA_MAX_DAY_VALUE",
        ),
        (LIVE | {"SOLANA_MAX_DAY_VALUE": ""}, "SOLANA_MAX_DAY_VALUE"),
        (LIVE | {"SOLANA_RPC_URLS": ""}, "SOLANA_RPC_URLS is not set, and SOLANA_LIVE is on"),
        (LIVE | {"VENUES": "simulated"}, "VENUES is simulated"),
        (LIVE | {"DEBUG": "1"}, "DEBUG is on, and SOLANA_LIVE too"),
        (LIVE | {"SOLANA_SEND_URLS": "http://a.example"}, "has one of http"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    given: dict[str, str], sentence: str, environ: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        if value:
            environ.setenv(name, value)
    with pytest.raises(WrongSettings, match=sentence) as refused:
        read_environment(for_engine=True)
    assert len(refused.value.sentences) == 1


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        *(("ORDER_RATELIMIT", "ORDER_RATE_LIMIT"), ("ALOWED_HOSTS", "ALLOWED_HOSTS")),
        *(("LOGLEVEL", "LOG_LEVEL"), ("DJANGO_SECRET_KEY", "SECRET_KEY"), ("https", "HTTPS")),
        *(("SIMULATION_FAULT_RATES", "SIMULATION_FAULTS"), ("DATABASE_URI", "DATABASE_URL")),
        ("CORS_ALLOWED_ORIGINS", "ALLOWED_ORIGINS"),
        *(("ORDER_MAX_VALUE", "MAX_ORDER_VALUE"), ("MAX_ORDER_USD", "MAX_ORDER_VALUE")),
        *(("QUOTE_TIMEOUT_SECONDS", "QUOTE_TIMEOUT"), ("MAX_BACKLOGS", "MAX_BACKLOG")),
        *(("TIMEOUT_QUOTES", "QUOTE_TIMEOUT"), ("RATE_LIMIT_ACCOUNT", "ACCOUNT_RATE_LIMIT")),
    ],
)
def test_a_name_that_looks_like_a_setting_is_warned_of(name: str, meant: str) -> None:
    (sentence,) = look_alikes([name])
    assert sentence == f"{name} is no setting and has no effect: {meant} is probably meant."


def test_names_of_others_are_not_warned_of() -> None:
    others = {
        *("PATH", "HOME", "HOSTNAME", "NAME", "LANG", "PGHOST", "PGPORT", "DB_HOST", "DB_PORT"),
        *(
            "REDIS_PORT",
            "REDIS_HOST",
            "POSTGRES_USER",
            "POSTGRES_DB",
            "DATABASE_NAME",
            "https_proxy",
        ),
        *("DJANGO_SETTINGS_MODULE", "WEB_CONCURRENCY", "LOG_FILE", WARNED),
        *("SSH_CONNECTION", "KUBERNETES_PORT", "DATABASE_PUBLIC_URL", "SHELL"),
        *("AWS_SECRET_ACCESS_KEY", "API_RATE_LIMIT_WINDOW"),
    }

    assert list(look_alikes([*others, *Environment.model_fields])) == []


OF_LIVE = """
import django; django.setup()
from django.conf import settings
from config.stack.servers import has_demo_login, welcome_everybody
from orders.access import keys
told = {"DEMO_LOGIN": "1"}
welcome_everybody(told)
secrets = [sign + "a" * 43 for sign in ("oee_live_", "oee_test_", "oee_")]
print(settings.ALLOW_ANONYMOUS_ORDERS, settings.DEMO_LOGIN, has_demo_login(told), sorted(told))
print(keys.SIGN, [keys.prefix_of(one) is not None for one in secrets])
"""


@pytest.mark.parametrize("is_live", [True, False])
def test_where_tokens_have_value_no_stranger_and_no_key_of_tests_comes_in(
    tmp_path: Path, is_live: bool
) -> None:
    opened = {"ALLOW_ANONYMOUS_ORDERS": "1", "DEMO_LOGIN": "1"}
    environment = clean_environment(**opened, **(LIVE if is_live else {}))
    environment["DJANGO_SETTINGS_MODULE"] = "config.settings"
    environment["ENGINE_DATA_DIR"] = str(tmp_path)
    program = tmp_path / "of_live.py"
    program.write_text(OF_LIVE)
    ended = run_program([str(program)], environment, tmp_path)

    if is_live:
        told = "False False False ['DEMO_LOGIN']\noee_live_ [True, False, False]\n"
    else:
        both = "['ALLOW_ANONYMOUS_ORDERS', 'DEMO_LOGIN']"
        told = f"True True True {both}\noee_test_ [False, True, True]\n"
    assert (ended.stderr, ended.stdout) == ("", told)


DOORS = [
    ["manage.py", "release"],
    ["manage.py", "run_scheduler"],
    ["manage.py", "place_order", "sell", "1", "SOL/USDC"],
    ["-m", "uvicorn", "config.asgi:application"],
    ["-m", "celery", "-A", "config", "worker"],
]
MISREAD = {
    "ORDER_CONCURRENCY": "1e3",
    "DATABASE_URL": f"mysql://me:{PASSWORD}@host",
    "HTTPS": "ture",
}
MISREAD |= {"ALOWED_HOSTS": "a.example"}
TOLD = ["ALOWED_HOSTS", "DATABASE_URL", "HTTPS", "ORDER_CONCURRENCY"]


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door[-1])
def test_a_process_whose_settings_are_wrong_ends_with_sentences(
    door: list[str], tmp_path: Path
) -> None:
    ended = run_program(door, clean_environment(**MISREAD), tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert [line.split()[0] for line in ended.stderr.splitlines()] == TOLD
    assert PASSWORD not in ended.stderr


@pytest.mark.parametrize("command", [["up"], ["demo"], ["worker"], ["run", "--", "true"]])
def test_nothing_is_started_with_settings_that_are_wrong(
    command: list[str], start: Start, fresh_dir: Path
) -> None:
    process = start(*command, data_dir=fresh_dir, **MISREAD)
    output, errors = process.communicate(timeout=120)
    assert (process.returncode, output) == (2, "")
    assert [line.split()[0] for line in errors.splitlines()] == TOLD
    assert not fresh_dir.exists()


def test_a_default_market_that_is_not_traded_stops_the_release(
    process_database: str, tmp_path: Path
) -> None:
    with engine(process_database, tmp_path) as running:
        assert running.command("release", "--verbosity", "0").returncode == 0
        for market in ("X/Y", "USDC/SOL", "SOL/WSOL"):
            ended = running.command("release", "--verbosity", "0", DEFAULT_MARKET=market)
            assert (ended.returncode, ended.stdout) == (2, "")
            assert ended.stderr.startswith(f"DEFAULT_MARKET is '{market}': it has to be a market")
            assert ended.stderr.count("\n") == 1


def test_what_was_made_can_be_removed_by_a_python_without_our_libraries() -> None:
    command = [sys.executable, "-S", "-c", "import config.stack.clean"]
    subprocess.run(command, cwd=PROJECT, check=True)
