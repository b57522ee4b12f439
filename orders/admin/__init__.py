"""The lists of operators, each in a file of its own. Django imports them from here."""

from orders.admin.accounts import AccountAdmin
from orders.admin.heartbeats import HeartbeatAdmin
from orders.admin.keys import ApiKeyAdmin
from orders.admin.orders import OrderAdmin
from orders.admin.trading_state import TradingStateAdmin
from orders.admin.transactions import TransactionAdmin

__all__ = (
    "AccountAdmin",
    "ApiKeyAdmin",
    "HeartbeatAdmin",
    "OrderAdmin",
    "TradingStateAdmin",
    "TransactionAdmin",
)
