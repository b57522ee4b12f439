import sys

from django.apps import AppConfig

ACCOUNT_COMMANDS = ("createsuperuser", "changepassword")


class OrdersConfig(AppConfig):
    name = "orders"

    def ready(self) -> None:
        """Log those commands of Django that touch accounts."""
        if sys.argv[1:2] and sys.argv[1] in ACCOUNT_COMMANDS:
            from django.db.models.signals import post_save

            from orders.access.account_log import tell_of_command

            post_save.connect(tell_of_command, sender="auth.User")
