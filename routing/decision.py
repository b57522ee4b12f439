"""Which venue won, by how much, and why: what is stored and logged of a routing."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from routing.tokens import Token
from routing.venue import Leg, Quote, Swap


@dataclass(frozen=True, slots=True)
class DroppedQuote:
    """A venue that took no part, and what kept it out."""

    venue: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    swap: Swap
    legs: tuple[Leg, ...]
    quotes: tuple[Quote, ...]
    """All usable quotes, the winner's among them, in the order the venues were given."""
    dropped: tuple[DroppedQuote, ...]
    runner_up: str | None
    margin_bps: Decimal | None
    """How much better than the runner-up, of the runner-up's amount, rounded down."""
    reason: str

    @property
    def quote(self) -> Quote:
        """The winning quote."""
        return self.legs[0].quote

    def to_json(self) -> dict[str, Any]:
        """Return the decision ready for JSON, amounts and prices as strings in whole tokens."""
        return {
            "selectedDex": self.legs[0].venue,
            "runnerUp": self.runner_up,
            "marginBps": None if self.margin_bps is None else str(self.margin_bps),
            "reason": self.reason,
            "quotes": [self._quote_to_json(quote) for quote in self.quotes],
            "dropped": [
                {"dex": dropped.venue, "code": dropped.code, "reason": dropped.reason}
                for dropped in self.dropped
            ],
        }

    def _quote_to_json(self, quote: Quote) -> dict[str, Any]:
        return {
            "dex": quote.venue,
            "price": plain(quote.price),
            "feeBps": quote.fee_bps,
            "amountIn": self.swap.token_in.to_text(quote.amount_in),
            "amountOut": self.swap.token_out.to_text(quote.amount_out),
        }


def decide(
    swap: Swap,
    quotes: tuple[Quote, ...],
    dropped: tuple[DroppedQuote, ...],
    labels: dict[str, str],
) -> Decision:
    """Choose among at least one quote, net of fees; of equal ones the first given wins.

    The larger output wins for a fixed input, the smaller input for a fixed output. `labels` are
    the venues' names as people write them.
    """
    ranked = sorted(quotes, key=_output_descending if swap.is_exact_in else _input)
    best, second = ranked[0], ranked[1] if len(ranked) > 1 else None
    return Decision(
        swap=swap,
        legs=(Leg(best.venue, best),),
        quotes=quotes,
        dropped=dropped,
        runner_up=second.venue if second else None,
        margin_bps=_margin_bps(swap, best, second) if second else None,
        reason=_reason(swap, best, second, labels),
    )


def plain(number: Decimal) -> str:
    """Return the number without exponent and without trailing zeros."""
    return f"{number.normalize():f}"


def _output_descending(quote: Quote) -> int:
    return -quote.amount_out


def _input(quote: Quote) -> int:
    return quote.amount_in


def _advantage(swap: Swap, best: Quote, second: Quote) -> int:
    """How many atoms the best gives more, or asks less, than the second."""
    if swap.is_exact_in:
        return best.amount_out - second.amount_out
    return second.amount_in - best.amount_in


def _margin_bps(swap: Swap, best: Quote, second: Quote) -> Decimal:
    compared = second.amount_out if swap.is_exact_in else second.amount_in
    hundredths = _advantage(swap, best, second) * 1_000_000 // compared
    return Decimal(hundredths).scaleb(-2)


def _reason(swap: Swap, best: Quote, second: Quote | None, labels: dict[str, str]) -> str:
    if swap.is_exact_in:
        verb, more, token, atoms = "nets", "more", swap.token_out, best.amount_out
    else:
        verb, more, token, atoms = "takes", "less", swap.token_in, best.amount_in
    claim = f"{labels[best.venue]} {verb} {_amount(token, atoms)} {token.symbol}"
    if second is None:
        return f"{claim}, the only usable quote"
    advantage = _advantage(swap, best, second)
    if advantage == 0:
        return f"{claim}, the same as {labels[second.venue]}"
    return f"{claim}, {_amount(token, advantage)} {more} than {labels[second.venue]}"


def _amount(token: Token, atoms: int) -> str:
    return f"{token.to_decimal(atoms):f}"
