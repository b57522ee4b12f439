"""API keys: their form, what they allow, and how they are made, rotated and revoked.

Each of these actions is one function here, for all who can take it. The function writes the change,
and then tells the security log and the admin's log. `orders/access/accounts.py` looks keys up.
"""

import getpass
import hashlib
import re
import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Least, Now
from django.utils import timezone

from config.http.address import parse_address
from config.http.security_log import HasMeta, tell
from orders.models import ApiKey

READ, TRADE = "read", "trade"
SCOPES = (READ, TRADE)
OLD_SIGN = "oee_"  # of older keys, which do not say whether they are live or test
SIGN = "oee_live_" if settings.SOLANA_LIVE else "oee_test_"
# A key of the other kind is never looked up, not even one that a copied database has. Where tokens
# have value, neither is one that does not say of which kind it is.
SIGNS = SIGN if settings.SOLANA_LIVE else f"(?:{OLD_SIGN}|{SIGN})"
KEY = re.compile(rf"{SIGNS}[A-Za-z0-9_-]{{43}}", re.ASCII)
SHOWN = 8  # characters after the sign by which keys are told from each other
DEFAULT_DAYS = 90  # where others can reach the engine; elsewhere a key ends when it is revoked
MOST_DAYS = 3650
SOON = timedelta(days=14)  # before the end of a key, from when on it is warned of
MAX_KEYS = 50  # of one account that hold
MAX_ADDRESSES = 20
OVERLAP_HOURS, MOST_OVERLAP_HOURS = 24, 168

Network = IPv4Network | IPv6Network
HOLDS = Q(revoked_at=None) & (Q(expires_at=None) | Q(expires_at__gt=Now()))


class TooManyKeys(Exception):
    """The account has as many keys as it may. Revoke one, and try again."""


class NotRotatable(Exception):
    """The key was rotated before, or no longer holds. Make a new one, or rotate its successor."""


class Wish(NamedTuple):
    """What somebody wants of a new key. `expires_at` None: what is usual here."""

    name: str = ""
    scopes: Sequence[str] = SCOPES
    addresses: Sequence[str] = ()
    expires_at: datetime | None = None


class Doer(NamedTuple):
    """Who does something to a key: a user with a request, or whoever runs a command."""

    user: int | None = None
    source: HasMeta | None = None

    def name_for(self, key: ApiKey) -> str:
        """Return how the security log names who did it."""
        if self.user is None:
            return "command"
        return "account" if self.user == key.owner_id else f"operator {self.user}"


COMMAND = Doer()


def digest_of(secret: str) -> str:
    """Return what is stored of a secret of 256 random bits, which no dictionary holds."""
    return hashlib.sha256(secret.encode()).hexdigest()


def prefix_of(secret: str) -> str | None:
    """Return the part of a key that may be shown; None if the text does not look like a key."""
    if not KEY.fullmatch(secret):
        return None
    is_new = len(secret) == len(SIGN) + 43 and secret.startswith(SIGN)
    return secret[: len(SIGN if is_new else OLD_SIGN) + SHOWN]


def scopes_of(key: ApiKey) -> list[str]:
    return [scope for scope in SCOPES if (key.may_read if scope == READ else key.may_trade)]


def state_of(key: ApiKey) -> str:
    """Return `holds`, `expired` or `revoked`."""
    if key.revoked_at:
        return "revoked"
    if key.expires_at and key.expires_at <= timezone.now():
        return "expired"
    return "holds"


def is_soon(ends_at: datetime | None) -> bool:
    """Whether a key that ends then is to be warned of."""
    return ends_at is not None and ends_at - timezone.now() <= SOON


def read_network(text: str) -> Network:
    """Return an address, or a network of addresses; an IPv4 one in IPv6 as IPv4.

    :raises ValueError: it is none.
    """
    network = ip_network(text.strip())
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is None or network.prefixlen < 96:
        return network
    return IPv4Network((mapped, network.prefixlen - 96))


def networks_of(texts: Any) -> tuple[Network, ...] | None:
    """Return from where a key may be used; None: from anywhere.

    What cannot be read is nowhere: such a key is of no use, and opens nothing.
    """
    if texts == []:
        return None
    try:
        return tuple(read_network(text) for text in texts)
    except (ValueError, TypeError, AttributeError):
        return ()


def is_within(client: str, networks: Iterable[Network]) -> bool:
    """Whether an address lies in one of the networks."""
    address = parse_address(client)
    return address is not None and any(address in network for network in networks)


def usual_end() -> datetime | None:
    """Return when a key expires that says nothing else; None: it ends when it is revoked."""
    return timezone.now() + timedelta(days=DEFAULT_DAYS) if settings.IS_REACHABLE else None


def make_key(owner: int, wish: Wish, doer: Doer) -> tuple[ApiKey, str]:
    """Return a new key and its secret, which cannot be read again.

    :raises TooManyKeys: the account has enough of them.
    """
    with transaction.atomic():
        _refuse_more(owner, MAX_KEYS)
        key, secret = _store(owner, wish)
        text = f"Made, for {' and '.join(wish.scopes)}."
        _record(doer, key, ADDITION, text)
    tell("key_made", doer.source, **_names(doer, key))
    return key, secret


def rotate_key(key: ApiKey, hours: int, doer: Doer) -> tuple[ApiKey, str]:
    """Return a successor with the same rights, and its secret; the old key ends in so many hours.

    :raises NotRotatable: it has a successor, or no longer holds.
    :raises TooManyKeys: the account has rotated more than anybody needs.
    """
    with transaction.atomic():
        _refuse_more(
            key.owner_id, 2 * MAX_KEYS
        )  # an account with all its keys may still rotate each
        old = ApiKey.objects.select_for_update().filter(HOLDS, pk=key.pk).first()
        if old is None or ApiKey.objects.filter(rotated_from=old).exists():
            raise NotRotatable
        wish = Wish(old.name, scopes_of(old), old.addresses, _end_of_successor(old))
        new, secret = _store(old.owner_id, wish, old)
        end = Now() + timedelta(hours=hours)
        ApiKey.objects.filter(pk=old.pk).update(expires_at=Least(F("expires_at"), end))
        _record(doer, old, CHANGE, f"Rotated: {new.prefix} takes its place.")
    tell("key_rotated", doer.source, **_names(doer, old), changed=new.prefix)
    return new, secret


def rename_key(key: ApiKey, name: str, doer: Doer) -> None:
    """Give a key another name, which is for people alone."""
    ApiKey.objects.filter(pk=key.pk).update(name=name)
    _record(doer, key, CHANGE, "Renamed.")


def revoke_keys(keys: QuerySet[ApiKey], doer: Doer) -> list[ApiKey]:
    """Revoke the keys and return those that were not before."""
    with transaction.atomic():
        active = list(keys.filter(revoked_at=None).select_for_update(of=("self",)))
        ApiKey.objects.filter(pk__in=[key.pk for key in active]).update(revoked_at=Now())
        for key in active:
            _record(doer, key, CHANGE, "Revoked.")
    for key in active:
        tell("key_revoked", doer.source, **_names(doer, key))
    return active


def _refuse_more(owner: int, most: int) -> None:
    """Count the keys of an account, one counter at a time.

    :raises TooManyKeys: as many hold.
    """
    get_user_model().objects.select_for_update(no_key=True).get(pk=owner)
    if ApiKey.objects.filter(HOLDS, owner_id=owner).count() >= most:
        raise TooManyKeys


def _store(owner: int, wish: Wish, rotated_from: ApiKey | None = None) -> tuple[ApiKey, str]:
    secret = SIGN + secrets.token_urlsafe(32)
    key = ApiKey.objects.create(
        owner_id=owner,
        name=wish.name,
        prefix=secret[: len(SIGN) + SHOWN],
        digest=digest_of(secret),
        may_read=READ in wish.scopes,
        may_trade=TRADE in wish.scopes,
        addresses=[str(read_network(text)) for text in wish.addresses],
        expires_at=wish.expires_at or usual_end(),
        rotated_from=rotated_from,
    )
    key.refresh_from_db()
    return key, secret


def _end_of_successor(old: ApiKey) -> datetime | None:
    """Return an end as far away as the old key's was when it was made."""
    if old.expires_at is None:
        return None
    return timezone.now() + (old.expires_at - old.created_at)


def _names(doer: Doer, key: ApiKey) -> dict[str, Any]:
    return {"account": key.owner_id, "key_prefix": key.prefix, "by": doer.name_for(key)}


def _record(doer: Doer, key: ApiKey, flag: int, message: str) -> None:
    """Write the action into the admin's log; one by a command is listed as the key owner's."""
    if doer.user is None:
        message = f"{message} By command, as {login_name()} of the machine."
    user = key.owner_id if doer.user is None else doer.user
    LogEntry.objects.log_actions(user, [key], flag, message, single_object=True)


def login_name() -> str:
    """Return the name of the machine's user who runs this."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "nobody known"
