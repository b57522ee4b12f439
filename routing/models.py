"""What is traded here, and the simulated network: its ledger and its pools.

Operators add tokens, markets and pools. Triggers of a migration protect tokens and markets, because
orders name tokens by symbol and hold amounts in atoms. `routing.operations` writes the rows of live
pools, and `routing.simulation.ledger` all others.
"""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, RegexValidator
from django.db import connection, models
from django.db.models import F, Q
from django.db.models.functions import Greatest, Least, Now

from routing.base58 import bytes_of_base58
from routing.tokens import WSOL

SYMBOL = r"^[A-Z0-9][A-Z0-9.$_-]{0,15}$"
MINT = r"^[1-9A-HJ-NP-Za-km-z]{32,44}$"
MOST_DECIMALS = 18
"""With more decimals, the 63 bits of an amount could not hold a single whole token."""

STORE_PATH = """
INSERT INTO simulated_price_paths (mint, steps, begins_at, ends_at, set_by)
SELECT %(mint)s, %(steps)s, begins_at, begins_at + %(seconds)s, %(set_by)s
FROM (SELECT ceil(extract(epoch FROM clock_timestamp()))::bigint + %(lead)s) AS first (second),
  LATERAL (SELECT coalesce(%(begins_at)s::bigint, second)) AS path (begins_at)
WHERE begins_at >= second
RETURNING id
"""


def check_mint(text: str) -> None:
    """:raises ValidationError: it is not the base58 of 32 bytes."""
    try:
        size = len(bytes_of_base58(text))
    except ValueError:
        raise ValidationError("Letters and digits without 0, O, I and l.", "invalid") from None
    if size != 32:
        raise ValidationError(f"An address has 32 bytes, this one {size}.", "invalid")


class Token(models.Model):
    """A token that orders may name. It stays for ever: only its markets can be closed."""

    symbol = models.CharField(
        max_length=16,
        unique=True,
        validators=[RegexValidator(SYMBOL, "1 to 16 of A-Z 0-9 . $ _ -, first a letter or digit.")],
        help_text="Upper case, as clients write it. It can never be changed.",
    )
    mint = models.CharField(
        max_length=44,
        validators=[check_mint],
        help_text="The address of the token on Solana, in base58. It can never be changed.",
    )
    decimals = models.PositiveSmallIntegerField(
        validators=[MaxValueValidator(MOST_DECIMALS)],
        help_text=f"0 to {MOST_DECIMALS}, as the mint says. They can never be changed.",
    )

    class Meta:
        db_table = "tokens"
        ordering = ("id",)
        constraints = (
            models.CheckConstraint(name="tokens_symbol_form", condition=Q(symbol__regex=SYMBOL)),
            models.CheckConstraint(name="tokens_mint_form", condition=Q(mint__regex=MINT)),
            models.CheckConstraint(
                name="tokens_decimals_in_range", condition=Q(decimals__lte=MOST_DECIMALS)
            ),
            models.UniqueConstraint(
                fields=["mint"],
                name="tokens_mint_once",  # except for SOL and its wrapped form
                condition=~Q(symbol=WSOL.symbol),
                violation_error_code="unique",
                violation_error_message="Another token has this mint.",
            ),
        )

    def __str__(self) -> str:
        return self.symbol


def minimum_field(trade: str, token: str) -> "models.DecimalField[Any, Any]":
    """Return a column for the least input of orders that are held to a minimum."""
    return models.DecimalField(
        f"least {token} amount",
        max_digits=40,
        decimal_places=MOST_DECIMALS,
        null=True,
        blank=True,
        help_text=f"The least input of one {trade}, in whole {token} tokens. Market orders are not"
        " held to it. Left out: what pays at least 100 of the output's smallest unit.",
    )


class Market(models.Model):
    """A pair of tokens with pools of its own. Its simulated prices begin at its price."""

    base = models.ForeignKey(Token, models.PROTECT, to_field="symbol", related_name="+")
    quote = models.ForeignKey(Token, models.PROTECT, to_field="symbol", related_name="+")
    reference_price = models.DecimalField(
        max_digits=40,
        decimal_places=20,
        help_text="Whole quote tokens for one whole base token. It can never be changed.",
    )
    takes_orders = models.BooleanField(
        "takes new orders",
        default=True,
        help_text="If not, new orders are refused; those under way go on.",
    )
    min_base = minimum_field("sale", "base")
    min_quote = minimum_field("purchase", "quote")

    class Meta:
        db_table = "markets"
        ordering = ("id",)
        constraints = (
            models.CheckConstraint(
                name="markets_price_positive",  # PostgreSQL holds NaN to be greater than 0
                condition=Q(reference_price__gt=0, reference_price__lt=10**20),
                violation_error_message="The price must be above zero.",
            ),
            models.CheckConstraint(
                name="markets_minimums_positive",
                condition=(Q(min_base=None) | Q(min_base__gt=0, min_base__lt=10**20))
                & (Q(min_quote=None) | Q(min_quote__gt=0, min_quote__lt=10**20)),
                violation_error_message="A minimum must be above zero.",
            ),
            models.CheckConstraint(
                name="markets_two_assets",
                condition=~Q(base=models.F("quote")),
                violation_error_message="A token is not traded against itself.",
            ),
            models.CheckConstraint(
                name="markets_name_sol_not_wsol",  # they are one asset, and SOL is its first name
                condition=~Q(base=WSOL.symbol) & ~Q(quote=WSOL.symbol),
                violation_error_message="Name SOL: its markets are those of WSOL, too.",
            ),
            models.UniqueConstraint(
                Least("base", "quote"),
                Greatest("base", "quote"),
                name="markets_pair_once",
                violation_error_message="This pair has a market, in this direction or the other.",
            ),
        )

    def __str__(self) -> str:
        return f"{self.base_id}/{self.quote_id}"

    def clean(self) -> None:
        """Report beside its field what a constraint would report for the whole row."""
        pair, errors = {self.base_id, self.quote_id}, {}
        if None in pair:
            return  # the form tells it of the field
        if len(pair) == 1:
            errors["quote"] = "A token is not traded against itself."
        else:
            others = Market.objects.filter(base__symbol__in=pair, quote__symbol__in=pair)
            same = others.exclude(pk=self.pk).first()
            if same:
                errors["quote"] = f"These two have a market: {same}."
        if self.reference_price is not None and self.reference_price <= 0:
            errors["reference_price"] = "The price must be above zero."
        if errors:
            raise ValidationError(errors)


class LivePool(models.Model):
    """A real pool that is traded in. Whether it is one of its market was looked up on chain."""

    venue = models.CharField(max_length=32)
    market = models.ForeignKey(Market, models.PROTECT, related_name="+", db_constraint=False)
    address = models.CharField(
        max_length=44,
        unique=True,
        validators=[check_mint],
        help_text="Of the pool's own account on Solana, in base58.",
        error_messages={"unique": "This pool is in the list."},
    )
    is_traded = models.BooleanField(
        "traded in",
        default=True,
        help_text="If not, no route goes through it. A search leaves it so.",
    )
    added_by = models.CharField(max_length=150)
    added_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "live_pools"
        ordering = ("market", "venue", "id")
        constraints = (
            models.CheckConstraint(
                name="live_pools_address_form", condition=Q(address__regex=MINT)
            ),
        )

    def __str__(self) -> str:
        return f"{self.venue} {self.market} {self.address[:6]}…"


class VenueStop(models.Model):
    """A venue that the engine has stopped, because it did not fill as it had quoted."""

    venue = models.CharField(max_length=32)
    why = models.TextField()
    stopped_at = models.DateTimeField(db_default=Now())
    resumed_at = models.DateTimeField(null=True)
    """Null: it is still stopped."""
    resumed_by = models.CharField(max_length=150, blank=True)

    class Meta:
        db_table = "venue_stops"
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                fields=["venue"], name="venue_stops_one_at_a_time", condition=Q(resumed_at=None)
            ),
            models.CheckConstraint(
                name="venue_stops_resumed_by_somebody",
                condition=Q(resumed_at=None, resumed_by="")
                | (Q(resumed_at__isnull=False) & ~Q(resumed_by="")),
            ),
        )

    def __str__(self) -> str:
        return f"{self.venue}, {'resumed' if self.resumed_at else 'stopped'}"


class NetworkTransaction(models.Model):
    """A transaction that the simulated network took. Without an outcome, it still has to land."""

    signature = models.TextField(primary_key=True)
    expires_at_height = models.BigIntegerField()
    sent_at = models.DateTimeField()
    lands_at = models.DateTimeField(null=True)
    """When it lands or landed; null: it never lands."""
    amount_in = models.BigIntegerField(null=True)
    amount_out = models.BigIntegerField(null=True)
    rejection = models.TextField(default="", blank=True)
    """The code with which it failed at its landing; empty: it swapped, or still has to land."""
    network_fee = models.BigIntegerField(null=True)
    """Lamports that it has cost or will cost."""
    payload = models.TextField(default="", blank=True)
    """The instruction, if the transaction was recorded before it landed."""

    class Meta:
        db_table = "simulated_network_transactions"
        constraints = [
            models.CheckConstraint(
                name="network_transaction_has_one_outcome",
                condition=Q(rejection="", amount_in__gt=0, amount_out__gt=0)
                | (~Q(rejection="") & Q(amount_in=None, amount_out=None))
                | (~Q(payload="") & Q(amount_in=None, amount_out=None)),
            ),
        ]
        indexes = [
            models.Index(
                "lands_at",
                "signature",
                name="network_transaction_awaits",
                condition=Q(amount_out=None, rejection="", lands_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.signature


class SimulatedPool(models.Model):
    """One venue's pool of one market after the last landing. Since then it follows prices."""

    venue = models.TextField()
    base = models.TextField()
    """The mint of the pool's x, the market's base token."""
    quote = models.TextField()
    kind = models.TextField()
    state = models.JSONField()
    """In the form of `routing.simulation.pool`."""
    tick = models.BigIntegerField()
    """The unix second to which it was brought."""
    version = models.BigIntegerField()
    """It grows by one with each write."""
    made_at = models.DateTimeField(null=True)
    """When it was launched; null: a venue's first quote, or an operator, made it."""
    opens_at = models.DateTimeField(null=True)
    """It cannot be traded in before; null: always."""
    follows = models.TextField(null=True)  # noqa: DJ001  # unset is not ""
    """The venue from which its liquidity moved here; null: it is the first pool of its own."""

    class Meta:
        db_table = "simulated_pools"
        constraints = [
            models.CheckConstraint(
                name="simulated_pool_opens_after_it_was_made",
                condition=Q(made_at=None, opens_at=None, follows=None)
                | Q(made_at__isnull=False, opens_at__gte=models.F("made_at")),
            ),
            models.UniqueConstraint(
                fields=["venue", "base", "quote"], name="simulated_pool_of_venue_and_market"
            ),
            models.CheckConstraint(
                name="simulated_pool_is_of_a_known_kind",
                condition=Q(kind__in=["constant_product", "liquidity_bins"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.venue} {self.base[:6]}…/{self.quote[:6]}…"


class SimulatedSeed(models.Model):
    """The one seed of an unseeded simulation, so that all processes see the same prices."""

    id = models.SmallIntegerField(primary_key=True)
    seed = models.TextField()

    class Meta:
        db_table = "simulated_seeds"
        constraints = [models.CheckConstraint(name="simulated_seed_is_one", condition=Q(id=1))]

    def __str__(self) -> str:
        return self.seed


class SimulatedPricePath(models.Model):
    """How a token's price moves from a second on. It is stored before, and never changed."""

    class TooSoon(ValueError):
        """It would begin before all processes know it. A later beginning helps."""

    mint = models.CharField(max_length=44, validators=[check_mint])
    steps = models.TextField()
    """In the form of `routing.simulation.price_path`."""
    begins_at = models.BigIntegerField()
    """A unix second."""
    ends_at = models.BigIntegerField()
    set_by = models.CharField(max_length=150)
    set_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "simulated_price_paths"
        verbose_name = "price path"
        ordering = ("-id",)
        constraints = [
            models.CheckConstraint(
                name="simulated_price_path_takes_time", condition=Q(ends_at__gt=F("begins_at"))
            )
        ]

    def __str__(self) -> str:
        return f"{self.mint[:6]}… {self.steps}"

    @classmethod
    def store(
        cls, mint: str, steps: str, seconds: int, lead: int, begins_at: int | None, set_by: str
    ) -> "SimulatedPricePath":
        """Store a path that takes `seconds`, and begins `lead` seconds from now unless told.

        :raises TooSoon: it is told to begin earlier.
        """
        given: dict[str, str | int | None] = {
            "mint": mint,
            "steps": steps,
            "seconds": seconds,
            "set_by": set_by,
        }
        with connection.cursor() as cursor:
            cursor.execute(STORE_PATH, given | {"lead": lead, "begins_at": begins_at})
            row = cursor.fetchone()
        if row is None:
            raise cls.TooSoon(f"A path begins at least {lead} s after it was set.")
        return cls.objects.get(pk=row[0])
