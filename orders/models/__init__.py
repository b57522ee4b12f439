"""The tables: orders and their logs, what rests, who may act, how well
orders were executed, and the engine's own."""

from orders.models.access import ApiKey, SocketTicket
from orders.models.engine import EngineMinute, Heartbeat, OrderStart, SeenOrder, TradingState
from orders.models.order import (
    BEGUN,
    ID_END,
    MAX_SLIPPAGE_BPS,
    WAITING,
    FailureCode,
    Order,
    OrderEvent,
    OrderTransaction,
    TransactionBySignature,
)
from orders.models.quality import ExecutionQuality
from orders.models.resting import OrderGroup, PriceTick, Watch
from orders.models.wallet import WalletDay, WalletReservation, WalletSighting

__all__ = [
    "BEGUN",
    "ID_END",
    "MAX_SLIPPAGE_BPS",
    "WAITING",
    "ApiKey",
    "EngineMinute",
    "ExecutionQuality",
    "FailureCode",
    "Heartbeat",
    "Order",
    "OrderEvent",
    "OrderGroup",
    "OrderStart",
    "OrderTransaction",
    "PriceTick",
    "SeenOrder",
    "SocketTicket",
    "TradingState",
    "TransactionBySignature",
    "WalletDay",
    "WalletReservation",
    "WalletSighting",
    "Watch",
]
