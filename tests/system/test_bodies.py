"""What bodies of requests take of the memory of the real program."""

import asyncio
import io
import time
from asyncio.subprocess import DEVNULL

from tests.api.ingest.memory import little_memory
from tests.api.ingest.remote import HEADERS, part, sample, snappy
from tests.system.conftest import Program

DECODED_BYTES = 30_000_000
GROWTH_BYTES_MAX = 50 << 20
"""One decoded body, those that arrive meanwhile, and what each connection has read ahead."""


async def send(program: Program, body: bytes) -> int:
    data = io.BytesIO(body)
    async with program.http.post("/api/v1/write", data=data, headers=HEADERS) as answer:
        return answer.status


async def test_twenty_large_bodies_at_once_take_the_memory_of_one(program: Program) -> None:
    program.environment["VIGIA_ROLES"] = "api"
    program.output = DEVNULL
    await program.start()
    assert program.process is not None
    reported = sample(1.5, time.time_ns() // 1_000_000)
    name = part(1, part(1, "__name__") + part(2, "m"))
    long = part(1, part(1, "a") + part(2, b"b" * DECODED_BYTES))
    assert await send(program, snappy(part(1, name + reported))) == 204
    body = snappy(part(1, name + long + reported))
    assert len(body) < DECODED_BYTES / 20

    with little_memory(GROWTH_BYTES_MAX, program.process.pid):
        statuses = await asyncio.gather(*(send(program, body) for _ in range(20)))

    # 503 is for who waited too long behind the others.
    assert {204} <= set(statuses) <= {204, 503}
