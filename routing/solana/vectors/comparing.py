"""Compares a whole file of vectors, kind by kind."""

from collections.abc import Iterator
from pathlib import Path

from routing.pools.vector_form import UnreadableVectors
from routing.solana.vectors import accounts as decoded
from routing.solana.vectors import addresses, fills, instructions, swaps, transactions
from routing.solana.vectors.form import Comparison, read_file

KINDS = (
    addresses.KIND,
    decoded.KIND,
    instructions.KIND,
    transactions.KIND,
    swaps.KIND,
    fills.KIND,
)
_SECTIONS = {"pdas", "accounts", "instructions", "transaction", "swaps", "fills"}


def compare_file(path: Path) -> Iterator[Comparison]:
    """Yield one comparison for each entry of the file.

    :raises UnreadableVectors: there is no such file, it is no JSON, or it is of another form.
    """
    content = read_file(path)
    unknown = content.keys() - _SECTIONS - {"about"}
    if unknown:
        raise UnreadableVectors(f"nothing here compares {', '.join(sorted(unknown))}")
    if not content.keys() & _SECTIONS:
        raise UnreadableVectors(f"it has none of {', '.join(sorted(_SECTIONS))}")
    accounts = decoded.read_accounts(content.get("accounts", {}))
    yield from addresses.compare(content.get("pdas", []), accounts)
    yield from decoded.compare(content.get("accounts", {}))
    yield from instructions.compare(content.get("instructions", {}), accounts)
    if "transaction" in content:
        yield from transactions.compare(content["transaction"])
    yield from swaps.compare(content.get("swaps", []), accounts)
    yield from fills.compare(content.get("fills", []))
