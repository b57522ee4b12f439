"""The lists of operators, each in a file of its own. Django imports them from here."""

from orders.admin.orders import OrderAdmin
from orders.admin.transactions import TransactionAdmin

__all__ = ("OrderAdmin", "TransactionAdmin")
