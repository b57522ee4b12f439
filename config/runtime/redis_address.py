"""What REDIS_URL says, read once for its three users: redis-py, the channel layer and Celery.

Each of them reads such a URL in its own way, and some drop options that they do not know. So it is
read here, and an option that one of them could not honour is refused. No message repeats a part of
the URL that might belong to a password.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

SCHEMES = {
    "redis": "redis",
    "rediss": "rediss",
    "unix": "unix",
    "redis+socket": "unix",  # Celery's name for it
}
PORT = 6379
TRUST = {"none": "none", "optional": "optional", "required": "required"} | {
    f"CERT_{name}": name.lower() for name in ("NONE", "OPTIONAL", "REQUIRED")
}
TRUTH = {"1": "true", "true": "true", "yes": "true", "0": "false", "false": "false", "no": "false"}
FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
TLS = (*FILES, "ssl_cert_reqs", "ssl_check_hostname")
NUMBERS = ("db", "virtual_host")  # the second is Celery's name for the first
ENCODE = "write / ? # @ % and : in a user's name or password as %2F %3F %23 %40 %25 %3A"


@dataclass(frozen=True)
class RedisAddress:
    """A server, a database in it, and the user as whom we connect."""

    scheme: str
    host: str = ""
    port: int = PORT
    path: str = ""  # of a unix socket
    number: int = 0
    user: str = ""
    password: str = field(default="", repr=False)
    tls: tuple[tuple[str, str], ...] = ()

    @property
    def url(self) -> str:
        """The URL with every part written out and escaped, so that redis-py reads it right."""
        name = quote(self.user, safe="")
        who = f"{name}:{quote(self.password, safe='')}@" if self.password else name and f"{name}@"
        if self.scheme == "unix":
            return f"unix://{who}{quote(self.path)}?db={self.number}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        options = urlencode({name: quote(value, safe="") for name, value in self.tls})
        return f"{self.scheme}://{who}{host}:{self.port}/{self.number}{options and f'?{options}'}"

    @classmethod
    def parse(cls, url: str) -> "RedisAddress":
        """:raises ValueError: one user of the URL could not honour it; the message says why."""
        scheme, _, rest = url.strip().partition("://")
        if scheme not in SCHEMES:
            raise ValueError("must begin with redis://, rediss:// or unix://")
        parts = _split(f"{SCHEMES[scheme]}://{rest}")
        if parts.fragment or "@" in parts.query or ("@" in parts.path and "@" not in parts.netloc):
            raise ValueError(ENCODE)
        options = _options(parts.query)
        user, password = _credentials(parts.netloc.rpartition("@")[0], options)
        if parts.scheme == "unix":
            address = cls._of_socket(parts.netloc.rpartition("@")[2], unquote(parts.path), options)
        else:
            address = cls._of_port(
                parts.scheme, parts.netloc.rpartition("@")[2], parts.path, options
            )
        return cls(**(vars(address) | {"user": user, "password": password}))

    @classmethod
    def _of_socket(cls, host: str, path: str, options: Mapping[str, str]) -> "RedisAddress":
        if host or not path.strip("/"):
            raise ValueError("must name a socket's whole path after unix://, as unix:///run/redis")
        if wrong := sorted(set(options) & set(TLS)):
            raise ValueError(f"{wrong[0]} is for rediss://")
        return cls("unix", path=path, number=_number("", options))

    @classmethod
    def _of_port(
        cls, scheme: str, place: str, path: str, options: Mapping[str, str]
    ) -> "RedisAddress":
        match = re.fullmatch(r"(\[[^\[\]@/]+\]|[^:\[\]@/]*)(?::(\d{0,5}))?", place)
        if match is None or not 0 < int(match[2] or PORT) < 65536:
            raise ValueError(f"must have a host and a port after the password; {ENCODE}")
        tls = {name: _tls_value(name, options[name]) for name in TLS if name in options}
        if tls and scheme != "rediss":
            raise ValueError(f"{next(iter(tls))} is for rediss://")
        if tls.get("ssl_cert_reqs") == "none":
            tls["ssl_check_hostname"] = "false"
        return cls(
            scheme,
            host=unquote(match[1].strip("[]")) or "localhost",
            port=int(match[2] or PORT),
            number=_number(unquote(path).strip("/"), options),
            tls=tuple(tls.items()),
        )


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:  # its message may repeat the password
        raise ValueError(f"must have a host and a port; {ENCODE}") from None


def _options(query: str) -> dict[str, str]:
    """Return the options, once each.

    :raises ValueError: one user of the URL would not honour an option.
    """
    pairs = parse_qsl(query, keep_blank_values=True)
    options = {name: unquote(value) for name, value in pairs}  # redis-py decodes twice, too
    for name, value in pairs:
        if name == "protocol" and value == "2":  # which all of them speak
            options.pop(name)
        elif name not in (*NUMBERS, *TLS, "username", "password"):
            subject = (
                name if re.fullmatch(r"[a-z_]{2,40}", name) else "an option of an unknown name"
            )
            raise ValueError(f"{subject} cannot be set: the engine's connections set it themselves")
    if len(dict(pairs)) < len(pairs):
        raise ValueError("must give each option once")
    return options


def _credentials(given: str, options: Mapping[str, str]) -> tuple[str, str]:
    name, _, password = given.partition(":")
    user, password = unquote(name), unquote(password)
    if (user and "username" in options) or (password and "password" in options):
        raise ValueError("must give the user's name and password once")
    return user or options.get("username", ""), password or options.get("password", "")


def _number(path: str, options: Mapping[str, str]) -> int:
    given = {number for number in (path, *(options.get(name) for name in NUMBERS)) if number}
    given |= {"none"} & {options.get(name) or "none" for name in NUMBERS if name in options}
    if not given:
        return 0
    if len(given) > 1:
        raise ValueError("must name one database")
    if not re.fullmatch(r"[0-9]{1,9}", only := given.pop()):
        raise ValueError("must name its database by a number, as redis://localhost/0")
    return int(only)


def _tls_value(name: str, value: str) -> str:
    if name in FILES:
        if not Path(value).exists():
            raise ValueError(f"{name} names no file that is there")
        return value
    table = TRUST if name == "ssl_cert_reqs" else TRUTH
    known = table.get(value) or table.get(value.lower())
    if known is None:
        raise ValueError(f"{name} is one of {', '.join(sorted(table))}")
    return known
