"""What the tests of single parts share."""

from collections.abc import AsyncIterator

import pytest

from app.adapters.postgres import Database
from tests.support.pipeline import database


@pytest.fixture
async def opened(database_url: str) -> AsyncIterator[Database]:
    """The test's own database, as the service opens it."""
    async with database(database_url) as opened:
        yield opened
