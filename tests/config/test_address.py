"""Whose address counts: behind no proxy, behind some, and behind those who write what they like."""

from ipaddress import ip_network
from typing import Any

import pytest
from django.test import override_settings

from config.address import client_of, is_spoken_for, site_of, with_client
from config.environment import WrongSettings, read_environment

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
        ("2002:808:801:1::1", "2002:808:801:2::1", True),
        ("fe80::1%eth0", "fe80::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
    ],
)
def test_an_address_is_counted_as_its_holder_has_it(one: str, other: str, are_one: bool) -> None:
    assert (site_of(one) == site_of(other)) is are_one


@pytest.mark.parametrize(
    ("text", "site"),
    [
        ("2002:7f00:1::1", "2002:7f00:1::"),  # 6to4 of 127.0.0.1
        ("64:ff9b::7f00:1", "64:ff9b::"),  # NAT64 of 127.0.0.1
        ("2002:a00:1::1", "2002:a00:1::"),  # 6to4 of 10.0.0.1
        ("64:ff9b::c0a8:101", "64:ff9b::"),  # NAT64 of 192.168.1.1
        ("::127.0.0.1", "::"),  # the form that was given up
        ("::ffff:127.0.0.1", "127.0.0.1"),  # this machine's own sockets of both families
    ],
)
def test_a_tunnel_leads_to_no_address_of_this_machine(text: str, site: str) -> None:
    assert site_of(text) == site


@pytest.mark.parametrize(
    "name",
    [
        *("x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port"),
        *("forwarded", "x-real-ip", "via", "cf-connecting-ip", "true-client-ip", "x-client-ip"),
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
