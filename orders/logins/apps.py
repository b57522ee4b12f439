"""Persons: how they log in, by what they are known again, and when their sessions end."""

from django.apps import AppConfig


class LoginsConfig(AppConfig):
    name = "orders.logins"
    label = "logins"
