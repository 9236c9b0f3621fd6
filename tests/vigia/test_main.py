"""A failing part stops the whole service in order."""

import asyncio
import socket
from pathlib import Path

import pytest

from runtime.settings import Secret, Settings
from tests.system.conftest import free_port
from vigia.main import run_services
from vigia.service import open_unprepared


async def test_a_server_that_fails_ends_a_start_that_waits_for_its_database(
    tmp_path: Path,
) -> None:
    nobody = Secret(f"postgresql://u:p@127.0.0.1:{free_port()}/none")
    settings = Settings(data_dir=tmp_path, database_url=nobody)
    # No connection can be accepted on it.
    datagrams = socket.socket(type=socket.SOCK_DGRAM)
    async with open_unprepared(settings) as service:
        with datagrams, pytest.raises(ExceptionGroup) as caught:
            async with asyncio.timeout(5):
                await run_services(service, datagrams, asyncio.Event(), asyncio.Event())

    [failure] = caught.value.exceptions
    assert isinstance(failure, ValueError)
    assert "Stream Socket" in str(failure)
