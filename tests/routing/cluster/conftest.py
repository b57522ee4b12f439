from collections.abc import AsyncIterator

import pytest_asyncio

from tests.support.local_cluster import Client, local_cluster


@pytest_asyncio.fixture
async def node() -> AsyncIterator[Client]:
    """A new cluster of its own, and a client of its first node."""
    async with local_cluster() as client:
        await client.advance(2)
        yield client
