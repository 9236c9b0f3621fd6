"""What the routes of other protocols have in common: their times, their way into the store."""

from dataclasses import dataclass
from datetime import timedelta

from litestar.openapi.spec import OpenAPIMediaType, Operation, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIType

from api.ingest.intake import Intake
from api.ingest.native import Window
from api.parts import Parts
from db import tiers
from db.writer import Stored
from vigia.model import Sample, time_of, utc_now

FUTURE = timedelta(minutes=10)
LATE_MARGIN = timedelta(days=2)
"""A late sample must still be there when the next maintenance rolls it up."""


async def window(parts: Parts) -> Window:
    """Return from when on samples can still be rolled up before their chunk is dropped."""
    now = utc_now()
    kept_from = now - timedelta(days=parts.config().retention.raw_days) + LATE_MARGIN
    async with parts.connect() as connection:
        accepted_from = await tiers.accepted_from(connection, now)
    return Window(max(kept_from, accepted_from or kept_from), now + FUTURE)


async def store(parts: Parts, intake: Intake) -> Stored:
    """Store what can be stored, and return when it is safe."""
    samples = [
        Sample(column.series, time_of(time), value)
        for column in intake.columns
        for time, value in zip(column.times.tolist(), column.values.tolist(), strict=True)
    ]
    stored = await parts.write(samples) if samples else Stored(0, 0)
    if intake.histograms:
        await parts.write_histograms(intake.histograms)
    return stored


def operation_with_body(*media_types: str) -> type[Operation]:
    """Describe in OpenAPI a body that a handler reads by itself."""

    @dataclass
    class WithBody(Operation):
        def __post_init__(self) -> None:
            body = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING))
            self.request_body = RequestBody(dict.fromkeys(media_types, body), required=True)

    return WithBody
