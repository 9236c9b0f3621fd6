"""Stores schedules, their overrides and their recorded shifts."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import psycopg
from msgspec import Meta, Struct, structs, to_builtins
from psycopg.types.json import Jsonb

from db import queries
from db.queries import Connection
from model.errors import ConflictError
from model.text import Name, Text
from notifications.contacts import contact_store
from notifications.oncall.rotation import Rotation
from notifications.oncall.schedule import (
    LAYERS_MAX,
    Override,
    Schedule,
    Shift,
    Temporary,
    names_in,
)
from notifications.oncall.wall_clock import ZoneName, zone_of

_QUERIES = queries.load(__file__)
COUNT = _QUERIES["count"]
INSERT = _QUERIES["insert"]
UPDATE = _QUERIES["update"]
DELETE = _QUERIES["delete"]
LOCK = _QUERIES["lock"]
NAMES = _QUERIES["names"]
READ = _QUERIES["read"]
RECORD = _QUERIES["record"]
SET_RECORDED_UNTIL = _QUERIES["set_recorded_until"]
ADD_OVERRIDE = _QUERIES["add_override"]
DELETE_OVERRIDE = _QUERIES["delete_override"]

ID_MAX = 2**63 - 1
SCHEDULES_MAX = 500
"""Each minute the shifts of all schedules are recorded."""
TEMPORARY_MAX = 50
OVERRIDES_MAX = 500
"""The most overrides of one schedule that have not ended."""
RECORDED_MAX = 10_000
NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class ScheduleTerms(Struct, frozen=True, kw_only=True):
    """The settings of a schedule. Overrides are added separately."""

    name: Name
    title: Text = ""
    tz: ZoneName = "UTC"
    layers: Annotated[Sequence[Rotation], Meta(max_length=LAYERS_MAX)] = ()
    temporary: Annotated[Sequence[Temporary], Meta(max_length=TEMPORARY_MAX)] = ()

    def __post_init__(self) -> None:
        """Refuse an unknown time zone."""
        zone_of(self.tz)


class StoredOverride(Override, frozen=True, kw_only=True):
    """An override with its number and its author."""

    id: int
    created_at: datetime
    created_by: str


class StoredSchedule(ScheduleTerms, frozen=True, kw_only=True):
    """A schedule as it is stored, with the overrides that have not ended."""

    id: int
    overrides: Sequence[StoredOverride]
    recorded_until: datetime
    has_calendar: bool
    """Whether a calendar can read it by a token instead of a key."""
    updated_at: datetime
    updated_by: str


class _Row(StoredSchedule, frozen=True, kw_only=True):
    recorded: Sequence[Shift]

    def shown(self) -> StoredSchedule:
        names = StoredSchedule.__struct_fields__
        return StoredSchedule(**{name: getattr(self, name) for name in names})

    def schedule(self) -> Schedule:
        given = {name: getattr(self, name) for name in Schedule.__struct_fields__}
        return Schedule(**given)


async def insert(connection: Connection, terms: ScheduleTerms, now: datetime, actor: str) -> None:
    """Store a new schedule.

    Raises InvalidError if a person does not exist, and ConflictError if the name is taken or there
    are too many schedules.
    """
    if await queries.value(connection, COUNT) >= SCHEDULES_MAX:
        raise ConflictError(f"there are already {SCHEDULES_MAX} schedules; delete one first")
    await _require_people(connection, terms, now)
    try:
        await queries.run(connection, INSERT, **_parameters(terms), now=now, actor=actor)
    except psycopg.errors.UniqueViolation:
        raise ConflictError(
            f"a schedule named {terms.name!r} already exists; choose another name"
        ) from None


async def update(connection: Connection, terms: ScheduleTerms, now: datetime, actor: str) -> None:
    """Replace a schedule, except for its overrides.

    Raises InvalidError if a person does not exist.
    """
    await _require_people(connection, terms, now)
    await queries.run(connection, UPDATE, **_parameters(terms), now=now, actor=actor)


async def delete(connection: Connection, name: str) -> None:
    """Delete a schedule and its recorded shifts."""
    await queries.run(connection, DELETE, name=name)


async def read_all(
    connection: Connection, after: int = 0, limit: int | None = None
) -> list[StoredSchedule]:
    """Return schedules in the order of their creation, from after a number."""
    rows = await _rows(connection, None, NEVER, NEVER, after=after, limit=limit)
    return [row.shown() for row in rows]


async def read(connection: Connection, name: str) -> StoredSchedule | None:
    """Return the schedule with a name, or None."""
    rows = await _rows(connection, name, NEVER, NEVER)
    return rows[0].shown() if rows else None


async def load(
    connection: Connection, name: str, start: datetime, end: datetime
) -> Schedule | None:
    """Return a schedule with all data that decides who is on call from `start` to `end`."""
    rows = await _rows(connection, name, start, end)
    return rows[0].schedule() if rows else None


async def load_all(
    connection: Connection,
    start: datetime,
    end: datetime,
    after: int = 0,
    limit: int | None = None,
    shifts: int = RECORDED_MAX,
) -> list[tuple[int, Schedule]]:
    """Return schedules with their numbers, loaded as by `load`.

    Each has at most `shifts` recorded shifts of the range, the earliest ones.
    """
    rows = await _rows(connection, None, start, end, after=after, limit=limit, shifts=shifts)
    return [(row.id, row.schedule()) for row in rows]


async def names(connection: Connection) -> list[str]:
    """Return the names of all schedules."""
    cursor = await connection.execute(NAMES)
    return [name for (name,) in await cursor.fetchall()]


async def naming(connection: Connection, person: str, now: datetime) -> list[str]:
    """Return the schedules that name a person, except in shifts and overrides that have ended."""
    found = await load_all(connection, now, now)
    return [schedule.name for _, schedule in found if person in names_in(schedule, now)]


async def lock(connection: Connection, name: str) -> int | None:
    """Lock a schedule until the transaction ends, and return its number. None: no such schedule."""
    number: int | None = await queries.value(connection, LOCK, name=name)
    return number


async def record(
    connection: Connection, number: int, shifts: Sequence[Shift], until: datetime
) -> None:
    """Store shifts that follow the recorded ones, up to a time."""
    await queries.run(
        connection,
        RECORD,
        id=number,
        starts=[shift.starts_at for shift in shifts],
        ends=[shift.ends_at for shift in shifts],
        people=[",".join(shift.people) for shift in shifts],
    )
    await queries.run(connection, SET_RECORDED_UNTIL, id=number, now=until)


async def add_override(
    connection: Connection, name: str, override: Override, now: datetime, actor: str
) -> StoredOverride:
    """Store an override. Raises InvalidError if a person does not exist.

    The schedule must exist.
    """
    people = [person for person in (override.in_, override.out) if person]
    await contact_store.require(connection, people)
    number: int = await queries.value(
        connection,
        ADD_OVERRIDE,
        name=name,
        starts_at=override.starts_at,
        ends_at=override.ends_at,
        in_person=override.in_,
        out_person=override.out,
        is_everyone=override.everyone,
        now=now,
        actor=actor,
    )
    return StoredOverride(**structs.asdict(override), id=number, created_at=now, created_by=actor)


async def delete_override(connection: Connection, name: str, number: int) -> bool:
    """Delete an override that has not ended. False: there is none."""
    deleted = await queries.run(connection, DELETE_OVERRIDE, name=name, id=min(number, ID_MAX))
    return deleted == 1


async def _rows(
    connection: Connection,
    name: str | None,
    start: datetime,
    end: datetime,
    *,
    after: int = 0,
    limit: int | None = None,
    shifts: int = RECORDED_MAX,
) -> list[_Row]:
    return await queries.rows(
        connection, _Row, READ, name=name, start=start, end=end, after=after, limit=limit,
        shifts=shifts,
    )  # fmt: skip


async def _require_people(connection: Connection, terms: ScheduleTerms, now: datetime) -> None:
    given = {name: value for name, value in structs.asdict(terms).items() if name in TERMS}
    await contact_store.require(connection, names_in(Schedule(**given), now))


TERMS = ScheduleTerms.__struct_fields__


def _parameters(terms: ScheduleTerms) -> dict[str, Any]:
    return {
        "name": terms.name,
        "title": terms.title,
        "tz": terms.tz,
        "layers": Jsonb(to_builtins(terms.layers)),
        "temporary": Jsonb(to_builtins(terms.temporary)),
    }
