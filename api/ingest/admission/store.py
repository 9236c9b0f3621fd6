"""The steps common to all ingest routes: accepted times, storing, and the delay of a flood."""

from dataclasses import dataclass
from datetime import timedelta

from litestar.openapi.spec import OpenAPIMediaType, Operation, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType

from api.http.context import AppContext
from api.ingest.admission.key_scope import restrict
from api.ingest.admission.parsed_write import AcceptedTimes, Fault, ParsedWrite
from model.limits import NEW_SERIES_A_MINUTE_MAX
from model.principal import Principal, Role, holder_of
from model.times import utc_now
from samples.series import SERIES_MAX
from samples.write_batch import Stored

NEW_SERIES = Fault(
    "new_series",
    f"a new series exceeds a limit: {SERIES_MAX:,} in all, or "
    f"{NEW_SERIES_A_MINUTE_MAX:,} a minute for one key",
)


async def accepted_times(context: AppContext) -> AcceptedTimes:
    """Return the times for which samples are accepted."""
    keep = timedelta(days=context.config().retention.raw_days)
    cache = context.receivers.accepted_times
    if not context.is_away():
        await cache.ask(context.own_pool, utc_now())
    return cache.range(keep, utc_now())


async def store(
    context: AppContext, parsed: ParsedWrite, principal: Principal, protocol: str
) -> Stored:
    """Store the samples, and delay a key that exceeds its quota of new series.

    Returns when the samples are stored or spooled; `parsed` then also counts refused new series.
    Raises UnavailableError if neither is possible.
    """
    stored = await store_now(context, parsed, principal, protocol)
    await hold_up(context, principal, stored)
    return stored


async def store_now(
    context: AppContext, parsed: ParsedWrite, principal: Principal, protocol: str
) -> Stored:
    """Store like `store`, but without the delay; the caller awaits `hold_up` after its lock."""
    receivers, key = context.receivers, holder_of(principal)
    restrict(parsed, principal, context.config().measured)
    batch, stored = parsed.write_batch(), Stored(0, 0)
    if batch.samples:
        remaining = None if principal.role is Role.ADMIN else receivers.series_quota.remaining(key)
        stored = await context.write(batch, remaining)
        if not parsed.is_import:
            await context.note_hosts(batch, stored)
        receivers.series_quota.count(key, stored.series)
        parsed.reject(NEW_SERIES, stored.refused.samples)
    receivers.count(protocol, parsed, batch.samples - stored.refused.samples)
    return stored


async def hold_up(context: AppContext, principal: Principal, stored: Stored) -> None:
    """Delay the response to a key that exceeded its quota of new series."""
    if stored.refused.samples:
        await context.receivers.series_quota.pause(holder_of(principal))


def operation_with_body(*media_types: str) -> type[Operation]:
    """Return the OpenAPI operation of a route whose handler reads the body by itself."""

    @dataclass
    class WithBody(Operation):
        def __post_init__(self) -> None:
            body = OpenAPIMediaType(
                schema=Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)
            )
            self.request_body = RequestBody(dict.fromkeys(media_types, body), required=True)

    return WithBody
