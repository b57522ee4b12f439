"""What goes wrong with a node's requests, by switches: a list of faults for each node."""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from routing.cluster.rpc.errors import invalid

SEND = "sendTransaction"
STATUSES = ("getSignatureStatuses", "getTransaction")


class Kind(StrEnum):
    """What happens to a request. Those that change what a node knows concern all requests."""

    DROP = "drop"
    """`sendTransaction` answers as always, and the transaction never lands."""
    LATE = "late"
    """What `sendTransaction` takes lands `slots` later, if it does not expire."""
    LOST_REPLY = "lost_reply"
    """The request is carried out, and the connection ends without an answer."""
    RATE_LIMIT = "rate_limit"
    """It is refused with status 429; `seconds` is the Retry-After."""
    UNAVAILABLE = "unavailable"
    """It is refused with status 503."""
    WRONG_NULL = "wrong_null"
    """`getSignatureStatuses` and `getTransaction` know nothing, whatever has landed."""
    SLOW = "slow"
    """It is carried out `seconds` later."""
    BEHIND = "behind"
    """The node is `slots` behind the cluster, and says so."""
    SILENTLY_BEHIND = "silently_behind"
    """The same, and it says that it is healthy."""
    SHORT_HISTORY = "short_history"
    """The node has thrown away what is older than `slots`, and says so only if it is asked."""
    MUTE = "mute"
    """Its subscriptions tell nothing."""
    FORK = "fork"
    """Of the first node, for all: a slot is taken back, and its transactions land again."""
    LOST_SLOT = "lost_slot"
    """The same, and its transactions are lost."""


SLOT = "slot"
"""Stands for a method where a fault hits slots."""

ONLY_FOR = {
    Kind.DROP: (SEND,),
    Kind.LATE: (SEND,),
    Kind.WRONG_NULL: STATUSES,
    Kind.FORK: (SLOT,),
    Kind.LOST_SLOT: (SLOT,),
}
STATES = (Kind.BEHIND, Kind.SILENTLY_BEHIND)


@dataclass(frozen=True, slots=True)
class Fault:
    """One switch. It hits requests until it has hit `times` of them, if that is not None."""

    kind: Kind
    times: int | None = None
    share: float = 1.0
    """The part of the requests that it hits, by chance."""
    methods: tuple[str, ...] = ()
    """The methods that it hits; empty: all that its kind concerns."""
    seconds: float = 1.0
    slots: int = 10

    def concerns(self, method: str) -> bool:
        methods = self.methods or ONLY_FOR.get(self.kind)
        return methods is None or method in methods


class Faults:
    """The faults of one node. The same seed draws the same chances."""

    def __init__(self, seed: str) -> None:
        self._faults: list[Fault] = []
        self._chance = random.Random(seed)

    def replace(self, faults: Iterable[Fault]) -> None:
        self._faults = list(faults)

    @property
    def present(self) -> list[Fault]:
        return list(self._faults)

    def hit(self, method: str, *kinds: Kind) -> Fault | None:
        """Return the first fault of these kinds that hits this request, and count it."""
        for place, fault in enumerate(self._faults):
            if fault.kind in kinds and fault.concerns(method):
                if fault.share < 1 and self._chance.random() >= fault.share:
                    continue
                self._count(place, fault)
                return fault
        return None

    @property
    def slots_behind(self) -> int:
        return max((fault.slots for fault in self._faults if fault.kind in STATES), default=0)

    @property
    def slots_kept(self) -> int | None:
        """How much history the node has; None: all."""
        kept = [one.slots for one in self._faults if one.kind is Kind.SHORT_HISTORY]
        return min(kept, default=None)

    @property
    def is_mute(self) -> bool:
        return any(fault.kind is Kind.MUTE for fault in self._faults)

    @property
    def admits_that_it_is_behind(self) -> bool:
        return any(fault.kind is Kind.BEHIND for fault in self._faults)

    def _count(self, place: int, fault: Fault) -> None:
        if fault.times is not None:
            left = replace(fault, times=fault.times - 1)
            self._faults[place : place + 1] = [left] if left.times else []


def read_fault(given: Any) -> Fault:
    """Return a fault from its JSON, such as `{"kind": "drop", "times": 1}`.

    :raises RpcError: it has another form.
    """
    if not isinstance(given, Mapping):
        raise invalid("a fault is an object with a kind")
    unknown = given.keys() - set(Fault.__dataclass_fields__)
    if unknown:
        raise invalid(f"a fault has no {sorted(unknown)[0]}")
    try:
        kind = Kind(given.get("kind", ""))
    except ValueError:
        raise invalid(f"no fault {given.get('kind')!r}, only {', '.join(Kind)}") from None
    try:
        fault = Fault(
            kind,
            *(given.get("times"), float(given.get("share", 1.0)), tuple(given.get("methods", ()))),
            *(float(given.get("seconds", 1.0)), int(given.get("slots", 10))),
        )
    except (TypeError, ValueError) as error:
        raise invalid(f"a fault of another form: {error}") from None
    if not 0 <= fault.share <= 1 or fault.seconds < 0 or fault.slots < 0:
        raise invalid("share is from 0 to 1, and seconds and slots are not negative")
    if fault.times is not None and not (type(fault.times) is int and fault.times > 0):
        raise invalid("times is a positive whole number")
    return fault


def fault_json(fault: Fault) -> dict[str, Any]:
    return {name: getattr(fault, name) for name in Fault.__dataclass_fields__}


def read_flag(text: str) -> Fault:
    """Return a fault from a flag such as `slow:seconds=2,share=0.1`.

    :raises RpcError: it has another form.
    """
    kind, _, rest = text.partition(":")
    given: dict[str, Any] = {"kind": kind}
    for part in filter(None, rest.split(",")):
        name, _, value = part.partition("=")
        try:
            number: Any = float(value)
        except ValueError:
            raise invalid(f"{part!r} is not written as in times=2") from None
        given[name] = int(number) if name in ("times", "slots") else number
    return read_fault(given)
