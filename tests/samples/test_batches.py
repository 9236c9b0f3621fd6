"""Batches of every size around those in which the embedded engine receives them."""

import pytest

from db.queries import Pool


@pytest.mark.parametrize("received_bytes", [8192, 16384])
async def test_a_batch_is_answered_wherever_its_messages_end(
    pool: Pool, received_bytes: int
) -> None:
    async with pool.connection() as connection:
        for size in range(received_bytes - 120, received_bytes + 8):
            cursor = await connection.execute("SELECT length(%s::text)", ["x" * size])
            assert await cursor.fetchone() == (size,)
