"""What tests of previews share."""

import pytest

from db.queries import Pool
from tests.notifications.routing.routed import Routed


@pytest.fixture
async def routed(pool: Pool) -> Routed:
    made = Routed(pool)
    await made.channel()
    return made
