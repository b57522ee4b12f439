"""Compare the pools with the on-chain programs' results: `manage.py check_vectors FILE...`."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from django.core.management.base import BaseCommand, CommandError, CommandParser

from routing.pools.vector_form import UnreadableVectors
from routing.pools.vectors import compare_file

SHOWN = 5


class Compared(Protocol):
    """One entry of a file, and what differs or why it was unreadable; both empty if it matched."""

    @property
    def title(self) -> str: ...
    @property
    def difference(self) -> str: ...
    @property
    def unreadable(self) -> str: ...


class Command(BaseCommand):
    help = "Compare the pools with vectors: how many swaps match, and what differs in the others."
    requires_system_checks = []  # it reads files, and needs no servers

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
        parser.add_argument(
            "--show",
            type=int,
            default=SHOWN,
            metavar="COUNT",
            help=f"entries of each file to show that do not match ({SHOWN})",
        )

    def handle(self, *args: Any, files: list[Path], show: int, **options: Any) -> None:
        """:raises CommandError: not every file was read and matched."""
        failed = [file for file in files if not self.compare(file, show)]
        if failed:
            raise CommandError(f"{len(failed)} of {len(files)} files failed.")

    def compare(self, file: Path, show: int) -> bool:
        """Print the comparison of `file`; return whether all of it was read and matched."""
        try:
            comparisons = self.read(file)
        except UnreadableVectors as error:
            self.stdout.write(f"{file}: cannot be read: {error}")
            return False
        wrong = [one for one in comparisons if one.difference or one.unreadable]
        self.stdout.write(f"{file}: {summary(comparisons)}")
        for line in self.parts_of(comparisons):
            self.stdout.write(f"  {line}")
        for failed in wrong[:show]:
            reason = failed.difference or f"unreadable: {failed.unreadable}"
            self.stdout.write(f"  {failed.title}: {reason}")
        if len(wrong) > show:
            self.stdout.write(f"  and {len(wrong) - show} more")
        return bool(comparisons) and not wrong

    def read(self, file: Path) -> Sequence[Compared]:
        """:raises UnreadableVectors: the file does not have the right form."""
        return list(compare_file(file))

    def parts_of(self, comparisons: Sequence[Any]) -> Iterator[str]:
        """Yield what is said of parts of a file."""
        return iter(())


def summary(comparisons: Sequence[Compared]) -> str:
    counts = Counter(
        "unreadable" if one.unreadable else "differ" if one.difference else "matched"
        for one in comparisons
    )
    text = f"{counts['matched']} matched, {counts['differ']} differ"
    unreadable = counts["unreadable"]
    return f"{text}, {unreadable} could not be read" if unreadable else text
