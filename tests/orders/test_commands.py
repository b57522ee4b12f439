"""The commands read their arguments as the API reads an order. More in tests/test_clients.py."""

import io
import json
from datetime import UTC, datetime

import pytest
from asgiref.sync import sync_to_async
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import override_settings

from config.rate import Rate
from orders.lifecycle import Status
from orders.management.commands.status import lines
from orders.standing import Standing, standing
from tests.orders.client import count_stored, get, submit
from tests.orders.walker import Walker, confirm


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (("sell", "-1", "SOL/USDC"), "amount"),
        (("sell", "x", "SOL/USDC"), "amount"),
        (("sell", "0", "SOL/USDC", "--in"), "amountIn"),
        (("buy", "1", "SOL/USDC"), "amount"),
        (("buy", "0", "SOL/USDC", "--out"), "amountOut"),
        (("hold", "1", "SOL/USDC"), "side"),
        (("sell", "1", "SOL"), "quoteToken"),
        (("sell", "1", "SOL/WSOL"), "baseToken"),
        (("sell", "1", "SOL/USDC", "--slippage-bps", "5001"), "slippageBps"),
        (("sell", "0.0000000001", "SOL/USDC"), "amount"),
        (("sell", "1", "SOL/USDC", "--venue", "orca"), "venues"),
        (("sell", "1", "SOL/USDC", "--exclude-venue", "orca"), "excludeVenues"),
        (("sell", "1", "SOL/USDC", "--venue=raydium", "--exclude-venue=raydium"), "excludeVenues"),
        (("sell", "1", "SOL/USDC", "--max-price-impact-bps", "10001"), "maxPriceImpactBps"),
    ],
)
@pytest.mark.usefixtures("transactional_db")
def test_bad_input_is_named_and_nothing_is_stored(arguments: tuple[str, ...], field: str) -> None:
    written = io.StringIO()
    with pytest.raises(CommandError, match=field) as refused:
        call_command("place_order", *arguments, "--json", stdout=written)
    assert refused.value.returncode == 2
    problem = json.loads(written.getvalue())
    assert (problem["error"], problem["errors"][0]["field"]) == ("invalid_order", field)
    assert count_stored() == 0


@pytest.mark.usefixtures("engine_loop")
async def test_the_standing_counts_what_waits_and_what_was_begun() -> None:
    waiting, begun, _ = await submit(), await submit(), await confirm(await submit())
    await Walker(begun).walk(Status.ROUTING)
    found = await sync_to_async(standing_now)()
    assert (found.waiting, found.in_flight) == (1, 1)
    assert found.oldest_waiting is not None
    created_at = (await get(f"/api/orders/{waiting}")).json["createdAt"]
    age = (datetime.now(UTC) - datetime.fromisoformat(created_at)).total_seconds()
    assert 0 <= found.oldest_waiting <= age
    counts = {status: count for status, count in found.last_hour.items() if count}
    assert counts == {"pending": 1, "routing": 1, "confirmed": 1}
    assert "waiting     1, the oldest for" in "\n".join(lines(found))


@pytest.mark.usefixtures("engine_loop")
async def test_the_standing_tells_what_is_left_of_the_budget() -> None:
    with override_settings(ORDER_RATE_LIMIT=Rate.parse("5/m")):
        for _ in range(3):
            await Walker(await submit()).walk(Status.ROUTING)
        found = await sync_to_async(standing_now)()
        assert found.budget == 2
        assert "budget      2 of 5 starts left in 60 s" in lines(found)


def standing_now() -> Standing:
    try:
        return standing()
    finally:
        connection.close()


@pytest.mark.usefixtures("transactional_db")
def test_a_part_that_does_not_answer_is_told_and_makes_the_command_fail() -> None:
    written = io.StringIO()
    with pytest.raises(CommandError, match="worker down") as degraded:
        call_command("status", stdout=written)
    assert degraded.value.returncode == 1
    assert "health      degraded (database ok, redis ok, worker down)" in written.getvalue()
