"""Case by case: what one kind of fault does to an engine that has no other, as a table."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from tests.chaos.kinds import kinds_without
from tests.chaos.plan import Kind, Options
from tests.chaos.run import run
from tests.chaos.verdict import Verdict

ORDERS, SECONDS = 60, 12.0
STILL_SECONDS = 15.0  # without a move, after which what is open counts as lost
CONTROL = "no fault"
HEAD = """\
| case | answers | median, worst | went on after | lost, stood still | doubled | mis-told | other |
|---|---|---|---|---|---|---|---|"""


async def print_table(options: Options, logs: Path) -> bool:
    """Print a row for each kind of fault, or for those asked for; return whether one is broken.

    Each has servers of its own, a load of a few orders a second and no fault of the network. The
    evidence of what is broken is in the folder of the case's logs.
    """
    print(HEAD, flush=True)
    is_broken = False
    for title, case in cases(options, kinds_without(options.without)):
        folder = logs / title.replace(" ", "-").replace(":", "").replace("`", "")
        folder.mkdir()
        try:
            verdict, evidence = await run(case, folder)
        except Exception as error:  # noqa: BLE001  # the other cases are worth their rows
            print(f"| {title} | could not be run: {error!r} | | | | | | |", flush=True)
            is_broken = True
            continue
        (folder / "evidence.txt").write_text("\n".join([verdict.as_line(), *evidence]))
        print(row(title, verdict), flush=True)
        is_broken = is_broken or bool(verdict.broken)
    print(f"\nlogs: {logs}", flush=True)
    return is_broken


def cases(options: Options, kinds: Mapping[str, Kind]) -> Iterator[tuple[str, Options]]:
    """Return the title and options of each case: a control first, then each variant of a kind."""
    base = replace(
        options,
        orders=ORDERS,
        seconds=SECONDS,
        has_network_faults=False,
        patience=8.0,
        drain=min(options.drain, STILL_SECONDS),
    )
    yield CONTROL, replace(base, faults=0, only=frozenset())
    for name in sorted(options.only or kinds):
        variants = kinds[name].variants
        for place, variant in enumerate(variants or [""]):
            pick = (place + 0.5) / len(variants) if variants else 0.0
            title = f"`{name}`: {variant}" if variant else f"`{name}`"
            only = frozenset({name})
            yield title, replace(base, faults=1, only=only, pick=pick)


def row(title: str, verdict: Verdict) -> str:
    """Return one line of the table; a fault that could not be done is said to be none."""
    answers = ", ".join(f"{count} x {answer}" for answer, count in verdict.answers.items())
    middle, worst = verdict.answer_seconds or (0.0, 0.0)
    went_on = f"{verdict.went_on_seconds[1]} s" if verdict.went_on_seconds else "-"
    if title != CONTROL and not verdict.faults:
        title += " (could not be done)"
    counted = {"lost", "unanswered", "drain_seconds", "doubled", "mis_told"}
    other = ", ".join(name for name in verdict.broken if name not in counted) or "-"
    cells = [title, answers, f"{middle} s, {worst} s", went_on]
    cells += [
        str(verdict.lost + verdict.unanswered),
        str(verdict.doubled),
        str(verdict.mis_told),
        other,
    ]
    return f"| {' | '.join(cells)} |"
