"""Compare the pools with the on-chain programs' results: `manage.py check_vectors FILE...`."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from routing.pools.vector_form import UnreadableVectors
from routing.pools.vectors import Comparison, compare_file

SHOWN = 5


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
            help=f"swaps of each file to show that do not match ({SHOWN})",
        )

    def handle(self, *args: Any, files: list[Path], show: int, **options: Any) -> None:
        """:raises CommandError: not every file was read and matched."""
        failed = [file for file in files if not self.compare(file, show)]
        if failed:
            raise CommandError(f"{len(failed)} of {len(files)} files failed.")

    def compare(self, file: Path, show: int) -> bool:
        """Print the comparison of `file`; return whether all of it was read and matched."""
        try:
            comparisons = list(compare_file(file))
        except UnreadableVectors as error:
            self.stdout.write(f"{file}: cannot be read: {error}")
            return False
        wrong = [
            comparison
            for comparison in comparisons
            if comparison.difference or comparison.unreadable
        ]
        self.stdout.write(f"{file}: {summary(comparisons)}")
        for failed in wrong[:show]:
            reason = failed.difference or f"unreadable: {failed.unreadable}"
            self.stdout.write(f"  {failed.swap}: {reason}")
        if len(wrong) > show:
            self.stdout.write(f"  and {len(wrong) - show} more")
        return not wrong


def summary(comparisons: list[Comparison]) -> str:
    differing = sum(bool(comparison.difference) for comparison in comparisons)
    unreadable = sum(bool(comparison.unreadable) for comparison in comparisons)
    matched = len(comparisons) - differing - unreadable
    text = f"{matched} matched, {differing} differ"
    return f"{text}, {unreadable} could not be read" if unreadable else text
