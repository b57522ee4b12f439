"""What health, metrics and the admin tell of the wallet, from what workers wrote down."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import orjson
from django.conf import settings

from orders.engine.wallet.limits import UNIT_ATOMS
from routing.registry import registry
from routing.tokens import SOL, USDC, UnknownMarket, UnknownToken

STALE_SECONDS = 120.0
FEW = 100
"""Transactions at the highest fee: with SOL for fewer, the wallet is low."""
SIGNATURE_FEE = 5_000
# The wallet that was seen last is the present one.
WALLET = """
SELECT seen.address, seen.network, seen.lamports, seen.atoms::text,
  greatest(extract(epoch FROM clock_timestamp() - seen.seen_at), 0)::float8,
  coalesce((SELECT value FROM wallet_days WHERE wallet = seen.address
    AND day = (statement_timestamp() AT TIME ZONE 'UTC')::date), 0)
FROM wallet_sightings AS seen ORDER BY seen.seen_at DESC LIMIT 1
"""


class WalletState(NamedTuple):
    address: str
    network: str
    lamports: int
    atoms: Mapping[str, int]
    """By mint."""
    age: float
    """Seconds since a worker looked."""
    signed_today: int
    """Atoms of USDC."""

    @property
    def warnings(self) -> list[str]:
        """What runs out, or is not known any more, in words."""
        found = []
        if self.age > STALE_SECONDS:
            found.append(f"no worker has seen the wallet for {self.age:.0f} s")
        reserve = SOL.to_atoms(settings.SOLANA_FEE_RESERVE)
        most = SIGNATURE_FEE + settings.SOLANA_MAX_PRIORITY_FEE + settings.SOLANA_TIP
        if self.lamports < reserve + FEW * most:
            found.append(f"{SOL.to_text(self.lamports)} SOL are few for fees")
        found += [
            f"{symbol} is worth less than the largest order may give"
            for symbol, worth in self._worths().items()
            if settings.SOLANA_MAX_ORDER_VALUE and worth < settings.SOLANA_MAX_ORDER_VALUE
        ]
        most_today = settings.SOLANA_MAX_DAY_VALUE
        if most_today and self.signed_today >= most_today * UNIT_ATOMS * 9 / 10:
            found.append("nine tenths of the day's limit are signed for")
        return found

    def tokens(self) -> dict[str, str]:
        """Return what it holds by symbol, or by mint, in whole tokens."""
        held = {SOL.symbol: SOL.to_text(self.lamports)}
        for mint, amount in self.atoms.items():
            try:
                token = registry().token(mint)
            except UnknownToken:
                held[mint] = f"{amount} atoms"
                continue
            symbol = "WSOL" if token.same_asset_as(SOL) else token.symbol
            held[symbol] = token.to_text(amount)
        return held

    def as_json(self) -> dict[str, Any]:
        return {
            "address": self.address,
            "network": self.network,
            "tokens": self.tokens(),
            "warnings": self.warnings,
        }

    def _worths(self) -> dict[str, Decimal]:
        """Return what it has of each known token that it has held, in USDC, about."""
        known, found = registry(), {}
        for mint, amount in self.atoms.items():
            try:
                token = known.token(mint)
                worth = known.value_of(token, amount, known.token(USDC.symbol))
            except (UnknownToken, UnknownMarket):
                continue
            if not token.same_asset_as(SOL):
                found[token.symbol] = worth
        return found


def wallet_of(row: Any) -> WalletState:
    """Return the state that a row of `WALLET` tells."""
    address, network, lamports, atoms, age, signed = row
    return WalletState(address, network, lamports, orjson.loads(atoms), float(age), int(signed))
