"""What was traded so far as rows, and triggers that keep what orders rest on as it is."""

from typing import Any

import django.core.validators
import django.db.models.deletion
import django.db.models.functions.comparison
from django.db import migrations, models

import routing.models

# Each is only for what must not happen, so that what may costs nothing.
FORWARD = """
CREATE FUNCTION refuse_other_terms() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% are never changed or deleted: orders are written in them', TG_TABLE_NAME
    USING ERRCODE = 'restrict_violation', HINT = 'A market can be closed to new orders.';
END $$;
CREATE TRIGGER tokens_stay_as_they_are BEFORE UPDATE ON tokens FOR EACH ROW
WHEN (NEW IS DISTINCT FROM OLD) EXECUTE FUNCTION refuse_other_terms();
CREATE TRIGGER tokens_are_kept BEFORE DELETE ON tokens FOR EACH ROW
EXECUTE FUNCTION refuse_other_terms();
CREATE TRIGGER markets_stay_as_they_are BEFORE UPDATE ON markets FOR EACH ROW
WHEN (
  (NEW.id, NEW.base_id, NEW.quote_id, NEW.reference_price)
    IS DISTINCT FROM (OLD.id, OLD.base_id, OLD.quote_id, OLD.reference_price)
)
EXECUTE FUNCTION refuse_other_terms();
CREATE TRIGGER markets_are_kept BEFORE DELETE ON markets FOR EACH ROW
EXECUTE FUNCTION refuse_other_terms();
"""
BACKWARD = """
DROP TRIGGER markets_are_kept ON markets;
DROP TRIGGER markets_stay_as_they_are ON markets;
DROP TRIGGER tokens_are_kept ON tokens;
DROP TRIGGER tokens_stay_as_they_are ON tokens;
DROP FUNCTION refuse_other_terms();
"""

# Frozen here as they were; a test compares them with `routing/tokens.py`.
TOKENS = (
    ("SOL", "So11111111111111111111111111111111111111112", 9),
    ("WSOL", "So11111111111111111111111111111111111111112", 9),
    ("USDC", "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v", 6),
    ("USDT", "Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB", 6),
    ("JUP", "JUPyiwrYJFskUPiHa7hkeR8VUtAeFoSYbKedZNsDvCN", 6),
    ("RAY", "4k3Dyjzvzp8eMZWUXbBCjEvwSkkk59S5iCNLY3QrkX6R", 6),
    ("BONK", "DezXAZ8z7PnrnRJjz3wXBoRgixCa6xjnB7YaB1pPB263", 5),
)
MARKETS = (
    ("SOL", "USDC", "100"),
    ("SOL", "USDT", "100"),
    ("JUP", "USDC", "0.5"),
    ("RAY", "USDC", "2"),
    ("BONK", "USDC", "0.00002"),
    ("JUP", "SOL", "0.005"),
    ("RAY", "SOL", "0.02"),
    ("BONK", "SOL", "0.0000002"),
    ("USDT", "USDC", "1"),
)
SYMBOL = "^[A-Z0-9][A-Z0-9.$_-]{0,15}$"
MINT = "^[1-9A-HJ-NP-Za-km-z]{32,44}$"


def store_first(apps: Any, schema_editor: Any) -> None:
    token, market = apps.get_model("routing", "Token"), apps.get_model("routing", "Market")
    token.objects.bulk_create(
        token(symbol=symbol, mint=mint, decimals=decimals) for symbol, mint, decimals in TOKENS
    )
    market.objects.bulk_create(
        market(base_id=base, quote_id=quote, reference_price=price)
        for base, quote, price in MARKETS
    )


class Migration(migrations.Migration):
    dependencies = [("routing", "0003_simulated_pools")]

    operations = [
        migrations.CreateModel(
            name="Token",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "symbol",
                    models.CharField(
                        max_length=16,
                        unique=True,
                        validators=[
                            django.core.validators.RegexValidator(
                                SYMBOL, "1 to 16 of A-Z 0-9 . $ _ -, first a letter or digit."
                            )
                        ],
                        help_text="Upper case, as clients write it. It can never be changed.",
                    ),
                ),
                (
                    "mint",
                    models.CharField(
                        max_length=44,
                        validators=[routing.models.check_mint],
                        help_text="The address of the token on Solana, in base58. It can never be"
                        " changed.",
                    ),
                ),
                (
                    "decimals",
                    models.PositiveSmallIntegerField(
                        validators=[django.core.validators.MaxValueValidator(18)],
                        help_text="0 to 18, as the mint says. They can never be changed.",
                    ),
                ),
            ],
            options={
                "db_table": "tokens",
                "ordering": ("id",),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("symbol__regex", SYMBOL)), name="tokens_symbol_form"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("mint__regex", MINT)), name="tokens_mint_form"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("decimals__lte", 18)), name="tokens_decimals_in_range"
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("symbol", "WSOL"), _negated=True),
                        fields=("mint",),
                        name="tokens_mint_once",
                        violation_error_code="unique",
                        violation_error_message="Another token has this mint.",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Market",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "reference_price",
                    models.DecimalField(
                        decimal_places=20,
                        max_digits=40,
                        help_text="Whole quote tokens for one whole base token. It can never be"
                        " changed.",
                    ),
                ),
                (
                    "takes_orders",
                    models.BooleanField(
                        default=True,
                        help_text="If not, new orders are refused; those under way go on.",
                        verbose_name="takes new orders",
                    ),
                ),
                (
                    "base",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="routing.token",
                        to_field="symbol",
                    ),
                ),
                (
                    "quote",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="routing.token",
                        to_field="symbol",
                    ),
                ),
            ],
            options={
                "db_table": "markets",
                "ordering": ("id",),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("reference_price__gt", 0), ("reference_price__lt", 10**20)
                        ),
                        name="markets_price_positive",
                        violation_error_message="The price must be above zero.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("base", models.F("quote")), _negated=True),
                        name="markets_two_assets",
                        violation_error_message="A token is not traded against itself.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("base", "WSOL"), _negated=True),
                            models.Q(("quote", "WSOL"), _negated=True),
                        ),
                        name="markets_name_sol_not_wsol",
                        violation_error_message="Name SOL: its markets are those of WSOL, too.",
                    ),
                    models.UniqueConstraint(
                        django.db.models.functions.comparison.Least("base", "quote"),
                        django.db.models.functions.comparison.Greatest("base", "quote"),
                        name="markets_pair_once",
                        violation_error_message="This pair has a market, in this direction or the"
                        " other.",
                    ),
                ],
            },
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
        migrations.RunPython(store_first, migrations.RunPython.noop),
    ]
