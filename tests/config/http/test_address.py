"""Whose address counts: behind no proxy, behind some, and behind those who write what they like."""

from ipaddress import ip_network
from typing import Any

import pytest
from django.test import override_settings

from config.environment.variables import WrongSettings, read_environment
from config.http.address import client_of, is_spoken_for, parse_address, site_of, with_client

PROXY, STRANGER = "127.0.0.1", "203.0.113.7"
NEAR = (ip_network("127.0.0.1"), ip_network("10.0.0.0/8"), ip_network("2001:db8:1::/48"))


def forwarded(*values: str) -> list[tuple[bytes, bytes]]:
    return [(b"host", b"x"), *((b"x-forwarded-for", value.encode("latin-1")) for value in values)]


@pytest.mark.parametrize(
    ("peer", "told", "client"),
    [
        (PROXY, (), PROXY),
        (PROXY, (STRANGER,), STRANGER),
        (PROXY, (f"9.9.9.9, {STRANGER}",), STRANGER),  # the first one is the client's own word
        (PROXY, ("9.9.9.9", STRANGER), STRANGER),
        (PROXY, (f"9.9.9.9,{STRANGER} , 10.1.2.3",), STRANGER),
        (PROXY, ("10.1.2.3, 10.4.5.6",), "10.1.2.3"),  # a client within
        (PROXY, (f"9.9.9.9, [::ffff:{STRANGER}]:4711, 10.0.0.1:80",), STRANGER),
        (PROXY, ("2001:DB8:2::0001, 2001:db8:1::9",), "2001:db8:2::1"),
        (PROXY, (f"{STRANGER}, unknown",), PROXY),  # who hides is as his proxy
        (PROXY, ("\xff\x00, ",), PROXY),
        ("::ffff:127.0.0.1", (STRANGER,), STRANGER),
        (STRANGER, ("10.0.0.1",), STRANGER),  # nobody's proxy
        (f"::ffff:{STRANGER}", (), STRANGER),
        ("", (STRANGER,), ""),
    ],
)
def test_the_client_is_the_first_from_the_right_that_is_no_proxy_of_ours(
    peer: str, told: tuple[str, ...], client: str
) -> None:
    with override_settings(TRUSTED_PROXIES=NEAR):
        assert client_of(peer, forwarded(*told)) == client


@pytest.mark.parametrize(
    ("count", "told", "client"),
    [
        (0, (STRANGER,), "192.0.2.1"),
        (1, (f"9.9.9.9, {STRANGER}",), STRANGER),
        (2, (f"9.9.9.9, {STRANGER}, 10.0.0.1",), STRANGER),
        (2, ("9.9.9.9", STRANGER, "10.0.0.1"), STRANGER),
        (3, (f"{STRANGER}, 10.0.0.1",), STRANGER),  # it came by a shorter way
        (1, (), "192.0.2.1"),
        (1, ("9.9.9.9, nobody",), "192.0.2.1"),
        (2, (",".join(["9.9.9.9"] * 5000 + [STRANGER, "10.0.0.1"]),), STRANGER),
    ],
)
def test_the_client_is_the_nth_from_the_right_where_proxies_are_counted(
    count: int, told: tuple[str, ...], client: str
) -> None:
    with override_settings(TRUSTED_PROXIES=count):
        assert client_of("192.0.2.1", forwarded(*told)) == client


@pytest.mark.parametrize(
    ("one", "other", "are_one"),
    [
        ("::ffff:8.8.8.1", "8.8.8.1", True),
        ("::ffff:8.8.8.1", "::ffff:8.8.8.2", False),
        ("64:ff9b::808:801", "64:ff9b::808:802", False),
        ("64:ff9b::7f00:1", "127.0.0.1", False),
        ("2002:808:801:1::1", "2002:808:801:2::1", True),
        ("2002:808:801:1::1", "2002:808:802:1::1", False),
        ("2002:7f00:1::1", "127.0.0.1", False),
        ("::7f00:1", "127.0.0.1", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
    ],
)
def test_an_address_is_counted_as_its_holder_has_it(one: str, other: str, are_one: bool) -> None:
    assert (site_of(one) == site_of(other)) is are_one


@pytest.mark.parametrize(
    "text",
    [
        *("2002:7f00:1::", "2002:7f00:1:1::1", "64:ff9b::7f00:1", "::127.0.0.1", "::7f00:1"),
        *("64:ff9b:1::7f00:1", "::ffff:0:127.0.0.1", "2001:0:7f00:1::", "fe80::5efe:127.0.0.1"),
    ],
)
def test_no_address_from_afar_becomes_one_of_this_machine(text: str) -> None:
    found = parse_address(text)
    assert found is not None
    assert (found.version, found.is_loopback) == (6, False)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        *(("::ffff:127.0.0.1", "127.0.0.1"), ("::FFFF:7f00:1", "127.0.0.1")),
        *(("[::ffff:10.0.0.1]:80", "10.0.0.1"), ("10.0.0.1:80", "10.0.0.1")),
        *(("[::1]", "::1"), ("[fe80::1%eth0]:4711", "fe80::1"), ("fe80::1%eth0", "fe80::1")),
    ],
)
def test_an_address_is_read_however_servers_and_proxies_write_it(text: str, meant: str) -> None:
    assert str(parse_address(text)) == meant


@pytest.mark.parametrize(
    "text",
    [
        *("", "unknown", "_hidden", "localhost", "unix:", "/run/web.sock", "[::1].evil", "[::1"),
        *("::1]", "[::1]x:80", "[::1]:", "[127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1%lo"),
        *("127.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.0.0.1.evil", "127.0.0.1 "),
        *("١٢٧.0.0.1", "::1\n", "127.0.0.1/8", '"127.0.0.1"', ":80", "::1::"),
        "fe80::1%" + "z" * 200,  # what is read is remembered, so it has to be short
    ],
)
def test_what_only_begins_like_an_address_is_none(text: str) -> None:
    assert parse_address(text) is None


@pytest.mark.parametrize("count", [1, (ip_network("127.0.0.1"),)])
@pytest.mark.parametrize(
    "told", ["[::1].evil", "127.0.0.1:x", "a" * 5000, "\xff", ",,,", "2130706433"]
)
def test_an_entry_that_is_no_address_makes_nobody_another(count: object, told: str) -> None:
    with override_settings(TRUSTED_PROXIES=count):
        assert client_of(PROXY, forwarded(told)) == PROXY


@pytest.mark.parametrize(("trusted", "client"), [((), ""), (NEAR, ""), (1, STRANGER)])
def test_who_comes_by_a_sockets_file_is_believed_where_proxies_are_counted(
    trusted: object, client: str
) -> None:
    with override_settings(TRUSTED_PROXIES=trusted):
        assert client_of("", forwarded(STRANGER)) == client
        assert client_of("", ()) == ""
        assert site_of("") == "unknown"


@pytest.mark.parametrize(
    "name",
    [
        *("x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto"),
        *("x-forwarded-server", "x-forwarded", "forwarded", "x-real-ip", "via", "x-client-ip"),
        *("cf-connecting-ip", "true-client-ip", "fastly-client-ip", "x-original-forwarded-for"),
    ],
)
def test_a_request_with_a_proxys_word_in_it_is_spoken_for(name: str) -> None:
    assert is_spoken_for([(name.encode(), b"")])
    assert not is_spoken_for([(b"host", b"x"), (b"x-request-id", b"1")])


@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_a_scheme_and_an_address_are_taken_from_our_proxy_alone(kind: str) -> None:
    seen: list[dict[str, Any]] = []

    async def look(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)

    headers = [*forwarded(STRANGER), (b"x-forwarded-proto", b"https")]
    clear = "http" if kind == "http" else "ws"
    for peer in (PROXY, "192.0.2.1"):
        scope = {"type": kind, "client": (peer, 4711), "scheme": clear, "headers": headers}
        await with_client(look)(scope, None, None)  # type: ignore[arg-type]
    assert [(one["client"], one["scheme"]) for one in seen] == [
        ((STRANGER, 0), clear.replace("p", "ps") if kind == "http" else "wss"),
        (("192.0.2.1", 4711), clear),
    ]


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("TRUSTED_PROXIES", "2", 2),
        ("TRUSTED_PROXIES", "", ()),
        (
            "TRUSTED_PROXIES",
            "10.0.0.0/8, ::1, ::ffff:192.0.2.0/120",
            tuple(map(ip_network, ("10.0.0.0/8", "::1", "192.0.2.0/24"))),
        ),
        ("FORWARDED_ALLOW_IPS", "*", 1),
        ("FORWARDED_ALLOW_IPS", "10.0.0.5", (ip_network("10.0.0.5"),)),
    ],
)
def test_proxies_are_a_number_or_networks(
    name: str, value: str, meant: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert getattr(read_environment(), name) == meant


@pytest.mark.parametrize("value", ["*", "17", "-1", "10.0.0.1/8", "nginx", "10.0.0.1,,", "1,2"])
def test_proxies_that_are_neither_a_number_nor_networks_are_refused(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRUSTED_PROXIES", value)
    with pytest.raises(WrongSettings, match=r"^TRUSTED_PROXIES .*16"):
        read_environment()
