"""Keys of the real program, with a database that goes away."""

import asyncio
import time
from asyncio.subprocess import DEVNULL

import pytest

from runtime.schedule import NAP_S_MAX
from tests.proxy import proxy_of
from tests.system.conftest import BASE, NATIVE_URL, Program, run

REFUSED_S = 5.0
"""Within this time of its end a key must be refused."""


async def send(program: Program, key: str) -> int:
    headers = {"Authorization": f"Bearer {key}"}
    column = {"metric": "m", "component": "test", "times": [int(time.time())], "values": [1]}
    body = {"series": [column]}
    async with program.http.post(BASE + "/metrics", json=body, headers=headers) as response:
        return response.status


@pytest.mark.skipif(not NATIVE_URL, reason="the embedded engine has no way in between")
async def test_a_key_that_was_revoked_before_an_outage_is_refused_in_it(program: Program) -> None:
    direct = dict(program.environment)
    async with proxy_of(direct["VIGIA_DATABASE_URL"]) as proxy:
        program.environment["VIGIA_DATABASE_URL"] = proxy.url
        program.output = DEVNULL
        await program.start()
        made = {}
        for name in ("revoked", "valid"):
            code, out, err = await run(direct, "keys", "create", name, "--role", "ingest")
            assert code == 0, err
            made[name] = out.split()[-1]
            assert await send(program, made[name]) == 200
        assert (await run(direct, "keys", "revoke", "revoked"))[0] == 0
        # Nobody shows the key for as long as the promise allows.
        await asyncio.sleep(REFUSED_S + NAP_S_MAX)

        await proxy.refuse()

        assert await send(program, made["valid"]) == 202
        assert await send(program, made["revoked"]) == 503
