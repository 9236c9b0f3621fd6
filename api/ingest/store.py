"""What the routes of all protocols have in common: their times, and their way into the store."""

from dataclasses import dataclass
from datetime import timedelta

from litestar.openapi.spec import OpenAPIMediaType, Operation, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType

from api.ingest.intake import Fault, Intake, Window
from api.ingest.limits import NEW_SERIES_A_MINUTE_MAX
from api.ingest.scope import restrict
from api.parts import Parts
from db.series import SERIES_MAX
from db.writer import Stored
from vigia.model import Principal, Role, utc_now

NEW_SERIES = Fault(
    "new_series",
    f"a new series beyond the limits: {SERIES_MAX} in all, "
    f"{NEW_SERIES_A_MINUTE_MAX} a minute of one key",
)


async def window(parts: Parts) -> Window:
    """Return the times in which samples are accepted."""
    keep = timedelta(days=parts.config().retention.raw_days)
    horizon = parts.receivers.horizon
    if not parts.is_away():
        await horizon.ask(parts.own_pool, utc_now())
    return horizon.window(keep, utc_now())


async def store(parts: Parts, intake: Intake, principal: Principal, protocol: str) -> Stored:
    """Store what can be stored, and return when it is safe; the rest is told in the intake."""
    receivers = parts.receivers
    restrict(intake, principal, parts.config().measured)
    load, stored = intake.load(), Stored(0, 0)
    if load.samples:
        room = None if principal.role is Role.ADMIN else receivers.newcomers.room(principal.name)
        stored = await parts.write(load, room)
        receivers.newcomers.count(principal.name, stored.series)
        intake.reject(NEW_SERIES, stored.refused.samples)
        if stored.refused.samples:
            await receivers.newcomers.pause(principal.name)
    receivers.count(protocol, intake, load.samples - stored.refused.samples)
    return stored


def operation_with_body(*media_types: str) -> type[Operation]:
    """Describe in OpenAPI a body that a handler reads by itself."""

    @dataclass
    class WithBody(Operation):
        def __post_init__(self) -> None:
            body = OpenAPIMediaType(
                schema=Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)
            )
            self.request_body = RequestBody(dict.fromkeys(media_types, body), required=True)

    return WithBody
