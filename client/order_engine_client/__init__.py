"""A client of the order execution engine: no order twice, no event missed.

It imports nothing of the engine. README.md shows how it is used.
"""

from order_engine_client.answers import (
    FINAL,
    Cancelled,
    Event,
    Order,
    Outcome,
    Preview,
    Snapshot,
)
from order_engine_client.bodies import Changes, Exit, NewOrder
from order_engine_client.client import AsyncClient
from order_engine_client.errors import EngineError, FieldError, NotNow, OutcomeUnknown, Refused
from order_engine_client.events import Events
from order_engine_client.sync import Client

__all__ = [
    "FINAL",
    "AsyncClient",
    "Cancelled",
    "Changes",
    "Client",
    "EngineError",
    "Event",
    "Events",
    "Exit",
    "FieldError",
    "NewOrder",
    "NotNow",
    "Order",
    "Outcome",
    "OutcomeUnknown",
    "Preview",
    "Refused",
    "Snapshot",
]
