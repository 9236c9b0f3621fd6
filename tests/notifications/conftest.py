"""What tests of notifications share: a provider on loopback, the way to it, and a dispatcher."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from db.queries import Pool
from runtime.encryption.secret_keys import SecretKeys
from runtime.network.egress import Egress, open_egress
from tests.notifications.outbox.telling import Telling
from tests.notifications.provider import Provider, open_provider

KEYS = SecretKeys(["a" * 32])


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with open_provider() as opened:
        yield opened


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    async with open_egress(["127.0.0.0/8"]) as opened:
        yield opened


@pytest.fixture
async def telling(pool: Pool, egress: Egress, provider: Provider) -> AsyncIterator[Any]:
    told = Telling(pool, egress, provider, KEYS)
    yield told
    await told.stop()
