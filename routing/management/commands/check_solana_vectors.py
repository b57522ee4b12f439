"""Compare `routing/solana` with the on-chain programs: `manage.py check_solana_vectors FILE...`."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

if TYPE_CHECKING:
    from routing.solana.vectors.form import Comparison

SHOWN = 5


class Command(BaseCommand):
    help = "Compare addresses, accounts, instructions, transactions, swaps and fills with vectors."
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
        """:raises CommandError: not every file was read and matched, or solders is missing."""
        try:
            import routing.solana.vectors.comparing  # noqa: F401
        except ModuleNotFoundError as error:
            if error.name and error.name.startswith("routing"):
                raise
            raise CommandError(
                f"This needs the extra `solana` ({error.name} is missing): make .venv/solana"
            ) from error
        failed = [file for file in files if not self.compare(file, show)]
        if failed:
            raise CommandError(f"{len(failed)} of {len(files)} files failed.")

    def compare(self, file: Path, show: int) -> bool:
        """Print the comparison of `file`; return whether all of it was read and matched."""
        from routing.solana.vectors.comparing import KINDS, compare_file
        from routing.solana.vectors.form import UnreadableVectors

        try:
            comparisons = list(compare_file(file))
        except UnreadableVectors as error:
            self.stdout.write(f"{file}: cannot be read: {error}")
            return False
        wrong = [one for one in comparisons if one.difference or one.unreadable]
        self.stdout.write(f"{file}: {summary(comparisons)}")
        for kind in KINDS:
            of_kind = [one for one in comparisons if one.kind == kind]
            if of_kind:
                self.stdout.write(f"  {kind}: {summary(of_kind)}")
        for failed in wrong[:show]:
            reason = failed.difference or f"unreadable: {failed.unreadable}"
            self.stdout.write(f"  {failed.kind}, {failed.name}: {reason}")
        if len(wrong) > show:
            self.stdout.write(f"  and {len(wrong) - show} more")
        return bool(comparisons) and not wrong


def summary(comparisons: "list[Comparison]") -> str:
    counts = Counter(
        "unreadable" if one.unreadable else "differ" if one.difference else "matched"
        for one in comparisons
    )
    text = f"{counts['matched']} matched, {counts['differ']} differ"
    unreadable = counts["unreadable"]
    return f"{text}, {unreadable} could not be read" if unreadable else text
