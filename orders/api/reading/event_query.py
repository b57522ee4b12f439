"""What a reader of an account's events asks for: from where on, and of which orders.

The same for a socket, for server-sent events and for the feed.
"""

from collections.abc import Mapping

from django.core.exceptions import ValidationError as InvalidValue
from rest_framework.exceptions import ErrorDetail, ValidationError

from orders.api.filters import TAG, TAG_PARAMETER, TYPES, WordsField, tags_in
from orders.api.markets import market_named
from orders.api.reading.fields import refuse
from orders.streams.account_log import Choice, account_log_of_this_loop
from orders.streams.cursor import Position

CHOICES = frozenset({"market", "type", TAG_PARAMETER})
"""The parameters that choose orders."""
SNAPSHOT = "open"


async def read_choice(query: Mapping[str, str]) -> Choice:
    """Return which orders' events are wanted.

    :raises ValidationError: with an error for a parameter that cannot be read.
    :raises django.db.Error: the database does not answer, and may know the market.
    """
    snapshot = query.get("snapshot", SNAPSHOT)
    if snapshot != SNAPSHOT:
        raise refuse("snapshot", "invalid_choice", f"There is one kind: {SNAPSHOT}.")
    tags = tags_in({name: value for name, value in query.items() if name.startswith(TAG)})
    market = None
    if "market" in query:
        found = await market_named(query["market"])
        market = found.base.symbol, found.quote.symbol
    try:
        types = WordsField(words=TYPES, several=True).to_python(query.get("type"))
    except InvalidValue as error:
        detail = ErrorDetail(error.messages[0], error.code or "invalid")
        raise ValidationError({"type": [detail]}) from None
    return Choice(market, frozenset(types), tags)


async def position_in(query: Mapping[str, str], owner: int) -> Position:
    """Return the position that the cursor names; without one, where the account's log ends now.

    :raises UnknownCursor: this database has never been there.
    :raises LogLost: the log cannot be read by transactions.
    :raises psycopg.Error: the database does not answer.
    """
    log = account_log_of_this_loop()
    if "cursor" not in query:
        return await log.end_of(owner)
    return (await log.now()).known(query["cursor"])
