"""How the text of a setting is read. Each kind says what it takes, and takes nothing else.

Nothing is guessed: there are no exponents, no signs, no digits but 0 to 9, and no words that only
look like yes. A message does not repeat a text that may hold a password.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from ipaddress import IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from config.runtime.rate import Rate
from config.runtime.redis_address import ENCODE, RedisAddress

NO_EMPTY = object()
LONGEST_SHOWN = 60
TRUE, FALSE = ("true", "1", "yes", "on", "y"), ("false", "0", "no", "off", "n")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
SYMBOL = r"[A-Z0-9][A-Z0-9.$_-]{0,15}"
NAME = r"(?!-)[a-z0-9_-]{1,63}(?<!-)"
PORTS = range(1, 65536)
DEFAULT_PORTS = {"http": "80", "https": "443"}
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


class WrongValue(ValueError):
    """A setting's text is wrong; the message is the part of the sentence after the name."""


@dataclass(frozen=True)
class Reading:
    """A kind of setting: what it takes and how it is read. It stands as a mark in `Annotated`.

    `read` raises a ValueError. If that is a `WrongValue`, its message says what is wrong.
    """

    takes: str
    """What would be right, as the end of "it has to be ..."."""
    read: Callable[[str], object]
    empty: object = NO_EMPTY
    """The meaning of an empty text, if it has one."""
    is_secret: bool = False
    is_ascii: bool = True
    """Whether other letters and digits are refused, since some resemble those of ASCII."""

    def __get_pydantic_core_schema__(self, _: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._of)

    def _of(self, value: object) -> object:
        if not isinstance(value, str):  # the default of a setting that is not set
            return value
        if value == "" and self.empty is not NO_EMPTY:
            return self.empty
        try:
            check_text(value)
            if self.is_ascii and not value.isascii():
                raise ValueError
            return self.read(value)
        except WrongValue as error:
            raise ValueError(f"{error}: it has to be {self.takes}") from None
        except (ValueError, ArithmeticError):
            raise ValueError(f"{self.describe(value)}: it has to be {self.takes}") from None

    def describe(self, value: str) -> str:
        """Return the text as a message may show it: not if it may hold a secret."""
        return f"is {value!r}" if not self.is_secret and is_open(value) else "cannot be read"


def is_open(value: str) -> bool:
    """Whether a message may show a text: a whole URL may stand in the wrong setting."""
    has_secret = re.search(r"[@\\]|pass|secret", value, re.IGNORECASE)
    return not has_secret and len(value) <= LONGEST_SHOWN and value.isprintable()


def check_text(value: str) -> None:
    """:raises WrongValue: no setting may have such a text."""
    if value == "":
        raise WrongValue("is empty")
    if value != value.strip():
        raise WrongValue("has a space or a line's end around it")
    if not value.isprintable():
        raise WrongValue("has characters in it that cannot be printed")


def text(takes: str, pattern: str, **more: Any) -> Reading:
    def read(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError
        return value

    return Reading(takes, read, **more)


def password_in_url() -> Reading:
    takes = "letters, digits, and - . _ ~, since it goes into a URL as it is"
    return text(takes, r"[A-Za-z0-9._~-]{1,200}", is_secret=True)


def secret(takes: str, least: int) -> Reading:
    def read(value: str) -> str:
        if len(value) < least:
            raise WrongValue("is too short")
        return value

    return Reading(takes, read, is_secret=True, is_ascii=False)


def secrets(takes: str, least: int) -> Reading:
    """Secrets with commas between them. No message shows one."""

    def read(value: str) -> tuple[str, ...]:
        parts = tuple(part.strip() for part in value.split(","))
        if any(len(part) < least for part in parts):
            raise WrongValue("has a part that is too short")
        return parts

    return Reading(takes, read, empty=(), is_secret=True, is_ascii=False)


def number(least: str, most: str, unit: str = "", as_type: Callable[[str], Any] = float) -> Reading:
    """A number within bounds. The bounds are given in the form in which messages show them."""

    def read(value: str) -> Any:
        if not re.fullmatch(r"(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?", value):
            raise ValueError
        if not Decimal(least) <= Decimal(value) <= Decimal(most):
            raise ValueError
        return as_type(value)

    return Reading(f"a number{unit and f' of {unit}'} from {least} to {most}", read)


def seconds(least: str, most: str) -> Reading:
    return number(least, most, "seconds")


def whole(least: int, most: int, unit: str = "") -> Reading:
    """A whole number within bounds."""

    def read(value: str) -> int:
        if not re.fullmatch(r"0|[1-9][0-9]{0,30}", value) or not least <= int(value) <= most:
            raise ValueError
        return int(value)

    return Reading(f"a whole number{unit and f' of {unit}'} from {least} to {most}", read)


def truth() -> Reading:
    def read(value: str) -> bool:
        if value.lower() not in TRUE + FALSE:
            raise ValueError
        return value.lower() in TRUE

    return Reading("true or false (or 1, yes, on; 0, no, off)", read)


def one_of(*names: str, upper: bool = False) -> Reading:
    def read(value: str) -> str:
        name = value.upper() if upper else value
        if name not in names:
            raise ValueError
        return name

    return Reading(f"{', '.join(names[:-1])} or {names[-1]}", read)


def list_of(takes: str, read_one: Callable[[str], str]) -> Reading:
    """A list whose parts commas separate. A message shows only the part that is wrong."""

    def read(value: str) -> tuple[str, ...]:
        parts = [part.strip() for part in value.split(",")]
        items = []
        for part in parts:
            try:
                items.append(read_one(part))
            except ValueError:
                quoted = repr(part) if is_open(part) else "a part that cannot be read"
                raise WrongValue(f"has {quoted} in it") from None
        return tuple(dict.fromkeys(items))

    return Reading(f"a list of {takes}, separated by commas", read, empty=())


def proxies() -> Reading:
    """How many proxies there are, or where: addresses and networks."""
    networks = list_of("addresses or networks such as 10.0.0.0/8", _network)

    def read(value: str) -> object:
        if re.fullmatch(r"[0-9]|1[0-6]", value):
            return int(value)
        return tuple(ip_network(network) for network in cast(tuple[str, ...], networks.read(value)))

    return Reading(f"a whole number from 0 to 16, or {networks.takes}", read, empty=())


def older_proxies() -> Reading:
    """What uvicorn took: a list of proxies, or `*`, which is read as the nearest proxy."""
    reading = proxies()
    takes = f"* (taken as 1), or {reading.takes}"
    return Reading(takes, lambda value: 1 if value == "*" else reading.read(value), empty=())


def assignments(takes: str, read_all: Callable[[str], object], empty: object) -> Reading:
    """A list of `name=value` with each name once. `read_all` reads the whole text."""

    def read(value: str) -> object:
        names = [part.partition("=")[0].strip() for part in value.split(",")]
        if len(set(names)) < len(names):
            raise WrongValue("names something twice")
        try:
            return read_all(value)
        except ValueError as error:
            why = f" ({error})" if is_open(value) else ""
            raise WrongValue(f"cannot be read{why}") from None

    return Reading(f"a list of {takes}, separated by commas", read, empty=empty)


def provider_urls() -> Reading:
    """Addresses of JSON-RPC. They may have a key in them, so no message shows one."""

    def read(value: str) -> tuple[str, ...]:
        parts = tuple(dict.fromkeys(part.strip() for part in value.split(",")))
        for part in parts:
            url = urlsplit(part)
            if url.scheme not in ("http", "https") or not url.hostname or " " in part:
                raise WrongValue("has a part that is no URL of http or https")
        return parts

    takes = "a list of URLs such as https://rpc.example.org/key, separated by commas"
    return Reading(takes, read, empty=(), is_secret=True)


def solana_address() -> Reading:
    return text("an address of Solana", r"[1-9A-HJ-NP-Za-km-z]{32,44}", empty="")


def addresses_by_token() -> Reading:
    def read(value: str) -> dict[str, str]:
        found = {}
        for part in value.split(","):
            symbol, _, address = (each.strip() for each in part.partition("="))
            if not symbol or not re.fullmatch(r"[1-9A-HJ-NP-Za-km-z]{32,44}", address):
                raise ValueError(f"{part.strip()} is no token and its address")
            found[symbol] = address
        return found

    return assignments("SYMBOL=ADDRESS such as SOL=…", read, {})


def rate() -> Reading:
    return Reading("a rate such as 100/m, 5/s, 1000/h or unlimited", Rate.parse)


def seconds_range(least: str, most: str) -> Reading:
    """Two numbers of seconds such as 2-3, the lesser first. One number stands for both."""
    bound = seconds(least, most)

    def read(value: str) -> tuple[float, float]:
        low, dash, high = value.partition("-")
        high = high if dash else low
        for end in (low, high):
            bound.read(end)
        if float(low) > float(high):
            raise WrongValue("has the greater number first")
        return float(low), float(high)

    return Reading(f"{bound.takes}, or a range of them such as 2-3", read)


def folder() -> Reading:
    def read(value: str) -> str:
        if value[0] in "$~'\"":
            raise WrongValue(f"begins with {value[0]}, which means nothing here")
        if "://" in value:
            raise WrongValue("is the address of something else")
        if Path(value).exists() and not Path(value).is_dir():
            raise WrongValue("names a file")
        return value

    return Reading("a folder", read, is_ascii=False)


def file() -> Reading:
    def read(value: str) -> str:
        if not value.startswith("/"):
            raise WrongValue("is no path from the root")
        if Path(value).is_dir():
            raise WrongValue("names a folder")
        return value

    return Reading("a file, by its path from /", read, is_ascii=False)


def market() -> Reading:
    def read(value: str) -> str:
        base, _, quote = value.upper().partition("/")
        if base == quote or not all(re.fullmatch(SYMBOL, side) for side in (base, quote)):
            raise ValueError
        return f"{base}/{quote}"

    return Reading("two different tokens' symbols such as SOL/USDC", read)


def redis_url() -> Reading:
    def read(value: str) -> RedisAddress:
        try:
            return RedisAddress.parse(value)
        except WrongValue:
            raise
        except ValueError as error:
            raise WrongValue(str(error)) from None

    return Reading("a URL such as redis://host:6379/0", read, is_secret=True, is_ascii=False)


def database_url() -> Reading:
    takes = "a URL such as postgresql://user:password@host:5432/name"
    return Reading(takes, read_database_url, is_secret=True, is_ascii=False)


def read_database_url(value: str) -> str:
    """Return the URL unchanged, if libpq reads it as it was meant.

    libpq checks neither port nor mode before it connects. Its message then repeats what it read.
    If the password has an @ or a slash, that is a part of the password.
    """
    from config.runtime.session import parameters_of  # here, because it loads libpq

    try:
        parameters = parameters_of(value)
    except ValueError as error:
        raise WrongValue(f"is {error}") from None
    for port in parameters.get("port", "").split(","):
        if port and not (re.fullmatch(r"[0-9]{1,5}", port) and int(port) in PORTS):
            raise WrongValue(f"has a port that is no number from 1 to 65535 ({ENCODE})")
    if "@" in parameters.get("host", "").removeprefix("@"):
        raise WrongValue(f"has an @ too many ({ENCODE})")
    if parameters.get("sslmode", SSL_MODES[0]) not in SSL_MODES:
        raise WrongValue(f"has an sslmode that is none of {', '.join(SSL_MODES)}")
    return value


def host(value: str) -> str:
    """Read a machine's name or address, without a port and without brackets.

    :raises ValueError: it is neither, such as 127.1, which some programs take for an address.
    """
    if ":" in value or re.fullmatch(r"[0-9.]+|0x[0-9a-f.x]+", value.lower()):
        return str(ip_address(value))
    if len(value) > 253 or not all(re.fullmatch(NAME, part) for part in value.lower().split(".")):
        raise ValueError
    return value.lower()


def _network(value: str) -> str:
    """:raises ValueError: it has a bit beyond its mask, or is no network."""
    network = ip_network(value)
    if (
        network.version == 4
        or network.prefixlen < 96
        or network.network_address.ipv4_mapped is None
    ):
        return str(network)
    # As clients are.
    return f"{network.network_address.ipv4_mapped}/{network.prefixlen - 96}"


def in_url(host: str) -> str:
    """Return a host in the form that URLs and Host headers use."""
    return f"[{host}]" if ":" in host else host


def allowed_host(value: str) -> str:
    """Read one of ALLOWED_HOSTS: a host, `*`, or `.example.com` for a host and its subdomains."""
    if value == "*":
        return value
    if value.startswith("["):
        return f"[{IPv6Address(value.removeprefix('[').removesuffix(']'))}]"
    return "." * value.startswith(".") + in_url(host(value.removeprefix(".")))


def origin(value: str) -> str:
    """Read an origin in the form that browsers send: small letters, no default port.

    :raises ValueError: it is no origin, such as `*`, `null` or a page's address.
    """
    match = re.fullmatch(
        r"(https?)://(\[[0-9a-f:.]+\]|[^:/\[\]]+)(?::([0-9]{1,5}))?/?", value.lower()
    )
    if match is None:
        raise ValueError
    scheme, place, port = match.groups()
    if port and int(port) not in PORTS:
        raise ValueError
    name = in_url(host(place.strip("[]")))
    port = "" if port is None or int(port) == int(DEFAULT_PORTS[scheme]) else f":{int(port)}"
    return f"{scheme}://{name}{port}"


def origin_or_subdomains(value: str) -> str:
    """Read an origin, or `https://*.example.com` for all subdomains of a host."""
    scheme, star, rest = value.partition("://*.")
    if not star:
        return origin(value)
    return origin(f"{scheme}://{rest}").replace("://", star, 1)
