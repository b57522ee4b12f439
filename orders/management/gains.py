"""What an order gained by asking all venues: its fill beside what the next best one offered.

It reads events as every client gets them, so it says the same of any engine.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from routing.venues import LABELS


@dataclass(frozen=True, slots=True)
class Gain:
    """More that arrived, or less that was paid, than the other venue's quote. Below zero: worse."""

    amount: Decimal
    """In whole tokens of the side that was not fixed."""
    in_output: bool
    """Whether it is of the output token; else of the input token."""
    against: str
    """The other venue's name, for people."""

    def in_quote(self, side: str, price: Decimal) -> Decimal:
        """Return it in the market's quote token; `price`: quote per base."""
        is_quote = self.in_output == (side == "sell")
        return self.amount if is_quote else self.amount * price


def gain_of(building: Mapping[str, Any], fill: Mapping[str, Any]) -> Gain | None:
    """Compare a fill with the best offer of a venue that did not win; None if there was none.

    Of a split, that is the best single venue. Both are the `data` of an order's events.
    """
    in_output = building.get("minAmountOut") is not None
    unit = "amountOut" if in_output else "amountIn"
    used = {leg.get("dex") for leg in building.get("legs") or ()}
    others = [
        (Decimal(str(quote[unit])), quote["dex"])
        for quote in building.get("quotes") or ()
        if quote.get(unit) is not None and (len(used) > 1 or quote["dex"] not in used)
    ]
    if not others or fill.get(unit) is None:
        return None
    offered, venue = max(others) if in_output else min(others)
    got = Decimal(str(fill[unit]))
    gained = got - offered if in_output else offered - got
    return Gain(gained, in_output, LABELS.get(venue, venue))


def total(gains: Iterable[tuple[str, Decimal]]) -> str:
    """Return gains as one amount for each token: "4.81 USDC and 0.0003 SOL more"."""
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for token, amount in gains:
        sums[token] += amount
    parts = [f"{rounded(abs(amount))} {token}" for token, amount in sums.items() if amount]
    if not parts:
        return ""
    more = "more" if all(amount >= 0 for amount in sums.values()) else "more or less"
    if all(amount <= 0 for amount in sums.values()):
        more = "less"
    *most, last = parts
    return f"{', '.join(most)} and {last} {more}" if most else f"{last} {more}"


def grouped(amount: Decimal | str) -> str:
    """Return all digits of an amount, in groups of three: "150,741.231571"."""
    return f"{Decimal(str(amount)):,f}"


def rounded(amount: Decimal) -> str:
    """Return an amount with two decimals; a small one with two digits that count."""
    if amount == 0 or abs(amount) >= Decimal("0.1"):
        return f"{amount:,.2f}"
    return f"{amount.quantize(Decimal(1).scaleb(amount.adjusted() - 1)):,f}"
