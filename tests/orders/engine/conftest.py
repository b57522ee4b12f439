"""Carriers, and orders that wait at a gate."""

from collections.abc import Iterator

import pytest
from django.conf import settings

from orders.engine import carrier as carrier_module
from tests.support.carriers import DEADLINE, Gate, Run, Running
from tests.support.stubs import ScriptedNetwork, exchange_of


@pytest.fixture
def run(
    transactional_db: None, redis_client: object, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Run]:
    running: list[Running] = []

    def start(network: ScriptedNetwork) -> Running:
        exchange = exchange_of(network)
        monkeypatch.setattr(carrier_module, "exchange", lambda: exchange)
        running.append(Running(network))
        return running[-1]

    monkeypatch.setattr(settings, "STATUS_POLL_SECONDS", 0.01)
    monkeypatch.setattr(settings, "RETRY_BACKOFF", 0.02)
    yield start
    for one in running:
        one.close()


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()


@pytest.fixture
def lingering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "LINGER_SECONDS", 10 * DEADLINE)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for a clock longer than it must."""
    monkeypatch.setattr(settings, "RETRY_BACKOFF", 0.02)
    monkeypatch.setattr(settings, "STATUS_POLL_SECONDS", 0.01)
    monkeypatch.setattr(settings, "RESEND_SECONDS", 0.05)
