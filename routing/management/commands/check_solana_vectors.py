"""Compare `routing/solana` with the on-chain programs: `manage.py check_solana_vectors FILE...`."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError

from routing.management.commands import check_vectors

if TYPE_CHECKING:
    from routing.solana.vectors.form import Comparison


class Command(check_vectors.Command):
    help = "Compare addresses, accounts, instructions, transactions, swaps and fills with vectors."

    def handle(self, *args: Any, **options: Any) -> None:
        """:raises CommandError: not every file was read and matched, or solders is missing."""
        try:
            import routing.solana.vectors.comparing  # noqa: F401
        except ModuleNotFoundError as error:
            if error.name and error.name.startswith("routing"):
                raise
            raise CommandError(
                f"This needs the extra `solana` ({error.name} is missing): make .venv/solana"
            ) from error
        super().handle(*args, **options)

    def read(self, file: Path) -> "Sequence[Comparison]":
        from routing.solana.vectors.comparing import compare_file

        return list(compare_file(file))

    def parts_of(self, comparisons: "Sequence[Comparison]") -> Iterator[str]:
        from routing.solana.vectors.comparing import KINDS

        for kind in KINDS:
            if of_kind := [one for one in comparisons if one.kind == kind]:
                yield f"{kind}: {check_vectors.summary(of_kind)}"
