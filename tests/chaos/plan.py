"""What a run will do, and when: all of it follows from the seed."""

import random
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

CANCELLED = 0.08  # of the orders
WITHOUT_KEY = 0.25  # of the orders: each time they are sent, the answer alone tells what became
FIRST_FAULT = 1.5  # seconds after the first order
QUIET_END = 1.0  # seconds without new faults at the end
LAST_HINTS = "drop_hints"  # no later reconnection can make it good, so the resync has to
LAST = (
    "lose_workers"  # after the last order: no other's bell makes it good, so the scheduler has to
)
CASE_SECONDS = 4.0  # that a fault lasts which is a case by itself; fewer, if that is its most
AFTER_ALL = 0.2  # seconds after the last order


@dataclass(frozen=True, slots=True)
class Options:
    """How large a run is. `without`: parts of the engine that are switched off."""

    seed: int
    orders: int = 300
    seconds: float = 90.0
    faults: int = 60
    drain: float = 30.0
    """Seconds without any move, after the last fault, after which what is open counts as lost."""
    without: frozenset[str] = frozenset()
    only: frozenset[str] = frozenset()
    """Kinds of faults; none means all."""
    pick: float | None = None
    """Which of several, for every fault; None: drawn."""
    has_network_faults: bool = True
    """Whether the simulated network fails as well."""
    patience: float = 6.0
    """Seconds a client waits for an answer."""
    accounts: int = 0
    """Others that send orders and read their own events."""
    bot: bool = False
    """Whether the example bot trades beside them, and its books are compared."""


@dataclass(frozen=True, slots=True)
class Fault:
    at: float
    """Seconds after the start."""
    kind: str
    pick: float
    """From 0 up to 1: which of several processes or connections."""
    seconds: float
    """How long it lasts, if it lasts."""


@dataclass(frozen=True, slots=True)
class Errand:
    """What one client wants: an order, followed from these moments on (seconds after the 201)."""

    at: float
    key: str
    has_key: bool
    """Whether the key is sent; else each try has an amount of its own."""
    order: Mapping[str, object]
    follows: tuple[float, ...]
    cancels_after: float | None


@dataclass(frozen=True, slots=True)
class Kind:
    """How often a fault is drawn compared with others, and how long it lasts (seconds)."""

    weight: int
    seconds: tuple[float, float] = field(default=(0.0, 0.0))
    variants: tuple[str, ...] = ()
    """What it may be done to, if that makes a difference; a fault's `pick` chooses."""


def faults_of(options: Options, kinds: Mapping[str, Kind]) -> list[Fault]:
    """Return the faults in order of time: each kind once if there is room, the rest by weight.

    The last two are always `LAST_HINTS` and `LAST`, unless others were asked for.
    """
    chance = random.Random(f"{options.seed}:faults")
    drawn = _names_of_faults(chance, options, kinds)
    span = options.seconds - FIRST_FAULT - QUIET_END
    faults = [
        Fault(
            at=FIRST_FAULT + span * (place + chance.random()) / len(drawn),
            kind=name,
            pick=chance.random() if options.pick is None else options.pick,
            seconds=chance.uniform(*kinds[name].seconds),
        )
        for place, name in enumerate(drawn)
    ]
    if options.pick is not None:  # a case by itself: at its worst, in the middle of the load
        return [
            replace(fault, at=options.seconds / 4, seconds=min(CASE_SECONDS, top))
            for fault in faults
            for top in [kinds[fault.kind].seconds[1]]
        ]
    if drawn and drawn[-1] == LAST:
        faults[-1] = replace(faults[-1], at=options.seconds + AFTER_ALL)
    return faults


def _names_of_faults(
    chance: random.Random, options: Options, kinds: Mapping[str, Kind]
) -> list[str]:
    names = sorted(options.only or kinds)
    ends = [name for name in (LAST_HINTS, LAST) if name in names]
    if options.faults < len(ends):
        ends = []
    others = [name for name in names if name not in ends]
    room = options.faults - len(ends)
    drawn = chance.sample(others, min(len(others), room))
    weights = [kinds[name].weight for name in names]
    if any(weights):  # else there is only what is done once
        drawn += chance.choices(names, weights, k=room - len(drawn))
    chance.shuffle(drawn)
    return drawn + ends


def errands_of(options: Options) -> list[Errand]:
    """Return what the clients do, in order of time."""
    chance = random.Random(f"{options.seed}:errands")
    return [
        _errand(chance, options.seconds * (place + chance.random()) / options.orders)
        for place in range(options.orders)
    ]


def _errand(chance: random.Random, at: float) -> Errand:
    side = chance.choice(["sell", "buy"])
    amount = f"{chance.uniform(0.5, 3):.3f}" if side == "sell" else f"{chance.uniform(50, 300):.2f}"
    kind = chance.choices([*ORDERS], [share for share, _ in ORDERS.values()])[0]
    order = {"side": side, "amountIn": amount} | ORDERS[kind][1](chance, side)
    follows = [0.0] if chance.random() < 0.7 or kind == BRACKET else []
    follows += [chance.uniform(0, 6)] if chance.random() < 0.5 or not follows else []
    is_cancelled = chance.random() < CANCELLED
    return Errand(
        at=at,
        key=str(uuid.UUID(int=chance.getrandbits(128), version=4)),
        order=order,
        follows=tuple(follows),
        cancels_after=chance.uniform(0, 1) if is_cancelled else None,
        # What is asked beside the amount has no name of its own, so these have keys.
        has_key=kind != MARKET or chance.random() >= WITHOUT_KEY,
    )


Terms = dict[str, object]


def _market(chance: random.Random, side: str) -> Terms:
    # Wide enough for the venues' prices to wander while an order waits for its next attempt.
    return {"slippageBps": 2000}


def _limit(chance: random.Random, side: str) -> Terms:
    return _end(chance) | {"type": "limit", "limitPrice": _price(chance, side, -1, 3)}


def _stop(chance: random.Random, side: str) -> Terms:
    trigger = {"triggerPrice": _price(chance, side, -2, 5), "ifCrossed": "execute"}
    return _end(chance) | {"type": "stop", "slippageBps": 2000} | trigger


def _take_profit(chance: random.Random, side: str) -> Terms:
    trigger = {"triggerPrice": _price(chance, side, -1, 4), "ifCrossed": "execute"}
    return _end(chance) | {"type": "takeProfit", "slippageBps": 2000} | trigger


def _trailing_stop(chance: random.Random, side: str) -> Terms:
    trail = {"trailBps": chance.choice([5, 10, 20, 50, 100]), "slippageBps": 2000}
    return _end(chance) | {"type": "trailingStop"} | trail


def _oco(chance: random.Random, side: str) -> Terms:
    """Its stop trails, which fires soon, or is too far away to be crossed when it comes."""
    stop: Terms = {"slippageBps": 2000}
    if chance.random() < 0.7:
        stop["trailBps"] = chance.choice([10, 20, 50])
    else:
        stop["triggerPrice"] = _price(chance, side, -12, -9)
    target = {"limitPrice": _price(chance, side, 0, 3)}
    return _end(chance) | {"type": "oco", "takeProfit": target, "stopLoss": stop}


def _twap(chance: random.Random, side: str) -> Terms:
    return {
        "type": "twap",
        "slices": 3,
        "intervalSeconds": chance.randint(1, 4),
        "slippageBps": 2000,
    }


def _bracket(chance: random.Random, side: str) -> Terms:
    """Its exits rest until the client ends them."""
    exit_side = "buy" if side == "sell" else "sell"
    exits = {
        "takeProfit": {"limitPrice": _price(chance, exit_side, 1, 4)},
        "stopLoss": {"triggerPrice": _price(chance, exit_side, -5, -2), "slippageBps": 2000},
    }
    return {"slippageBps": 2000} | exits


def _price(chance: random.Random, side: str, least: float, most: float) -> str:
    """Return a price of SOL so many per cent better for this side than about 100 USDC."""
    percent = chance.uniform(least, most)
    return f"{100 + (percent if side == 'sell' else -percent):.3f}"


def _end(chance: random.Random) -> Terms:
    return {"expiresInSeconds": chance.randint(4, 20)}


MARKET, BRACKET = "market", "bracket"
ORDERS: Mapping[str, tuple[int, Callable[[random.Random, str], Terms]]] = {
    MARKET: (56, _market),
    "limit": (9, _limit),
    "stop": (7, _stop),
    "takeProfit": (4, _take_profit),
    "trailingStop": (6, _trailing_stop),
    "oco": (6, _oco),
    "twap": (4, _twap),
    BRACKET: (8, _bracket),
}
"""How many of a hundred orders are of which kind, and what these ask beside the amount."""
