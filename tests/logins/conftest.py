import pytest
import redis
from pytest_django.fixtures import SettingsWrapper

from logins.attempts import attempts


@pytest.fixture(autouse=True)
def fresh(transactional_db: None, redis_client: redis.Redis, settings: SettingsWrapper) -> None:
    """Nobody has tried to log in before."""
    attempts.cache_clear()
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
