"""Routes that say who is on call, now or at any other time."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from msgspec import Struct

from api.http.access import ROLE
from api.http.context import AppContext
from api.http.pagination import LIMIT, Cursor, Limit, Page, page, position
from api.notifications.schedules import SCHEDULES, TAG
from api.paths import BASE
from model.errors import InvalidError, NotFoundError
from model.principal import Role
from model.times import parse_time, utc_now
from notifications.oncall import schedule_store
from notifications.oncall.schedule import SEARCH, Schedule, Shift, on_call, shifts

RECORDED_MAX = 100
"""Few recorded shifts are enough: the next change of people is all that the answer needs."""
SHIFTS_RANGE = timedelta(days=14)
SHIFTS_RANGE_MAX = timedelta(days=93)

OfSchedule = Annotated[
    str | None, QueryParameter(name="schedule", description="Only this schedule; default: all.")
]
At = Annotated[str, QueryParameter(description="The time: past, now or future.")]
Start = Annotated[str, QueryParameter(description="The start of the range.")]
End = Annotated[
    str | None, QueryParameter(description="The end of the range; default: 14 days later.")
]


class OnCallNow(Struct, frozen=True, kw_only=True):
    """The people on call of a schedule at a time, and when they change.

    `until` is null if they do not change within 400 days.
    """

    schedule: str
    title: str
    at: datetime
    people: Sequence[str]
    until: datetime | None


@get(
    f"{BASE}/oncall",
    opt={ROLE: Role.OPERATOR},
    tags=[TAG],
    summary="Who is on call in a schedule, or in each schedule",
)
async def now(
    context: NamedDependency[AppContext],
    of: OfSchedule = None,
    at: At = "now",
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> OnCallNow | Page[OnCallNow]:
    moment = parse_time(at, utc_now())
    if of is not None:
        schedule = await _load(context, of, moment, moment + SEARCH)
        return await asyncio.to_thread(_on_call, schedule, moment)
    after = position(cursor, 0)
    async with context.connect() as connection:
        found = await schedule_store.load_all(
            connection, moment, moment + SEARCH, after, limit + 1, RECORDED_MAX
        )
    numbered = page(found, limit, lambda pair: pair[0])
    items = await asyncio.to_thread(_all_on_call, [one for _, one in numbered.items], moment)
    return Page(items, numbered.cursor)


@get(
    f"{SCHEDULES}/{{name:str}}/shifts",
    opt={ROLE: Role.OPERATOR},
    tags=[TAG],
    summary="The shifts of a schedule in a range, without gaps: some have nobody",
)
async def shifts_of(
    context: NamedDependency[AppContext],
    name: FromPath[str],
    start: Start = "now",
    end: End = None,
) -> Page[Shift]:
    now_ = utc_now()
    since = parse_time(start, now_)
    until = since + SHIFTS_RANGE if end is None else parse_time(end, now_)
    if not since < until <= since + SHIFTS_RANGE_MAX:
        raise InvalidError(f"end must be after start, by up to {SHIFTS_RANGE_MAX.days} days")
    schedule = await _load(context, name, since, until)
    return Page(await asyncio.to_thread(shifts, schedule, since, until), None)


async def _load(context: AppContext, name: str, start: datetime, end: datetime) -> Schedule:
    async with context.connect() as connection:
        schedule = await schedule_store.load(connection, name, start, end)
    if schedule is None:
        raise NotFoundError(f"there is no schedule {name[:100]!r}; GET {SCHEDULES} lists them")
    return schedule


def _on_call(schedule: Schedule, at: datetime) -> OnCallNow:
    found = on_call(schedule, at)
    return OnCallNow(
        schedule=schedule.name,
        title=schedule.title,
        at=at,
        people=found.people,
        until=found.until,
    )


def _all_on_call(schedules: Sequence[Schedule], at: datetime) -> list[OnCallNow]:
    return [_on_call(schedule, at) for schedule in schedules]


ROUTES = (now, shifts_of)
