"""Pools that come into being while the engine runs: launched, or moved to another venue.

It is for operators, demonstrations and tests of the simulation. A market in which a pool was
launched has the pools that were launched there; no venue makes one at its first quote.
"""

import os
from datetime import timedelta
from decimal import Decimal
from typing import NamedTuple

import orjson
from django.core.exceptions import ValidationError
from django.db import connection, transaction

from routing import models, tokens
from routing.base58 import base58
from routing.pools.constant_product import ConstantProductPool
from routing.registry import read_registry, registry
from routing.simulation.pool import AnyPool, PoolKey, SimulatedPool, read_pool
from routing.simulation.seeding import NewPool
from routing.simulation.trial import quote_depth_in_atoms, reference_of, try_pool
from routing.tokens import Market, UnknownMarket, UnknownToken
from routing.venues import SIMULATED_VENUES

VENUES = {venue.name: venue for venue in SIMULATED_VENUES}
DECIMALS = 6
"""Of a token that is launched, unless something else is asked for."""


class CannotLaunch(ValueError):
    """There can be no such pool. The message says why; trying again does not help."""


class Launch(NamedTuple):
    base: str
    quote: str
    venue: str
    liquidity: Decimal
    """Of each side, in whole quote tokens at the reference price."""
    opens_in: float = 0
    """Seconds from now, by the database's clock."""
    price: Decimal | None = None
    """The reference price of a market that does not exist yet."""
    decimals: int = DECIMALS
    """Of the base token, if it does not exist yet."""


def launch_pool(launch: Launch) -> models.SimulatedPool:
    """Make a pool that opens later or now; add its base token and its market if they are missing.

    :raises CannotLaunch: the quote token or the venue is unknown, the venue has a pool of this
        market, a new market has no price, or orders could not trade in such a pool.
    """
    _check_venue(launch.venue)
    with transaction.atomic():
        market = _market_of(launch)
        key = PoolKey.of(launch.venue, market)
        if models.SimulatedPool.objects.filter(**key._asdict()).exists():
            raise CannotLaunch(f"{launch.venue} has a pool of {market.name}.")
        made = _store(market, key, _quote_atoms(market, launch.liquidity), launch.opens_in)
    read_registry()
    return made


def migrate_pool(base: str, quote: str, source: str, target: str) -> models.SimulatedPool:
    """Move all liquidity of a pool to another venue. The new pool is open at once.

    Transactions that name the old pool fail from now on.

    :raises CannotLaunch: there is no such pool, or the target has a pool of this market.
    """
    _check_venue(target)
    read_registry()
    known = registry()
    try:
        market = known.market_of_order(known.token(base), known.token(quote))
    except (UnknownToken, UnknownMarket):
        raise CannotLaunch(f"{base}/{quote} is not traded here.") from None
    with transaction.atomic():
        pools = models.SimulatedPool.objects.select_for_update()
        old = pools.filter(**PoolKey.of(source, market)._asdict()).first()
        key = PoolKey.of(target, market)
        if old is None:
            raise CannotLaunch(f"{source} has no pool of {market.name}.")
        if models.SimulatedPool.objects.filter(**key._asdict()).exists():
            raise CannotLaunch(f"{target} has a pool of {market.name}.")
        _, quote_atoms = reserves(pool_of(old))
        old.delete()
        return _store(market, key, quote_atoms, follows=source)


def _check_venue(name: str) -> None:
    if name not in VENUES:
        raise CannotLaunch(f"The venues are {', '.join(VENUES)}.")


def _market_of(launch: Launch) -> Market:
    """Return the market of a launch, which may be new."""
    read_registry()
    known = registry()
    try:
        quote = known.token(launch.quote)
    except UnknownToken:
        raise CannotLaunch(f"{launch.quote} is not known here.") from None
    try:
        base = known.token(launch.base)
    except UnknownToken:
        base = _new_token(launch)
    for market in known.markets:
        if {market.base.mint, market.quote.mint} == {base.mint, quote.mint}:
            if market.base.mint != base.mint:
                raise CannotLaunch(f"The market is {market.name}.")
            return market
    return _new_market(base, quote, launch.price)


def _new_token(launch: Launch) -> tokens.Token:
    row = models.Token(symbol=launch.base, mint=base58(os.urandom(32)), decimals=launch.decimals)
    _save(row)
    return tokens.Token(row.symbol, row.mint, row.decimals)


def _new_market(base: tokens.Token, quote: tokens.Token, price: Decimal | None) -> Market:
    if price is None:
        raise CannotLaunch(f"{base.symbol}/{quote.symbol} is new here. Give its price.")
    row = models.Market(base_id=base.symbol, quote_id=quote.symbol, reference_price=price)
    _save(row)
    return Market(base, quote, price)


def _save(row: models.Token | models.Market) -> None:
    try:
        row.full_clean()
    except ValidationError as fault:
        raise CannotLaunch(" ".join(fault.messages)) from fault
    row.save()


def _quote_atoms(market: Market, amount: Decimal) -> int:
    try:
        return market.quote.to_atoms(amount)
    except ValueError as fault:
        raise CannotLaunch(str(fault)) from fault


def _store(
    market: Market,
    key: PoolKey,
    quote_atoms: int,
    opens_in: float = 0,
    follows: str | None = None,
) -> models.SimulatedPool:
    new_pool: NewPool = VENUES[key.venue].new_pool
    try:
        pool = try_pool(market, new_pool, quote_depth_in_atoms(market, quote_atoms))
    except ValueError as fault:
        raise CannotLaunch(str(fault)) from fault
    made = SimulatedPool(key, reference_of(market), pool, 0)
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp(), extract(epoch FROM clock_timestamp())::bigint")
        now, tick = cursor.fetchone()
    return models.SimulatedPool.objects.create(
        **key._asdict(),
        kind=made.kind,
        state=orjson.loads(orjson.dumps(made.state())),
        tick=tick,
        version=0,
        made_at=now,
        opens_at=now + timedelta(seconds=opens_in),
        follows=follows,
    )


def pool_of(row: models.SimulatedPool) -> AnyPool:
    """Return the pool as the last landing left it."""
    key = PoolKey(row.venue, row.base, row.quote)
    return read_pool(key, row.kind, row.state, row.tick, row.version).pool


def reserves(pool: AnyPool) -> tuple[int, int]:
    """Return the base and quote atoms that can be traded, without fees."""
    if isinstance(pool, ConstantProductPool):
        return pool.reserve_x, pool.reserve_y
    return sum(bin_.amount_x for bin_ in pool.bins), sum(bin_.amount_y for bin_ in pool.bins)
