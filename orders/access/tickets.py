"""One-time tickets for WebSockets, for pages: a browser can give a socket no header.

A ticket is part of a URL, and so it gets into logs. Therefore it works only once, and only for a
short time.
"""

import secrets
from datetime import datetime
from typing import Any

from django.db import connection

from orders.access.accounts import Principal
from orders.access.keys import digest_of

TICKET_SECONDS = 30
MAX_TICKETS = 100  # of one account that were not used yet

ISSUE = """
INSERT INTO socket_tickets (digest, owner_id, api_key_id, session_key, proof, expires_at)
SELECT %(digest)s, %(owner)s, %(key)s, %(session)s, %(proof)s,
  statement_timestamp() + %(seconds)s * interval '1 second'
WHERE (SELECT count(*) FROM socket_tickets
       WHERE owner_id = %(owner)s AND expires_at > statement_timestamp()) < %(most)s
RETURNING expires_at
"""
PRUNE = "DELETE FROM socket_tickets WHERE expires_at < statement_timestamp()"


class TooManyTickets(Exception):
    """The account has many tickets that it did not use. Try again when they have expired."""


def issue_ticket(principal: Principal) -> tuple[str, datetime]:
    """Return a new ticket for an account, and until when it can be used.

    :raises TooManyTickets: the account has enough of them.
    """
    ticket = secrets.token_urlsafe(32)
    given: dict[str, Any] = {
        "digest": digest_of(ticket),
        "seconds": TICKET_SECONDS,
        "most": MAX_TICKETS,
    }
    with connection.cursor() as cursor:
        cursor.execute(ISSUE, given | principal._asdict())
        row = cursor.fetchone()
    if row is None:
        raise TooManyTickets
    return ticket, row[0]
