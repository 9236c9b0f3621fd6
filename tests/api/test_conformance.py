"""The service conforms to its OpenAPI document: requests are generated from it."""

import asyncio
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path
from typing import Any

import pytest

from api.accounts import throttle
from tests.api.conftest import ADMIN_KEY

ROOT = Path(__file__).parents[2]


async def check(service: Any, folder: Path, *options: str) -> None:
    command = [
        str(Path(sys.executable).with_name("st")),
        "--config-file", str(ROOT / "schemathesis.toml"), "run",
        f"{service.url}/api/v1/openapi.json", "--checks", "all", "--seed", "1", "--no-color",
        "--header", f"Authorization: Bearer {ADMIN_KEY}", *options,
    ]  # fmt: skip
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, stdout=PIPE, stderr=STDOUT)
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()[-5000:]
    assert b" passed" in out


async def test_generated_requests_are_answered_as_described(
    service: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each operation is also requested without a valid key, a hundred requests in all.
    monkeypatch.setattr(throttle, "DELAY_S", 0.01)
    await check(service, tmp_path, "--phases", "fuzzing", "--max-examples", "1")


@pytest.mark.long
@pytest.mark.timeout(1200)
async def test_many_generated_requests_are_answered_as_described(
    service: Any, tmp_path: Path
) -> None:
    await check(service, tmp_path, "--max-examples", "30")
