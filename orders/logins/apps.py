"""The app of persons: how they log in, how we know them again, and when their sessions end."""

from django.apps import AppConfig


class LoginsConfig(AppConfig):
    name = "orders.logins"
    label = "logins"
