"""The tables of tokens and markets: what is in them at first, and what the database refuses."""

from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import DatabaseError, connection, transaction

from routing.base58 import base58
from routing.models import Market, Token
from routing.registry import read_registry, registry
from routing.tokens import MARKETS, TOKENS

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("same_registry")]
MINT = base58(bytes(range(32)))


def execute(statement: str, *parameters: Any) -> int:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.rowcount


def refused(statement: str, *parameters: Any) -> str:
    with pytest.raises(DatabaseError) as error:
        execute(statement, *parameters)
    return str(error.value)


def make_token(symbol: str = "NEW", mint: str = MINT, decimals: int = 4) -> None:
    execute(
        "INSERT INTO tokens (symbol, mint, decimals) VALUES (%s, %s, %s)", symbol, mint, decimals
    )


def make_market(base: str, quote: str, price: Any = "1") -> None:
    execute(
        "INSERT INTO markets (base_id, quote_id, reference_price, takes_orders)"
        " VALUES (%s, %s, %s, true)",
        *(base, quote, price),
    )


def test_a_new_database_trades_what_the_code_names_with_the_mints_of_mainnet() -> None:
    read_registry()

    assert registry().tokens == TOKENS
    assert registry().markets == MARKETS
    assert {token.symbol: (token.mint, token.decimals) for token in registry().tokens} == {
        "SOL": ("So11111111111111111111111111111111111111112", 9),
        "WSOL": ("So11111111111111111111111111111111111111112", 9),
        "USDC": ("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v", 6),
        "USDT": ("Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB", 6),
        "JUP": ("JUPyiwrYJFskUPiHa7hkeR8VUtAeFoSYbKedZNsDvCN", 6),
        "RAY": ("4k3Dyjzvzp8eMZWUXbBCjEvwSkkk59S5iCNLY3QrkX6R", 6),
        "BONK": ("DezXAZ8z7PnrnRJjz3wXBoRgixCa6xjnB7YaB1pPB263", 5),
    }
    for token in Token.objects.all():
        token.clean_fields()


def test_the_same_rows_leave_the_same_registry_and_others_make_another() -> None:
    read_registry()
    before = registry()
    read_registry()

    assert registry() is before
    make_token()
    read_registry()
    assert registry() is not before
    assert registry().token("new").decimals == 4


@pytest.mark.parametrize(
    "column",
    [
        {"symbol": "new"},
        {"symbol": "N/W"},
        {"symbol": "N W"},
        {"symbol": ""},
        {"symbol": "N" * 17},
        {"symbol": "NEW\n"},
        {"symbol": "USDC"},
        {"mint": MINT[:31]},
        {"mint": MINT.ljust(45, "1")},
        {"mint": MINT[:-1] + "0"},
        {"mint": MINT[:-1] + "l"},
        {"mint": MINT[:-1] + "\n"},
        {"mint": TOKENS[2].mint},
        {"mint": TOKENS[0].mint},
        {"decimals": -1},
        {"decimals": 19},
    ],
    ids=str,
)
def test_the_database_refuses_what_is_no_token(column: dict[str, Any]) -> None:
    with pytest.raises(DatabaseError):
        make_token(**column)
    make_token()


@pytest.mark.parametrize("mint", [MINT, "1" * 32, "z" * 43, base58(b"\xff" * 32)])
def test_a_mint_is_the_base58_of_32_bytes(mint: str) -> None:
    Token(symbol="NEW", mint=mint, decimals=0).full_clean()


@pytest.mark.parametrize(
    ("mint", "reason"),
    [
        ("z" * 44, "this one 33"),
        ("1" * 33, "this one 33"),
        ("2" * 32, "this one 23"),
        (base58(b"\xff" * 31), "this one 31"),
        ("0" * 40, "without 0, O, I and l"),
    ],
)
def test_other_texts_are_no_mints_and_the_field_says_why(mint: str, reason: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        Token(symbol="NEW", mint=mint, decimals=0).full_clean()
    assert reason in str(refusal.value.message_dict["mint"])


@pytest.mark.parametrize(
    ("base", "quote", "price"),
    [
        ("JUP", "JUP", "1"),
        ("SOL", "WSOL", "1"),
        ("WSOL", "JUP", "1"),
        ("JUP", "WSOL", "1"),
        ("SOL", "USDC", "1"),
        ("USDC", "SOL", "1"),
        ("NEW", "USDC", "0"),
        ("NEW", "USDC", "-1"),
        ("NEW", "USDC", "NaN"),
    ],
)
def test_the_database_refuses_what_is_no_market_or_there_is_already(
    base: str, quote: str, price: str
) -> None:
    make_token()
    refused(
        "INSERT INTO markets (base_id, quote_id, reference_price, takes_orders)"
        " VALUES (%s, %s, %s, true)",
        *(base, quote, price),
    )
    make_market("NEW", "USDC")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE tokens SET decimals = 8",
        "UPDATE tokens SET mint = %s WHERE symbol = 'JUP'",
        "UPDATE tokens SET symbol = 'NEWJUP' WHERE symbol = 'JUP'",
        "UPDATE tokens SET id = 77 WHERE symbol = 'JUP'",
        "DELETE FROM tokens WHERE symbol = 'JUP'",
        "UPDATE markets SET reference_price = 101 WHERE base_id = 'SOL'",
        "UPDATE markets SET base_id = 'RAY', quote_id = 'JUP' WHERE id = 1",
        "DELETE FROM markets",
    ],
)
def test_what_orders_rest_on_is_never_changed_or_deleted(change: str) -> None:
    text = refused(change, *([MINT] if "%s" in change else []))
    assert "never changed or deleted" in text


def test_a_market_can_be_closed_and_opened() -> None:
    assert execute("UPDATE markets SET takes_orders = false") == len(MARKETS)
    read_registry()
    assert not any(market.is_open for market in registry().markets)
    assert execute("UPDATE markets SET takes_orders = true") == len(MARKETS)


def test_prices_come_back_as_they_were_given() -> None:
    make_token()
    Market.objects.create(base_id="NEW", quote_id="SOL", reference_price="0.00000000000000000001")
    read_registry()
    known = registry()
    market = known.market(known.token("NEW"), known.token("SOL"))

    assert market.reference_price == Decimal(1).scaleb(-20)
