"""A decision in the form that an order's log stores. Only this module writes and reads it.

Amounts and prices are texts in whole tokens.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from routing.decision import Decision, DroppedQuote
from routing.pricing import execution_price_text
from routing.steps import steps_for
from routing.tokens import Registry
from routing.venue import Bound, Leg, Quote, Side, Swap


def decision_data(decision: Decision, bound: Bound) -> dict[str, Any]:
    """Return the stored form of a decision: all quotes, the choice, the steps, the bound."""
    swap = decision.swap
    data = decision_to_json(decision)
    data["steps"] = steps_for(swap, decision.legs, bound)
    if bound.min_out is not None:
        price = execution_price_text(
            swap.market, swap.side, decision.quote.amount_in, bound.min_out
        )
        data["minAmountOut"] = swap.token_out.to_text(bound.min_out)
    else:
        most = bound.max_in or 0
        price = execution_price_text(swap.market, swap.side, most, decision.quote.amount_out)
        data["maxAmountIn"] = swap.token_in.to_text(most)
    # The worst price within the bound: the lowest for a sale, the highest for a purchase.
    data["minAcceptablePrice"] = price
    if swap.side is Side.BUY:
        data["maxAcceptablePrice"] = price
    return data


def decision_to_json(decision: Decision) -> dict[str, Any]:
    swap, quotes, chosen, offer = decision.swap, [], None, None
    for place, quote in enumerate(decision.quotes):
        written = _quote_to_json(swap, quote)
        if quote is decision.quote:
            chosen, offer = written, written.copy()  # a leg tells neither its age nor its way
        if decision.ages:
            written["ageMs"] = decision.ages[place]
        if decision.through and (middle := decision.through[place]):
            written["through"] = middle.symbol
        quotes.append(written)
    margin = None if decision.margin_bps is None else str(decision.margin_bps)
    data: dict[str, Any] = {
        "selectedDex": decision.quote.venue,
        "runnerUp": decision.runner_up,
        "marginBps": margin,
        "reason": decision.reason,
        "quote": chosen or _quote_to_json(swap, decision.quote),
        "quotes": quotes,
        "dropped": dropped_to_json(decision.dropped),
        "legs": [
            _leg_to_json(swap, leg, offer if leg.quote is decision.quote else None)
            for leg in decision.legs
        ],
    }
    if decision.is_split:
        data["splitGainBps"] = margin
        data["bestSingle"] = decision.single and _quote_to_json(swap, decision.single)
    if decision.hops:
        data["hops"] = [_traded(hop.swap) | decision_to_json(hop) for hop in decision.hops]
    return data


def dropped_to_json(dropped: Sequence[DroppedQuote]) -> list[dict[str, str]]:
    return [{"dex": quote.venue, "code": quote.code, "reason": quote.reason} for quote in dropped]


def _quote_to_json(swap: Swap, quote: Quote) -> dict[str, Any]:
    written: dict[str, Any] = {
        "dex": quote.venue,
        "price": f"{quote.price.normalize():f}",
        "feeBps": quote.fee_bps,
        "amountIn": swap.token_in.to_text(quote.amount_in),
        "amountOut": swap.token_out.to_text(quote.amount_out),
    }
    if quote.price_impact_bps is not None:
        written["priceImpactBps"] = f"{quote.price_impact_bps:f}"
    return written


def _leg_to_json(swap: Swap, leg: Leg, offer: dict[str, Any] | None) -> dict[str, Any]:
    own = leg.swap or swap
    written = _traded(own) | (offer or _quote_to_json(own, leg.quote))
    return written | {"pool": leg.pool} if leg.pool else written


def _traded(swap: Swap) -> dict[str, str]:
    return {"market": swap.market.name, "side": swap.side.value}


class StoredQuote(NamedTuple):
    """One venue's offer, or one leg's part."""

    venue: str
    price: str
    fee_bps: int
    amount_in: str
    amount_out: str
    price_impact_bps: str | None
    through: str | None

    @classmethod
    def read(cls, stored: dict[str, Any]) -> "StoredQuote":
        names = ("dex", "price", "feeBps", "amountIn", "amountOut")
        optional = ("priceImpactBps", "through")
        return cls(*map(stored.__getitem__, names), *map(stored.get, optional))

    def of(self, swap: Swap) -> Quote:
        """Return the quote for `swap` in atoms."""
        amount_in = swap.token_in.to_atoms(Decimal(self.amount_in))
        amount_out = swap.token_out.to_atoms(Decimal(self.amount_out))
        impact = None if self.price_impact_bps is None else Decimal(self.price_impact_bps)
        return Quote(self.venue, amount_in, amount_out, Decimal(self.price), self.fee_bps, impact)


class StoredDecision:
    """Reads an order's decision, whichever release stored it. Missing values are None or empty.

    `data` always has legs. Older releases stored no legs if there was only one. Then the quote is
    read as the leg.
    """

    def __init__(self, data: dict[str, Any], base: str, quote: str, side: str) -> None:
        if "legs" not in data and "quote" in data:
            leg = {"market": f"{base}/{quote}", "side": side, **data["quote"]}
            leg.pop("ageMs", None)
            data = data | {"legs": [leg]}
        self.data = data
        self.reason: str = data.get("reason", "")
        self.runner_up: str | None = data.get("runnerUp")
        self.margin_bps: str | None = data.get("marginBps")
        self.least_out: str | None = data.get("minAmountOut")
        self.most_in: str | None = data.get("maxAmountIn")
        self.steps: list[dict[str, str]] = data.get("steps", [])

    @property
    def venues(self) -> list[str]:
        """Return all venues of the route, each of them once; none if nothing was chosen."""
        legs = self.data.get("legs", ())
        chosen = [self.data["selectedDex"]] if "selectedDex" in self.data else []
        return list(dict.fromkeys(leg["dex"] for leg in legs)) or chosen

    @property
    def quote(self) -> StoredQuote | None:
        """Return the quote of the whole route."""
        return StoredQuote.read(self.data["quote"]) if "quote" in self.data else None

    @property
    def quotes(self) -> list[StoredQuote]:
        return [StoredQuote.read(quote) for quote in self.data.get("quotes", ())]

    @property
    def is_split(self) -> bool:
        return "splitGainBps" in self.data

    @property
    def single(self) -> StoredQuote | None:
        """Return the best quote of one venue alone, if the route is split and there was one."""
        found = self.data.get("bestSingle")
        return found and StoredQuote.read(found)

    @property
    def dropped(self) -> list[DroppedQuote]:
        dropped = self.data.get("dropped", ())
        return [DroppedQuote(quote["dex"], quote["code"], quote["reason"]) for quote in dropped]

    def route(self, swap: Swap, known: Registry) -> tuple[Leg, ...]:
        """Return the chosen legs for `swap`.

        :raises LookupError: a leg's market is not known.
        """
        return tuple(_leg_of(swap, leg, known) for leg in self.data["legs"])


def _leg_of(swap: Swap, leg: dict[str, Any], known: Registry) -> Leg:
    market = swap.market
    if leg["market"] != market.name:
        base, _, quote = leg["market"].partition("/")
        market = known.market(known.token(base), known.token(quote))
    own = Swap(market, Side(leg["side"]))
    offer = StoredQuote.read(leg).of(own)
    if swap.is_exact_in:
        own = own._replace(amount_in=offer.amount_in)
    else:
        own = own._replace(amount_out=offer.amount_out)
    return Leg(offer.venue, offer, None if own == swap else own, leg.get("pool", ""))
