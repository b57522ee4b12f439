"""The open orders of an account, in pages, for a reader that begins with how things stand."""

from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import islice
from typing import Any

from orders.lifecycle import IS_BEGUN, IS_WAITING
from orders.models import Order
from orders.representation import order_as_json
from orders.streams.account_log import Choice, Description, account_log_of_this_loop

PAGE = 200
COLUMNS = [field.attname for field in Order._meta.concrete_fields]
# Each part has an index of its own. `sender` is the account of orders that have one.
OPEN = f"""
SELECT id::text FROM orders WHERE sender = %(owner)s AND {IS_WAITING} AND turn >= 0
  AND owner_id = %(owner)s
UNION ALL
SELECT id::text FROM orders WHERE {IS_WAITING} AND turn < 0 AND owner_id = %(owner)s
UNION ALL
SELECT id::text FROM orders WHERE {IS_BEGUN} AND owner_id = %(owner)s
UNION ALL
SELECT id::text FROM orders WHERE resting AND owner_id = %(owner)s
"""  # noqa: S608  # our own words
BY_ID = f"SELECT {', '.join(COLUMNS)} FROM orders WHERE id = ANY(%s::uuid[])"  # noqa: S608


async def open_orders(owner: int, choice: Choice) -> AsyncIterator[tuple[list[Any], bool]]:
    """Yield pages of at most 200 orders as JSON, newest first, each with whether more come.

    There is at least one page. An order that ended meanwhile is shown as it is then.

    :raises psycopg.Error: the database does not answer.
    """
    link = account_log_of_this_loop().link
    found = await link.fetch(OPEN, {"owner": owner})
    left = iter(sorted((row[0] for row in found), reverse=True))
    ids = list(islice(left, PAGE))
    while True:
        rows = await link.fetch(BY_ID, (ids,)) if ids else []
        orders = sorted(_orders(rows), key=lambda order: order.id, reverse=True)
        ids = list(islice(left, PAGE))
        wanted = [order for order in orders if choice.takes(_described(order))]
        yield [order_as_json(order) for order in wanted], bool(ids)
        if not ids:
            return


def _orders(rows: Sequence[Sequence[Any]]) -> Iterator[Order]:
    for row in rows:
        yield Order.from_db("default", COLUMNS, row)


def _described(order: Order) -> Description:
    return Description(order.base, order.quote, order.type, order.tags)
