"""Routes of silences: for a limited time, matching alerts notify nobody."""

from datetime import datetime, timedelta
from typing import Annotated

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from msgspec import UNSET, Meta, Struct

from alerts.store import ID_MAX
from alerts.suppression import silences
from alerts.suppression.silences import Silence, Terms
from alerts.suppression.suppress import Matcher
from api.alerts.suppression import changing, log
from api.http.context import AppContext
from api.http.errors import documented
from api.http.pagination import LIMIT, Cursor, Limit, Page, page, position
from api.http.resource import Change, ReadOnly, Resource
from api.paths import BASE
from db.queries import Connection
from model.errors import ConflictError, InvalidError
from model.principal import Role
from model.text import Lines
from model.times import Duration, Moment, parse_duration, parse_time, utc_now

SILENCES = f"{BASE}/alerts/silences"
ENDED = {409: documented("The silence has ended.")}

OnlyActive = Annotated[
    bool, QueryParameter(description="Return only silences that are active now.")
]


class SilenceDraft(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A silence as it is sent to create or replace one.

    It starts at `starts_at` (default: now) and lasts until `ends_at` or for `duration`. Read-only
    fields of a GET response are accepted and ignored.
    """

    matcher: Matcher
    comment: Annotated[Lines, Meta(min_length=1)]
    starts_at: Moment | None = None
    ends_at: Moment | None = None
    duration: Duration | None = None
    id: ReadOnly = UNSET
    state: ReadOnly = UNSET
    created_at: ReadOnly = UNSET
    created_by: ReadOnly = UNSET
    updated_at: ReadOnly = UNSET
    updated_by: ReadOnly = UNSET


@get(SILENCES, tags=["silences"], summary="Silences, newest first")
async def every(
    context: NamedDependency[AppContext],
    active: OnlyActive = False,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> Page[Silence]:
    before = position(cursor, ID_MAX)
    async with context.connect() as connection:
        found = await silences.read(
            connection, utc_now(), active=active, before=before, limit=limit + 1
        )
    return page(found, limit, lambda silence: silence.id)


async def _read(connection: Connection, number: int, now: datetime) -> Silence | None:
    found = await silences.read(connection, now, number)
    return found[0] if found else None


async def _insert(change: Change, draft: SilenceDraft) -> int:
    terms = _terms(draft, change.now, change.now)
    number = await silences.insert(change.connection, terms, change.now, change.actor)
    await log(change, f"silence {number} created: {_words(terms)}")
    return number


async def _update(change: Change, before: Silence, draft: SilenceDraft) -> None:
    """Replace a silence. Without `starts_at` it keeps its start, and `duration` counts from it."""
    terms = _terms(draft, change.now, before.starts_at)
    if not await silences.update(change.connection, before.id, terms, change.now, change.actor):
        raise _ended(before)
    await log(change, f"silence {before.id} changed: {_words(terms)}")


async def _finish(change: Change, before: Silence) -> None:
    if not await silences.finish(change.connection, before.id, change.now, change.actor):
        raise _ended(before)
    await log(change, f"silence {before.id} ended")


def _terms(draft: SilenceDraft, now: datetime, begin: datetime) -> Terms:
    if draft.matcher == Matcher():
        raise InvalidError(
            "matcher must have at least one of rule, component, category, level and labels"
        )
    start = begin if draft.starts_at is None else parse_time(draft.starts_at, now)
    match draft.ends_at, draft.duration:
        case str() | float() as moment, None:
            end = parse_time(moment, now)
        case None, str() | float() as length:
            end = start + timedelta(seconds=parse_duration(length))
        case _:
            raise InvalidError("a silence needs either ends_at or duration")
    if end <= max(start, now):
        raise InvalidError("a silence must end after its start, and in the future")
    return Terms(draft.matcher, start, end, draft.comment)


def _words(terms: Terms) -> str:
    matcher = msgspec.json.encode(terms.matcher).decode()
    return f"{matcher} from {terms.starts_at:%FT%TZ} to {terms.ends_at:%FT%TZ}"


def _ended(silence: Silence) -> ConflictError:
    return ConflictError(
        f"silence {silence.id} ended at {silence.ends_at:%FT%TZ}; create another one"
    )


RESOURCE = Resource(
    path=SILENCES,
    noun="silence",
    number="silence_id",
    tag="silences",
    role=Role.OPERATOR,
    draft=SilenceDraft,
    item=Silence,
    read=_read,
    changing=changing,
    insert=_insert,
    update=_update,
    remove=_finish,
)
ROUTES = (
    every,
    RESOURCE.one("One silence"),
    RESOURCE.create("Create a silence"),
    RESOURCE.replace("Replace a silence that has not ended", responses=ENDED),
    RESOURCE.delete("End a silence now; it stays in the list", "finish", responses=ENDED),
)
