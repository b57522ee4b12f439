"""Whether people can trade, in a sentence, and what to do: the rules of the alarms.

Each rule has the name of its alarm in docs/observability.md, and a heading of that name in
docs/troubleshooting.md. The page shows a rule at once; its alarm waits until it has lasted.
"""

from collections.abc import Callable
from typing import NamedTuple

from orders.monitoring.operations import Operations, releases_of
from orders.monitoring.processes import STUCK

GUIDE = "/docs/troubleshooting.md"
OLD_BACKLOG_SECONDS = 60
MOST_FAILED = 0.2
SLOW_SECONDS = 30
MOST_TAKEN_OVER = 3
MOST_RESYNCED = 0.1
OLD_PRICES_SECONDS = 15
MOST_BEHIND = 10
LEAST_ENDED = 5
"""Of fewer orders no share is told."""


class Finding(NamedTuple):
    name: str
    """The alarm's."""
    tone: str
    """"bad": people cannot trade; "warn": they can, and something is wrong."""
    title: str
    text: str
    """What it means, and whether it heals by itself."""

    @property
    def guide(self) -> str:
        """Where docs/troubleshooting.md says what to do."""
        return f"{GUIDE}#{self.name.lower()}"


WELL = Finding("", "good", "All well: orders are taken and executed", "Nothing needs you.")


def findings(found: Operations) -> list[Finding]:
    """Return what is wrong, what keeps people from trading first."""
    return [finding for rule in RULES if (finding := rule(found))]


def verdict(found: Operations) -> Finding:
    """Return the gravest finding, or that all is well."""
    return next(iter(findings(found)), WELL)


def _halted(found: Operations) -> Finding | None:
    if found.engine.health["state"] != "halted":
        return None
    why = f" ({found.halted_why})" if found.halted_why else ""
    text = (
        f"{found.halted_by or 'An operator'} halted it{why}. Nothing new is taken, triggered or"
        " started. Cancelling works, and what was sent is settled. It goes on only when a person"
        " says so."
    )
    return Finding("EngineHalted", "bad", "Halted: nothing is traded", text)


def _no_worker(found: Operations) -> Finding | None:
    if found.engine.health["worker"] == "stuck":
        text = (
            "Workers live, and a part of each stands still. Such a process ends itself after 30 s,"
            " and its supervisor starts another. Orders are taken and wait."
        )
        return Finding("EngineNoWorker", "bad", "Failed: no worker moves", text)
    if found.engine.health["worker"] != "down":
        return None
    text = (
        f"Orders are taken and are safe; {found.engine.waiting:,} wait, and none is executed."
        " It does not heal by itself: start a worker."
    )
    return Finding("EngineNoWorker", "bad", "Failed: no worker lives", text)


def _no_scheduler(found: Operations) -> Finding | None:
    if found.alive("scheduler"):
        return None
    text = (
        "Resting orders are not triggered and nothing expires. New orders are executed. It does"
        " not heal by itself: start a scheduler."
    )
    return Finding("EngineNoScheduler", "bad", "Degraded: no scheduler lives", text)


def _redis_away(found: Operations) -> Finding | None:
    state = found.engine.health["redis"]
    if state == "ok":
        return None
    does = "refuses what a bell needs" if state == "refuses" else "does not answer"
    text = (
        f"Redis {does}. Orders are taken and executed, each about a second later. Nothing is lost;"
        " what lies in it is rebuilt when it is back."
    )
    return Finding("EngineRedisAway", "warn", "Degraded: Redis is away", text)


def _silent(found: Operations) -> Finding | None:
    silent = found.silent("worker")
    if not silent:
        return None
    first, others = silent[0], found.alive("worker")
    what = "stands still" if first.state == STUCK else "is gone"
    title = f"Degraded: {len(silent)} of {len(silent) + len(others)} workers {what}"
    takers = f"{others[0].name} takes them over by itself." if others else "No other worker lives."
    left = f"Its leases end in {found.leases.ends_in:.0f} s; " if _unrenewed(found) else ""
    text = (
        f"{first.name} was last heard {first.heard_seconds:.0f} s ago with {first.carrying} orders."
        f" {left}{takers} Nothing is lost, no order is sent twice."
    )
    return Finding("EngineWorkerSilent", "warn", title, text)


def _unrenewed(found: Operations) -> bool:
    return bool(found.leases.ending) and found.leases.ends_in is not None


def _prices_stop(found: Operations) -> Finding | None:
    if not found.engine.resting or (found.tick_age or 0) <= OLD_PRICES_SECONDS:
        return None
    text = (
        f"The newest prices of a market are {found.tick_age:.0f} s old, and old prices trigger"
        f" nothing: {found.engine.resting:,} orders rest. Market orders are executed."
    )
    return Finding("EnginePricesStop", "bad", "Degraded: prices stand still", text)


def _triggers_late(found: Operations) -> Finding | None:
    if found.ticks_behind <= MOST_BEHIND:
        return None
    text = f"Resting orders are compared with prices of {found.ticks_behind} s ago."
    return Finding("EngineTriggersLate", "warn", "Degraded: triggers are late", text)


def _backlog_ages(found: Operations) -> Finding | None:
    oldest = found.engine.oldest_waiting
    if oldest is None or oldest <= OLD_BACKLOG_SECONDS:
        return None
    text = f"{found.engine.waiting:,} orders wait, the oldest for {oldest:.0f} s."
    if found.engine.budget == 0:
        text += " The limit of starts is used up: raise ORDER_RATE_LIMIT, or let them wait."
    return Finding("EngineBacklogAges", "warn", "Degraded: orders wait for long", text)


def _orders_fail(found: Operations) -> Finding | None:
    recent = found.minutes[-10:]
    failed = sum(one.failed or 0 for one in recent)
    ended = failed + sum(one.confirmed or 0 for one in recent)
    if ended < LEAST_ENDED or failed <= MOST_FAILED * ended:
        return None
    first = max(found.failures, key=lambda one: one.last_hour, default=None)
    why = f" Mostly {first.code}." if first else ""
    text = f"{failed:,} of the {ended:,} orders that ended in ten minutes failed.{why}"
    return Finding("EngineOrdersFail", "warn", "Degraded: many orders fail", text)


def _slow(found: Operations) -> Finding | None:
    last = found.last_minute
    if last is None or last.p95 is None or last.p95 <= SLOW_SECONDS:
        return None
    text = f"One order in twenty takes longer than {last.p95:.0f} s to be confirmed."
    return Finding("EngineSlow", "warn", "Degraded: orders take long", text)


def _loses_workers(found: Operations) -> Finding | None:
    taken = sum(one.taken_over or 0 for one in found.minutes[-10:])
    if taken <= MOST_TAKEN_OVER:
        return None
    text = f"{taken:,} orders were taken over from lost workers in ten minutes. None is lost."
    return Finding("EngineLosesWorkers", "warn", "Degraded: workers are lost", text)


def _loses_hints(found: Operations) -> Finding | None:
    recent = found.minutes[-10:]
    hints = sum(one.hints or 0 for one in recent)
    resynced = sum(one.resynced or 0 for one in recent)
    if resynced <= MOST_RESYNCED * max(hints, LEAST_ENDED):
        return None
    text = f"{resynced:,} events reached streams a second late: Redis lost their hints."
    return Finding("EngineLosesHints", "warn", "Degraded: streams are late", text)


def _needs_a_person(found: Operations) -> Finding | None:
    count = len(found.unseen)
    if not count:
        return None
    noun = "order needs" if count == 1 else "orders need"
    text = "People can trade. Look at what is named below under “Needs a person”."
    return Finding("EngineNeedsAPerson", "warn", f"{count} {noun} a person", text)


def _mixed(found: Operations) -> Finding | None:
    releases = releases_of(found)
    if len(releases) < 2:
        return None
    shares = ", ".join(f"{count} of {name or 'an older one'}" for name, count in releases.items())
    text = f"Processes run different code: {shares}. That is so while a release is rolled out."
    return Finding("EngineMixedReleases", "warn", "Two releases run side by side", text)


RULES: tuple[Callable[[Operations], Finding | None], ...] = (
    *(_halted, _no_worker, _no_scheduler, _prices_stop, _silent, _redis_away, _orders_fail),
    *(_backlog_ages, _slow, _loses_workers, _triggers_late, _loses_hints, _needs_a_person, _mixed),
)
