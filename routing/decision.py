"""Which route won, by how much, and why."""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from routing.tokens import Token
from routing.venue import BPS, Leg, Quote, Swap


class DroppedQuote(NamedTuple):
    """A venue that took no part, and the reason."""

    venue: str
    code: str
    reason: str


class Decision(NamedTuple):
    swap: Swap
    legs: tuple[Leg, ...]
    quote: Quote
    """The quote of the whole route: the winner's, or all legs together in the largest's name."""
    quotes: tuple[Quote, ...]
    """All usable quotes for the whole swap, in the order the venues were given."""
    dropped: tuple[DroppedQuote, ...]
    runner_up: str | None
    """What the margin compares with: the second best quote, or for a split the best single one."""
    margin_bps: Decimal | None
    """How much better the route is, in bps of the runner-up's amount, rounded down."""
    reason: str
    ages: tuple[int, ...] = ()
    """The age of each quote at the decision, in milliseconds; for two hops, the oldest one's."""
    single: Quote | None = None
    """The best quote of one venue alone, if the route is split."""
    through: tuple[Token | None, ...] = ()
    """For each quote the token in the middle, if the route takes two hops."""
    hops: tuple["Decision", ...] = ()

    @property
    def is_split(self) -> bool:
        return len(self.legs) > 1 and not self.hops

    def older_by(self, milliseconds: int) -> "Decision":
        return self._replace(ages=tuple(age + milliseconds for age in self.ages))


def decide(
    swap: Swap,
    quotes: tuple[Quote, ...],
    dropped: tuple[DroppedQuote, ...],
    labels: dict[str, str],
    ages: tuple[int, ...] = (),
) -> Decision:
    """Choose among at least one quote, net of fees. Of equal quotes the first given wins.

    The larger output wins for a fixed input, the smaller input for a fixed output. `labels` are
    the venues' names as people write them.
    """
    ranked = sorted(quotes, key=_output_descending if swap.is_exact_in else _input)
    best, second = ranked[0], ranked[1] if len(ranked) > 1 else None
    return Decision(
        swap=swap,
        legs=(Leg(best.venue, best, pool=best.pool),),
        quote=best,
        quotes=quotes,
        dropped=dropped,
        runner_up=second.venue if second else None,
        margin_bps=margin_bps(swap, best, second) if second else None,
        reason=_reason(swap, best, second, labels),
        ages=ages,
    )


def decide_split(
    swap: Swap,
    legs: tuple[Leg, ...],
    single: Quote | None,
    quotes: tuple[Quote, ...],
    dropped: tuple[DroppedQuote, ...],
    labels: dict[str, str],
    ages: tuple[int, ...] = (),
) -> Decision:
    """Choose a split that beats `single`, or that fills an amount too large for any one venue."""
    together = sum_of(legs)
    return Decision(
        swap=swap,
        legs=legs,
        quote=together,
        quotes=quotes,
        dropped=dropped,
        runner_up=single.venue if single else None,
        margin_bps=margin_bps(swap, together, single) if single else None,
        reason=_split_reason(swap, legs, together, single, labels),
        ages=ages,
        single=single,
    )


class Candidate(NamedTuple):
    """One way to trade a market without pools of its own: two hops, or one venue alone."""

    quote: Quote
    legs: tuple[Leg, ...]
    hops: tuple[Decision, ...] = ()
    through: Token | None = None
    age: int = 0
    """Milliseconds since the oldest of its quotes came."""

    def older_by(self, milliseconds: int) -> "Candidate":
        hops = tuple(hop.older_by(milliseconds) for hop in self.hops)
        return self._replace(hops=hops, age=self.age + milliseconds)


def decide_path(
    swap: Swap,
    candidates: Sequence[Candidate],
    dropped: tuple[DroppedQuote, ...],
    labels: dict[str, str],
) -> Decision:
    """Choose the best of at least one way. Of equal ways the first given wins."""
    key = _output_descending if swap.is_exact_in else _input
    ranked = sorted(candidates, key=lambda candidate: key(candidate.quote))
    best, second = ranked[0], ranked[1] if len(ranked) > 1 else None
    claim = f"{_way(best, labels)} {_result(swap, best.quote, 'nets', 'takes')}"
    if second is None:
        reason = f"{claim}, the only usable way"
    else:
        reason = f"{claim}, {_comparison(swap, best.quote, second.quote)} {_way(second, labels)}"
    return Decision(
        swap=swap,
        legs=best.legs,
        quote=best.quote,
        quotes=tuple(candidate.quote for candidate in candidates),
        dropped=dropped,
        runner_up=second.quote.venue if second else None,
        margin_bps=margin_bps(swap, best.quote, second.quote) if second else None,
        reason=reason,
        ages=tuple(candidate.age for candidate in candidates),
        through=tuple(candidate.through for candidate in candidates),
        hops=best.hops,
    )


def sum_of(legs: Sequence[Leg]) -> Quote:
    """Return the sum of legs of one market, under the name of the first leg's venue.

    Price, fees and impact are means, weighted by the input. The fees are rounded up.
    """
    amount_in = sum(leg.quote.amount_in for leg in legs)
    amount_out = sum(leg.quote.amount_out for leg in legs)
    weights = [Decimal(leg.quote.amount_in) / amount_in for leg in legs]
    price = sum(
        (weight * leg.quote.price for weight, leg in zip(weights, legs, strict=True)), Decimal()
    )
    impact = sum(
        (
            weight * (leg.quote.price_impact_bps or 0)
            for weight, leg in zip(weights, legs, strict=True)
        ),
        Decimal(),
    )
    fees = -(-sum(leg.quote.amount_in * leg.quote.fee_bps for leg in legs) // amount_in)
    return Quote(
        legs[0].venue,
        amount_in,
        amount_out,
        price.quantize(legs[0].quote.price),
        fees,
        impact.quantize(Decimal("0.01")),
    )


def _output_descending(quote: Quote) -> int:
    return -quote.amount_out


def _input(quote: Quote) -> int:
    return quote.amount_in


def advantage(swap: Swap, best: Quote, second: Quote) -> int:
    """Return how many atoms the best quote gives more, or takes less, than the second."""
    if swap.is_exact_in:
        return best.amount_out - second.amount_out
    return second.amount_in - best.amount_in


def margin_bps(swap: Swap, best: Quote, second: Quote) -> Decimal:
    compared = second.amount_out if swap.is_exact_in else second.amount_in
    hundredths = advantage(swap, best, second) * BPS * 100 // compared
    return Decimal(hundredths).scaleb(-2)


def _reason(swap: Swap, best: Quote, second: Quote | None, labels: dict[str, str]) -> str:
    claim = f"{labels[best.venue]} {_result(swap, best, 'nets', 'takes')}"
    if second is None:
        return f"{claim}, the only usable quote"
    return f"{claim}, {_comparison(swap, best, second)} {labels[second.venue]}"


def _split_reason(
    swap: Swap,
    legs: tuple[Leg, ...],
    together: Quote,
    single: Quote | None,
    labels: dict[str, str],
) -> str:
    parts = " and ".join(f"{labels[leg.venue]} {_share(swap, leg, together)} %" for leg in legs)
    claim = f"{parts} together {_result(swap, together, 'net', 'take')}"
    if single is None:
        return f"{claim}, which no venue alone may fill"
    return f"{claim}, {_comparison(swap, together, single)} {labels[single.venue]} alone"


def _way(candidate: Candidate, labels: dict[str, str]) -> str:
    if candidate.through is None:
        return labels[candidate.quote.venue]
    hops = ", then ".join(
        " and ".join(labels[leg.venue] for leg in hop.legs) for hop in candidate.hops
    )
    return f"through {candidate.through.symbol} ({hops})"


def _result(swap: Swap, quote: Quote, nets: str, takes: str) -> str:
    if swap.is_exact_in:
        return f"{nets} {_amount(swap.token_out, quote.amount_out)} {swap.token_out.symbol}"
    return f"{takes} {_amount(swap.token_in, quote.amount_in)} {swap.token_in.symbol}"


def _comparison(swap: Swap, best: Quote, second: Quote) -> str:
    better = advantage(swap, best, second)
    if better == 0:
        return "the same as"
    token, more = (swap.token_out, "more") if swap.is_exact_in else (swap.token_in, "less")
    return f"{_amount(token, better)} {more} than"


def _share(swap: Swap, leg: Leg, together: Quote) -> str:
    """Return in per cent a leg's share of the fixed amount."""
    if swap.is_exact_in:
        part, whole = leg.quote.amount_in, together.amount_in
    else:
        part, whole = leg.quote.amount_out, together.amount_out
    return f"{Decimal(100 * part) / whole:.1f}"


def _amount(token: Token, atoms: int) -> str:
    return token.to_full_text(atoms)
