"""What a web process does when it starts, and before it ends (ASGI's lifespan)."""

import asyncio
import logging
import os
from typing import Any

import psycopg
from django.db import DatabaseError, InterfaceError

from config.database.conninfo import conninfo
from config.environment.first_cause import CannotStart
from config.environment.fitness import check_fitness
from config.http.door import raise_limit
from config.runtime import garbage_collector
from config.runtime.per_loop import close_all
from config.runtime.sentences import WRONG, say
from orders.engine.journal import journal_of_this_loop
from orders.monitoring import health
from orders.streams.resync import streams_of_this_loop
from routing.registry import read_again

logger = logging.getLogger(__name__)


async def warm_up() -> None:
    """Open the connections that the first order would wait for, and read what is traded.

    A database that is away is no error: the process waits for it.
    """
    try:
        await read_again()
        await streams_of_this_loop().connect()
        await journal_of_this_loop().connect()
    except (psycopg.Error, DatabaseError, InterfaceError) as error:
        logger.warning("the database does not answer yet: %s", error)


async def end_if_unfit() -> None:
    """End this process with a sentence if the database will never serve it.

    It ends at once, because nothing has begun. Otherwise uvicorn would print a second sentence and
    end with its own code.
    """
    try:
        await check_fitness(conninfo())
    except CannotStart as error:
        say(str(error))
        os._exit(WRONG)


async def lifespan(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Beat while the server runs, and close its connections when it stops (ASGI's lifespan)."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await end_if_unfit()
            raise_limit()
            await warm_up()
            await asyncio.to_thread(health.known_migrations)
            garbage_collector.tune()
            health.keep_turning("the event loop")
            health.keep_beating("web")
            await send({"type": "lifespan.startup.complete"})
        if message["type"] == "lifespan.shutdown":
            health.stop_beating()
            await close_all()
            await send({"type": "lifespan.shutdown.complete"})
            return
