"""Which pool a sniper waits for: a state of a pool, whatever was announced of it and when."""

from decimal import Decimal
from typing import Any, NamedTuple

from routing.constraints import UNCONSTRAINED, Constraints
from routing.tokens import Token
from routing.venue import PoolFacts

ANY, LAUNCH, MIGRATION = "any", "launch", "migration"
POOL_EVENTS = (ANY, LAUNCH, MIGRATION)
"""Any pool, one that took over from no other, one that took over from another."""

USUAL_SECONDS = 86_400.0
"""For which a sniper stands that does not say."""
SLIPPAGE_BPS = 500


class PoolCondition(NamedTuple):
    pool_event: str = ANY
    min_liquidity: int = 0
    """In atoms of the input token."""
    max_age: int | None = None
    """In seconds; None: of any age."""
    constraints: Constraints = UNCONSTRAINED

    @classmethod
    def of(
        cls, terms: dict[str, Any], constraints: dict[str, Any] | None, token_in: Token
    ) -> "PoolCondition":
        """Return the condition of a sniper's `terms`, and of the venues that it allows."""
        return cls(
            terms.get("poolEvent", ANY),
            token_in.to_atoms(Decimal(terms.get("minLiquidity", 0))),
            terms.get("maxPoolAgeSeconds"),
            Constraints.from_json(constraints) if constraints else UNCONSTRAINED,
        )

    def is_met_by(self, pool: PoolFacts) -> bool:
        """Return whether an open pool is what is waited for."""
        return (
            not self.constraints.why_not(pool.venue)
            and pool.liquidity >= self.min_liquidity
            and self._fits_age(pool.age)
            and self._fits_event(pool.follows)
        )

    def _fits_age(self, age: float | None) -> bool:
        return self.max_age is None or (age is not None and age <= self.max_age)

    def _fits_event(self, follows: str | None) -> bool:
        if self.pool_event == ANY:
            return True
        return (follows is not None) == (self.pool_event == MIGRATION)
