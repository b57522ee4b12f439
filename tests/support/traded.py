"""Changes of tokens and markets as another process makes them: this one is not told."""

import psycopg

from config.database.conninfo import conninfo
from routing.base58 import base58


def change(statement: str, *parameters: object) -> None:
    with psycopg.connect(conninfo(), autocommit=True) as database:
        database.execute(statement, parameters)  # type: ignore[call-overload]


def add_token(symbol: str, decimals: int = 6) -> str:
    """Return its mint."""
    mint = base58(symbol.ljust(32, "-").encode())
    statement = "INSERT INTO tokens (symbol, mint, decimals) VALUES (%s, %s, %s)"
    change(statement, symbol, mint, decimals)
    return mint


def add_market(base: str, quote: str, price: str = "2") -> None:
    statement = (
        "INSERT INTO markets (base_id, quote_id, reference_price, takes_orders)"
        " VALUES (%s, %s, %s, true)"
    )
    change(statement, base, quote, price)


def close(base: str, quote: str) -> None:
    statement = "UPDATE markets SET takes_orders = false WHERE base_id = %s AND quote_id = %s"
    change(statement, base, quote)
