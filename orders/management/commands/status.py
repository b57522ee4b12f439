"""Show the engine's status: `manage.py status`."""

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from orders.management.order_watch import FAILED, engine_needed
from orders.monitoring.engine_status import MOST_RESTING, EngineStatus
from orders.monitoring.health import is_worker_here
from orders.monitoring.operations import read_operations
from orders.monitoring.verdict import Finding, verdict


class Command(BaseCommand):
    help = (
        "Show what answers, what waits and what is under way. Exit codes: 0 all parts answer,"
        " 1 one does not, 3 the database does not."
    )
    requires_system_checks = []  # it is called when something is wrong

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="write JSON")
        parser.add_argument(
            "--here", action="store_true", help="exit with 1 unless a worker of this host is well"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """:raises CommandError: a part of the engine does not answer."""
        if options["here"]:
            with engine_needed():
                is_here = is_worker_here()
            if not is_here:
                raise CommandError("No worker of this host is well.", returncode=FAILED)
            return
        with engine_needed():
            found = read_operations(with_last_hour=True)
        engine, first = found.engine, verdict(found)
        if options["json"]:
            told = {"alarm": first.name or None, "title": first.title, "text": first.text}
            self.stdout.write(json.dumps({**engine.as_json(), "verdict": told}))
        else:
            self.stdout.write("\n".join(lines(engine, first)))
        if engine.health["status"] != "ok":
            away = [part for part in ("redis", "worker") if engine.health[part] != "ok"]
            raise CommandError(f"Degraded: {' and '.join(away)} down.", returncode=FAILED)


def bounded_count(count: int) -> str:
    return f"{count}{'+' if count >= MOST_RESTING else ''}"


def lines(engine: EngineStatus, first: Finding) -> list[str]:
    health, rate = engine.health, settings.ORDER_RATE_LIMIT
    oldest = (
        "" if engine.oldest_waiting is None else f", the oldest for {engine.oldest_waiting:.1f} s"
    )
    budget = "unlimited"
    if rate is not None:
        budget = f"{engine.budget} of {rate.count} starts left in {rate.seconds} s"
    parts = ", ".join(f"{part} {health[part]}" for part in ("database", "redis", "worker"))
    hour = ", ".join(f"{count} {status}" for status, count in engine.last_hour.items() if count)
    rows = {
        "verdict": f"{first.title}. {first.text}",
        "health": f"{health['status']} ({parts})",
        "trading": health["state"],
        "workers": f"{health['workers']} alive",
        "waiting": f"{engine.waiting}{oldest}",
        "in flight": str(engine.in_flight),
        "resting": bounded_count(engine.resting),
        "budget": budget,
        "last hour": hour or "no orders",
    }
    return [f"{name:<10}  {text}" for name, text in rows.items()]
