"""Where the operators' pages are."""

from urllib.parse import urlencode

from django.urls import reverse


def orders_url(**filters: str) -> str:
    """Return the address of the list of orders with these filters."""
    return f"{reverse('admin:orders_order_changelist')}?{urlencode(filters)}"
