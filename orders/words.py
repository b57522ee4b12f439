"""The words in which orders are described: types, times in force, phases, reasons."""

from enum import StrEnum


class OrderType(StrEnum):
    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    STOP_LIMIT = "stopLimit"
    TAKE_PROFIT = "takeProfit"
    TRAILING_STOP = "trailingStop"
    TWAP = "twap"
    SNIPER = "sniper"


class TimeInForce(StrEnum):
    GTC = "gtc"
    GTD = "gtd"
    IOC = "ioc"
    FOK = "fok"


class TriggerBy(StrEnum):
    EXECUTABLE = "executable"
    REFERENCE = "reference"


class Phase(StrEnum):
    """What an order in `open` does."""

    WAITING = "waiting"
    UNARMED = "unarmed"
    LIMIT = "limit"
    LATCHED = "latched"
    HELD = "held"
    SLICING = "slicing"


class EndReason(StrEnum):
    """Why an order was cancelled or expired."""

    USER = "user"
    CANCEL_ALL = "cancel_all"
    OPERATOR = "operator"
    SIBLING_FILLED = "sibling_filled"
    GROUP_CANCELLED = "group_cancelled"
    REPLACED = "replaced"
    GTD = "gtd"
    NOT_MARKETABLE = "not_marketable"
    QUEUE_DEADLINE = "queue_deadline"
    MAX_AGE = "max_age"
    TWAP_INCOMPLETE = "twap_incomplete"
