"""The options of `place_order` for orders that wait, each with its field of the API.

They are passed on as they were typed: the API's own reader says what is wrong with them.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from django.core.management.base import CommandError, CommandParser

from orders.management.order_watch import BAD_INPUT


class Option(NamedTuple):
    flag: str
    field: str
    """In the words of the API; a dot leads into an object."""
    metavar: str
    help: str

    @property
    def name(self) -> str:
        return self.flag.lstrip("-").replace("-", "_")


TYPES = "market limit stop stopLimit takeProfit trailingStop oco twap sniper"
GROUPS = {
    "what it waits for": (
        Option("--type", "type", "TYPE", f"{TYPES} (market)"),
        Option("--limit-price", "limitPrice", "PRICE", "the worst net price, fees included"),
        Option("--trigger-price", "triggerPrice", "PRICE", "where a stop or a target goes off"),
        Option("--trigger-by", "triggerBy", "LINE", "executable (default) or reference"),
        Option("--if-crossed", "ifCrossed", "HOW", "reject (default) or execute"),
        Option("--trail-bps", "trailBps", "BPS", "how far a trailing stop follows; 100 is 1 %%"),
        Option("--activation-price", "activationPrice", "PRICE", "where a trail is armed"),
    ),
    "how long": (
        Option("--time-in-force", "timeInForce", "WORD", "gtc, gtd, ioc or fok"),
        Option("--expires-at", "expiresAt", "TIME", "such as 2027-01-31T12:00:00Z"),
        Option("--expires-in", "expiresInSeconds", "SECONDS", "the same, from now"),
        Option("--max-wait", "maxWaitSeconds", "SECONDS", "in which it must be sent"),
    ),
    "the two exits that an oco is, or those that come with the fill of another order": (
        Option("--take-profit", "takeProfit.limitPrice", "PRICE", "a limit order"),
        Option("--take-profit-trigger", "takeProfit.triggerPrice", "PRICE", "or a take profit"),
        Option("--take-profit-slippage-bps", "takeProfit.slippageBps", "BPS", "of the latter"),
        Option("--stop-loss", "stopLoss.triggerPrice", "PRICE", "a stop"),
        Option("--stop-loss-limit", "stopLoss.limitPrice", "PRICE", "and its limit"),
        Option("--stop-loss-trail-bps", "stopLoss.trailBps", "BPS", "or a trailing stop"),
        Option("--stop-loss-activation", "stopLoss.activationPrice", "PRICE", "where it is armed"),
        Option("--stop-loss-slippage-bps", "stopLoss.slippageBps", "BPS", "of either"),
    ),
    "slices and pools": (
        Option("--slices", "slices", "COUNT", "of a twap: 2 to 1000"),
        Option("--interval", "intervalSeconds", "SECONDS", "between two slices"),
        Option("--duration", "durationSeconds", "SECONDS", "or of all together"),
        Option("--start-at", "startAt", "TIME", "of the first slice (now)"),
        Option("--catch-up", "catchUp", "HOW", "spread (default) or skip"),
        Option("--pool-event", "poolEvent", "EVENT", "of a sniper: launch, migration or any"),
        Option("--min-liquidity", "minLiquidity", "AMOUNT", "that its pool must hold"),
        Option("--max-pool-age", "maxPoolAgeSeconds", "SECONDS", "of its pool"),
    ),
}


def add_options(parser: CommandParser) -> None:
    """Have a command take the options."""
    for title, options in GROUPS.items():
        group = parser.add_argument_group(title)
        for option in options:
            group.add_argument(option.flag, metavar=option.metavar, help=option.help)
    parser.add_argument(
        "--tag", action="append", metavar="NAME=VALUE", help="kept with it; may be repeated"
    )


def fields_of(options: dict[str, Any]) -> dict[str, Any]:
    """Return what was given, in the words of the API.

    :raises CommandError: a tag has no value.
    """
    fields: dict[str, Any] = {}
    for option in (option for group in GROUPS.values() for option in group):
        if (given := options.get(option.name)) is not None:
            outer, _, inner = option.field.rpartition(".")
            place = fields.setdefault(outer, {}) if outer else fields
            place[inner] = given
    if options.get("tag"):
        fields["tags"] = _tags(options["tag"])
    return fields


def _tags(given: Iterable[str]) -> dict[str, str]:
    tags = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise CommandError(f"--tag {text} is not NAME=VALUE.", returncode=BAD_INPUT)
        tags[name] = value
    return tags
