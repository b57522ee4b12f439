"""The Redis list that workers take their tasks from."""

import json
from typing import Any

import redis

from orders.engine import bell


class Queue:
    """The list that workers take their tasks from."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client

    def tasks(self) -> list[str]:
        """Return the names of the tasks that wait, oldest first."""
        return [message["headers"]["task"] for message in self.messages()]

    def messages(self) -> list[Any]:
        waiting: Any = self.client.lrange(bell.QUEUE, 0, -1)
        return [json.loads(message) for message in reversed(waiting)]

    def take(self) -> None:
        self.client.delete(bell.QUEUE)
