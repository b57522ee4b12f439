from collections.abc import Iterator

import pytest
import redis
from pytest_django.fixtures import Settings

from config.runtime.rate import Rate
from orders.logins.attempts import attempts


@pytest.fixture(autouse=True)
def fresh(transactional_db: None, redis_client: redis.Redis, settings: Settings) -> Iterator[None]:
    """Nobody has tried to log in before, and the limit is the default."""
    settings.LOGIN_RATE_LIMIT = Rate(10, 60)
    attempts.cache_clear()
    yield
    attempts.cache_clear()
