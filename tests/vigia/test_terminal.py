"""What every command shares."""

import pytest

from db.queries import Pool
from vigia import terminal


async def test_times_are_told_in_utc_whatever_the_zone_of_the_server(
    pool: Pool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIGIA_DATABASE_URL", database_url)
    async with pool.connection() as connection:
        database = connection.info.dbname
        await connection.execute(f"ALTER DATABASE {database} SET timezone TO 'Asia/Tokyo'".encode())
        try:
            async with terminal.database() as own:
                cursor = await own.execute("SHOW timezone")
                assert await cursor.fetchone() == ("UTC",)
        finally:
            await connection.execute(f"ALTER DATABASE {database} RESET timezone".encode())
