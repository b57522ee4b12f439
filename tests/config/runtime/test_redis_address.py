"""One reading of REDIS_URL for all who use it."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import redis.asyncio
from django.conf import settings

from config.environment.data_folder import PROJECT
from config.runtime.redis_address import RedisAddress
from config.runtime.redis_listening import listening_pool
from tests.support.engine import own_redis
from tests.support.forked import run_program

ALL_KINDS = ":/?#[]@%&= +'\"\\$üß{};"
QUOTED = "%3A%2F%3F%23%5B%5D%40%25%26%3D%20%2B%27%22%5C%24%C3%BC%C3%9F%7B%7D%3B"

# Each of the readers connects in a process of its own: they read the settings at import.
ASK_ALL = """
import asyncio, django, redis, redis.asyncio
django.setup()
from channels.layers import get_channel_layer
from django.conf import settings
from config.celery import app
from orders.engine import bell

async def ask():
    client = redis.asyncio.Redis.from_url(settings.REDIS_URL)
    assert await client.set(settings.REDIS_PREFIX + "async", 1)
    await client.aclose()
    layer = get_channel_layer()
    channel = await layer.new_channel()
    await layer.send(channel, {"type": "hello"})
    assert await layer.receive(channel) == {"type": "hello"}
    await layer.flush()

asyncio.run(ask())
assert bell.ring()
with app.connection_for_read() as connection:
    message = connection.SimpleQueue("bells").get(timeout=60)
    message.ack()
    assert message.headers["task"] == bell.ROUTE_AND_EXECUTE
    print(connection.default_channel.client.connection_pool.connection_kwargs["db"])
"""


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://", RedisAddress("redis", "localhost")),
        ("redis://h", RedisAddress("redis", "h")),
        ("redis://h:6380/2", RedisAddress("redis", "h", 6380, number=2)),
        ("redis://h?db=2", RedisAddress("redis", "h", number=2)),
        ("redis://h/2?db=2", RedisAddress("redis", "h", number=2)),
        ("redis://h/0?protocol=2", RedisAddress("redis", "h")),
        ("redis://:secret@h", RedisAddress("redis", "h", password="secret")),
        ("redis://me:a:b@h", RedisAddress("redis", "h", user="me", password="a:b")),
        ("redis://h?username=me&password=x", RedisAddress("redis", "h", user="me", password="x")),
        (f"redis://:{QUOTED}@h", RedisAddress("redis", "h", password=ALL_KINDS)),
        ("redis://[::1]:7/3", RedisAddress("redis", "::1", 7, number=3)),
        ("unix:///run/r.sock?db=2", RedisAddress("unix", path="/run/r.sock", number=2)),
        (
            "unix://me:p%40@/run/r%20s?db=2",
            RedisAddress("unix", path="/run/r s", number=2, user="me", password="p@"),
        ),
        ("redis+socket:///r?virtual_host=3", RedisAddress("unix", path="/r", number=3)),
        ("rediss://h", RedisAddress("rediss", "h")),
        (
            "rediss://h?ssl_cert_reqs=CERT_NONE",
            RedisAddress(
                "rediss", "h", tls=(("ssl_cert_reqs", "none"), ("ssl_check_hostname", "false"))
            ),
        ),
        (
            f"rediss://h?ssl_ca_certs={__file__}",
            RedisAddress("rediss", "h", tls=(("ssl_ca_certs", __file__),)),
        ),
    ],
)
def test_a_url_is_read_as_it_is_meant(url: str, expected: RedisAddress) -> None:
    found = RedisAddress.parse(url)

    assert found == expected
    assert RedisAddress.parse(found.url) == found
    for options in (
        redis.Redis.from_url(found.url).connection_pool.connection_kwargs,
        redis.asyncio.Redis.from_url(found.url).connection_pool.connection_kwargs,
        listening_pool(found.url, 1).connection_kwargs,
    ):
        assert options["db"] == expected.number
        assert (options.get("username") or "") == expected.user
        assert (options.get("password") or "") == expected.password
        assert options.get("path", "") == expected.path
        assert options.get("host", "") == expected.host


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("redis://:S3cret@h/0?socket_timeout=3", "socket_timeout"),
        ("redis://:S3cret@h/0?protocol=3", "protocol"),
        ("redis://:S3cret@h/0?health_check_interval=3", "health_check_interval"),
        ("unix://:S3cret@/r?db=2&socket_timeout=3", "socket_timeout"),
        ("redis://:S3cret@h/x", "number"),
        ("redis://:S3cret@h/1?db=2", "one database"),
        ("redis://:S3cret@h/?db=", "number"),
        ("redis://:S3cret@h/-1", "number"),
        ("redis://:S3cret@h/0?db=0&db=1", "once"),
        ("redis://:S3cret@h/0?password=other", "once"),
        ("redis://:S3cret@h/0?ssl_cert_reqs=none", "ssl_cert_reqs"),
        ("rediss://:S3cret@h/0?ssl_cert_reqs=maybe", "ssl_cert_reqs"),
        ("rediss://:S3cret@h/0?ssl_ca_certs=/not/there", "ssl_ca_certs"),
        ("rediss://:S3cret@h/0?ssl_ca_path=/", "ssl_ca_path"),
        ("redis://:S3cret\u2100@h", "host"),
        ("redis://:S3cret@h:port/0", "port"),
        ("redis://:S3cret@h:0", "port"),
        ("redis://:S3cret@h:99999", "port"),
        ("redis://:S3/cret@h/0", "%2F"),
        ("redis://:S3?cret@h/0", "%3F"),
        ("redis://u:12?S3cret@h/0", "%3F"),
        ("redis://:S3#cret@h/0", "%23"),
        ("redis://[::1", "host"),
        ("redis://h1:1,h2:2/0", "host"),
        ("unix://S3cret/r", "unix://"),
        ("unix://", "unix://"),
        ("unix:///r?ssl_ca_certs=x", "ssl_ca_certs"),
        ("sentinel://:S3cret@h", "redis://"),
        ("S3cret", "redis://"),
        ("redis://h/0?S3cret!", "unknown"),
    ],
)
def test_what_one_of_its_users_cannot_honour_is_refused_by_name_and_tells_no_secret(
    url: str, named: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(named)) as refused:
        RedisAddress.parse(url)
    assert "cret" not in str(refused.value)


def test_nobody_sees_the_password_of_an_address_that_is_printed() -> None:
    assert "S3cret" not in repr(RedisAddress.parse("redis://:S3cret@h"))


@pytest.fixture(scope="module")
def locked_socket() -> Iterator[str]:
    """The socket of a Redis with a password and an ACL user, each of any character."""
    with own_redis() as (_, url):
        client = redis.Redis.from_url(url)
        client.acl_setuser(
            "me",
            enabled=True,
            passwords=[f"+{ALL_KINDS}"],
            keys="*",
            channels="*",
            commands=["+@all"],
        )
        client.config_set("requirepass", ALL_KINDS)
        client.close()
        yield RedisAddress.parse(url).path


@pytest.mark.parametrize("who", [f":{QUOTED}", f"me:{QUOTED}"])
def test_every_reader_gets_in_by_the_same_url(locked_socket: str, who: str) -> None:
    ended = run_with(f"unix://{who}@{locked_socket}?db=3", ASK_ALL)
    assert ended.stdout.split() == ["3"], ended.stderr


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"REDIS_URL": "redis://:S3cret@h?socket_timeout=3"}, "REDIS_URL socket_timeout cannot"),
        ({"ENGINE_NAME": "a b"}, "ENGINE_NAME is 'a b': it has to be 1 to 64 of letters"),
        ({"ENGINE_NAME": ""}, "ENGINE_NAME is empty: it has to be 1 to 64 of letters"),
    ],
)
def test_a_wrong_setting_stops_the_process_with_one_sentence(
    environment: dict[str, str], sentence: str, tmp_path: Path
) -> None:
    given = {"DJANGO_SETTINGS_MODULE": "tests.settings", "REDIS_URL": settings.REDIS_URL}
    ended = run_program(["manage.py", "check"], {**os.environ, **given, **environment}, tmp_path)

    assert ended.returncode == 2
    assert ended.stderr.startswith(sentence)
    assert ended.stderr.count("\n") == 1
    assert "S3cret" not in ended.stderr


def run_with(url: str, program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    found = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "REDIS_URL": url}
    return subprocess.run(
        [sys.executable, "-c", program],
        env=found | environment,
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
