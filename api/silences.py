"""Silences: alerts of which nobody wants to be told for a while."""

from datetime import datetime, timedelta
from typing import Annotated

import msgspec
from litestar import delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import UNSET, Meta, Struct

from api.door import ROLE
from api.errors import documented
from api.lists import LIMIT, Cursor, Limit, Page, page, position
from api.parts import KnownRequest, Parts
from api.probes import BASE
from api.quiet import changing, tell
from api.read_only import ReadOnly
from api.times import Length, Moment, parse_duration, parse_time
from db import silences
from db.alerts import ID_MAX
from db.holds import Matcher
from db.queries import Connection
from db.silences import Silence, Terms
from vigia.model import ConflictError, InvalidError, Lines, NotFoundError, Role, utc_now

SILENCES = f"{BASE}/alerts/silences"
ENDED = {409: documented("The silence has ended.")}

OnlyActive = Annotated[bool, QueryParameter(description="Only those that hold now.")]


class Draft(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is silenced and why, from `starts_at` (now), until `ends_at` or for `duration`.

    What GET says of a silence besides may be given back.
    """

    matcher: Matcher
    comment: Annotated[Lines, Meta(min_length=1)]
    starts_at: Moment | None = None
    ends_at: Moment | None = None
    duration: Length | None = None
    id: ReadOnly = UNSET
    state: ReadOnly = UNSET
    created_at: ReadOnly = UNSET
    created_by: ReadOnly = UNSET
    updated_at: ReadOnly = UNSET
    updated_by: ReadOnly = UNSET


@get(SILENCES, tags=["silences"], summary="Silences, newest first")
async def every(
    parts: NamedDependency[Parts],
    active: OnlyActive = False,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> Page[Silence]:
    before = position(cursor, ID_MAX)
    async with parts.connect() as connection:
        found = await silences.read(
            connection, utc_now(), active=active, before=before, limit=limit + 1
        )
    return page(found, limit, lambda silence: silence.id)


@get(f"{SILENCES}/{{silence_id:int}}", tags=["silences"], summary="One silence")
async def one(parts: NamedDependency[Parts], silence_id: FromPath[int]) -> Silence:
    async with parts.connect() as connection:
        return await _read(connection, silence_id, utc_now())


@post(SILENCES, opt={ROLE: Role.OPERATOR}, tags=["silences"], summary="Silence some alerts")
async def create(
    request: KnownRequest, parts: NamedDependency[Parts], data: JSONBody[Draft]
) -> Silence:
    actor = request.user.name
    async with changing(parts, actor) as (connection, now):
        terms = _terms(data, now, now)
        number = await silences.insert(connection, terms, now, actor)
        await tell(connection, now, actor, f"silence {number} made: {_words(terms)}")
        return await _read(connection, number, now)


@put(
    f"{SILENCES}/{{silence_id:int}}",
    opt={ROLE: Role.OPERATOR},
    responses=ENDED,
    tags=["silences"],
    summary="Replace a silence that has not ended",
)
async def replace(
    request: KnownRequest,
    parts: NamedDependency[Parts],
    silence_id: FromPath[int],
    data: JSONBody[Draft],
) -> Silence:
    """Without `starts_at` it begins when it did; `duration` counts from its beginning."""
    actor = request.user.name
    async with changing(parts, actor) as (connection, now):
        before = await _read(connection, silence_id, now)
        terms = _terms(data, now, before.starts_at)
        if not await silences.update(connection, silence_id, terms, now, actor):
            raise _ended(before)
        await tell(connection, now, actor, f"silence {silence_id} changed: {_words(terms)}")
        return await _read(connection, silence_id, now)


@delete(
    f"{SILENCES}/{{silence_id:int}}",
    opt={ROLE: Role.OPERATOR},
    responses=ENDED,
    tags=["silences"],
    summary="End a silence now; it stays in the list",
)
async def finish(
    request: KnownRequest, parts: NamedDependency[Parts], silence_id: FromPath[int]
) -> None:
    actor = request.user.name
    async with changing(parts, actor) as (connection, now):
        before = await _read(connection, silence_id, now)
        if not await silences.finish(connection, silence_id, now, actor):
            raise _ended(before)
        await tell(connection, now, actor, f"silence {silence_id} ended")


def _terms(draft: Draft, now: datetime, begin: datetime) -> Terms:
    if draft.matcher == Matcher():
        raise InvalidError("matcher: name at least one of rule, component, category, level, labels")
    start = begin if draft.starts_at is None else parse_time(draft.starts_at, now)
    match draft.ends_at, draft.duration:
        case str() | float() as moment, None:
            end = parse_time(moment, now)
        case None, str() | float() as length:
            end = start + timedelta(seconds=parse_duration(length))
        case _:
            raise InvalidError("say when it ends: either ends_at or duration")
    if end <= max(start, now):
        raise InvalidError("it must end after it begins, and after now")
    return Terms(draft.matcher, start, end, draft.comment)


def _words(terms: Terms) -> str:
    matcher = msgspec.json.encode(terms.matcher).decode()
    return f"{matcher} from {terms.starts_at:%FT%TZ} to {terms.ends_at:%FT%TZ}"


async def _read(connection: Connection, number: int, now: datetime) -> Silence:
    found = await silences.read(connection, now, number) if number < ID_MAX else []
    if not found:
        raise NotFoundError(f"there is no silence {number}")
    return found[0]


def _ended(silence: Silence) -> ConflictError:
    return ConflictError(f"silence {silence.id} ended at {silence.ends_at:%FT%TZ}; make another")
