"""A backup is not begun where the disk has too little room for it."""

from pathlib import Path

import pytest

from db.backup import making
from db.engine import Engine
from db.pool import DatabasePool
from model.errors import UnavailableError
from runtime.settings import Settings
from tests.db.backup.conftest import back_up

MORE_THAN_ANY_DISK = 1 << 60


async def test_where_too_little_room_is_free_nothing_is_written_and_the_need_is_said(
    pool: DatabasePool,
    engine: Engine,
    source: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with pool.connection() as connection:
        assert await (await connection.execute("SELECT count(*) FROM series")).fetchone() == (0,)
    monkeypatch.setattr(making, "FREE_BYTES_MIN", MORE_THAN_ANY_DISK)
    folder = tmp_path / "backups"
    with pytest.raises(UnavailableError, match=r"needs about \d+ MB in .*, but \d+ MB are free"):
        await back_up(engine, source, folder, tmp_path / "spool")

    assert [path.name for path in folder.iterdir()] == ["lock"]
