"""The wallet's limits, held over all workers: how much value it has signed for on a day.

A value is counted before its transaction is signed, and given back once that is proven dead. A
worker that dies in between leaves it counted until the day (UTC) is over: too little is signed
then, and never too much.
"""

from decimal import Decimal
from typing import NamedTuple

import psycopg
from django.conf import settings

from config.database.conninfo import conninfo
from config.runtime.postgres import Link
from orders.lifecycle import IS_HALTED
from routing.venue import SigningHalted, VenueUnavailable, WalletRefused

KEPT_DAYS = 7
UNIT_ATOMS = 10**6
"""Atoms of a USDC."""

# What became of a transaction stands in the order's own row, and no other proof counts. So this
# may run at any time, twice, and in all workers at once: a row is deleted once.
SETTLE = f"""
WITH ended AS (
  DELETE FROM wallet_reservations AS held USING order_transactions AS sent
  WHERE held.wallet = %(wallet)s AND sent.signature = held.signature AND sent.outcome IS NOT NULL
  RETURNING held.day, held.value, sent.outcome
),
forgotten AS (
  DELETE FROM wallet_reservations
  WHERE wallet = %(wallet)s AND day < (statement_timestamp() AT TIME ZONE 'UTC')::date - {KEPT_DAYS}
),
freed AS (
  SELECT day, sum(value) AS value FROM ended WHERE outcome <> 'landed' GROUP BY day
)
UPDATE wallet_days SET value = wallet_days.value - freed.value FROM freed
WHERE wallet_days.wallet = %(wallet)s AND wallet_days.day = freed.day
"""  # noqa: S608  # our own words

# The day's row is locked by the first of two workers, and the second compares with what it wrote.
RESERVE = f"""
WITH state AS MATERIALIZED (
  SELECT {IS_HALTED} AS is_halted, (statement_timestamp() AT TIME ZONE 'UTC')::date AS day
),
counted AS (
  INSERT INTO wallet_days AS days (wallet, day, value)
  SELECT %(wallet)s, day, %(value)s FROM state
  WHERE NOT is_halted AND (%(most)s::bigint IS NULL OR %(value)s <= %(most)s)
  ON CONFLICT (wallet, day) DO UPDATE SET value = days.value + excluded.value
  WHERE %(most)s::bigint IS NULL OR days.value + excluded.value <= %(most)s
  RETURNING day
),
reserved AS (
  INSERT INTO wallet_reservations (wallet, day, value)
  SELECT %(wallet)s, day, %(value)s FROM counted RETURNING id
)
SELECT state.is_halted, reserved.id FROM state LEFT JOIN reserved ON true
"""  # noqa: S608

CONFIRM = f"""
UPDATE wallet_reservations SET signature = %(signature)s
WHERE id = %(id)s AND signature IS NULL AND NOT {IS_HALTED}
RETURNING id
"""  # noqa: S608

LEFT = """
SELECT value FROM wallet_days
WHERE wallet = %(wallet)s AND day = (statement_timestamp() AT TIME ZONE 'UTC')::date
"""


class Limits(NamedTuple):
    """In atoms of USDC; None: no limit."""

    order: int | None = None
    day: int | None = None


class LimitsUnavailable(VenueUnavailable):
    """The database does not answer, so nothing is signed. Trying again may help."""


class WalletLimits:
    """Keeps the promises of `routing.solana.wallet.allowance.Allowance`. For one asyncio loop."""

    def __init__(self, address: str, limits: Limits) -> None:
        self._link = Link(address, "engine wallet")
        self._limits = limits

    async def reserve(self, wallet: object, value: int) -> int:
        """See `Allowance.reserve`. The wallet is any object whose text is its address."""
        self._check_order(value)
        named = {"wallet": str(wallet), "value": value, "most": self._limits.day}
        try:
            await self._settle(named)
            async with self._link.connection() as connection:
                cursor = await connection.execute(RESERVE, named)
                found = await cursor.fetchone()
        except psycopg.Error as error:
            raise LimitsUnavailable(f"the wallet's limits cannot be asked: {error}") from error
        is_halted, reservation = found or (True, None)
        if is_halted:
            raise SigningHalted("trading is halted: nothing is signed")
        if reservation is None:
            raise WalletRefused(
                f"{in_usdc(value)} USDC are more than is left of the"
                f" {in_usdc(self._limits.day or 0)} USDC that the wallet may sign for today"
            )
        return int(reservation)

    async def confirm(self, reservation: int, signature: str) -> None:
        """See `Allowance.confirm`."""
        named = {"id": reservation, "signature": signature}
        try:
            async with self._link.connection() as connection:
                cursor = await connection.execute(CONFIRM, named)
                found = await cursor.fetchone()
        except psycopg.Error as error:
            raise LimitsUnavailable(f"the signature cannot be noted: {error}") from error
        if found is None:
            raise SigningHalted("trading was halted meanwhile: the signature is not used")

    async def close(self) -> None:
        await self._link.close()

    def _check_order(self, value: int) -> None:
        most = self._limits.order
        if most is not None and value > most:
            raise WalletRefused(
                f"the order may cost {in_usdc(value)} USDC, and one may cost {in_usdc(most)}"
            )

    async def _settle(self, named: dict[str, object]) -> None:
        """Give back what is proven dead. It may run twice, so a lost connection is replaced."""
        try:
            async with self._link.connection() as connection:
                await connection.execute(SETTLE, named)
        except psycopg.OperationalError:
            async with self._link.connection() as connection:
                await connection.execute(SETTLE, named)


def wallet_limits() -> WalletLimits:
    """Return the limits that the settings name."""
    order, day = settings.SOLANA_MAX_ORDER_VALUE, settings.SOLANA_MAX_DAY_VALUE
    return WalletLimits(conninfo(), Limits(_atoms(order), _atoms(day)))


def _atoms(usdc: Decimal | None) -> int | None:
    return None if usdc is None else int(usdc * UNIT_ATOMS)


def in_usdc(atoms: int) -> str:
    """Return atoms of USDC as people write them."""
    whole, rest = divmod(atoms, UNIT_ATOMS)
    return f"{whole}.{rest:06d}".rstrip("0").rstrip(".")
