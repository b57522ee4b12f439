"""The two servers of a run: which of them are our own, how they start, and where they are."""

import os
from pathlib import Path

from config.environment.data_folder import (
    database_url,
    redis_url,
    secret_key,
    without_libpq_variables,
)
from config.environment.listening import is_only_local
from config.environment.values import truth
from config.environment.variables import WARNED, read_environment
from config.stack import postgres, redis
from config.stack.supervisor import Supervisor

READY_SECONDS = 60.0  # PostgreSQL may have to replay a log, Redis to read a file


def uses_embedded_postgres() -> bool:
    return read_environment().DATABASE_URL is None


def uses_embedded_redis() -> bool:
    return read_environment().REDIS_URL is None


def engine_environment(data_dir: Path) -> dict[str, str]:
    """Return the environment in which the engine finds its servers."""
    environment = dict(os.environ)
    environment.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    environment["ENGINE_DATA_DIR"] = str(data_dir)
    environment["PYTHONUNBUFFERED"] = "1"
    environment[WARNED] = "1"
    # Our installation compiles nothing: the first import does, and has to keep the result.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    if uses_embedded_redis():
        environment["REDIS_URL"] = redis_url(data_dir)
    if uses_embedded_postgres():
        environment = without_libpq_variables(environment)
        environment["DATABASE_URL"] = database_url(data_dir)
        environment["SECRET_KEY"] = environment.get("SECRET_KEY") or secret_key(data_dir)
    return environment


def welcome_everybody(environment: dict[str, str]) -> None:
    """Open a local engine of our own: orders without an account, and a demo login."""
    if uses_embedded_postgres() and is_only_local() and not read_environment().SOLANA_LIVE:
        environment.setdefault("DEMO_LOGIN", "1")
        environment.setdefault("ALLOW_ANONYMOUS_ORDERS", "1")


def has_demo_login(environment: dict[str, str]) -> bool:
    is_wanted = bool(truth().read(environment.get("DEMO_LOGIN", "0")))
    return is_wanted and is_only_local() and not read_environment().SOLANA_LIVE


def start_servers(supervisor: Supervisor, data_dir: Path, lock: int, *, durable: bool) -> None:
    """Start our own server for each URL that the environment lacks, and wait for the answers.

    :raises EmbeddedError: a server cannot be started here.
    :raises NotReadyError: a server ended or took too long.
    """
    if uses_embedded_redis():
        store = redis.redis(data_dir, durable=durable, lock=lock)
        supervisor.start(store)
    if uses_embedded_postgres():
        database = postgres.postgres(data_dir, durable=durable, lock=lock)
        supervisor.start(database)
        supervisor.wait_until(
            lambda: postgres.is_ready(data_dir, database), database, READY_SECONDS
        )
    if uses_embedded_redis():
        supervisor.wait_until(lambda: redis.is_ready(data_dir), store, READY_SECONDS)
