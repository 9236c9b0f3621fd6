"""The real service, loaded, killed and audited, for as long as it takes to see what only grows."""

import json
import sys
from asyncio import create_subprocess_exec
from asyncio.subprocess import PIPE

import pytest

from tests.system.conftest import NATIVE_URL


@pytest.mark.long
@pytest.mark.timeout(2400)
@pytest.mark.skipif(bool(NATIVE_URL), reason="It weighs the data directory of the embedded engine.")
async def test_the_data_directory_stays_small_and_whole_in_25_minutes_of_late_samples(
    environment: dict[str, str],
) -> None:
    process = await create_subprocess_exec(
        sys.executable, "-m", "bench.soak", "1500", env=environment, stdout=PIPE
    )
    out, _ = await process.communicate()

    found = json.loads(out.decode().splitlines()[-1])
    assert found["data_mib_max"] < 150, found
    assert found["stored"] >= found["acknowledged"] > 200_000, found
    assert (found["differing_1m"], found["differing_5m"]) == (0, 0), found
