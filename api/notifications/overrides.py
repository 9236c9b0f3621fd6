"""Routes of overrides: a person takes a shift, or leaves one."""

from litestar import delete, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Struct, field

from api.http.access import ROLE
from api.http.context import AppContext, KnownRequest
from api.http.errors import documented
from api.http.resource import Change
from api.notifications.schedules import SCHEDULES, TAG, changing, log
from model.errors import ConflictError, NotFoundError
from model.principal import Role
from model.text import Name
from model.times import Moment, parse_time
from notifications.oncall import recording, schedule_store
from notifications.oncall.schedule import Override
from notifications.oncall.schedule_store import OVERRIDES_MAX, StoredOverride
from notifications.oncall.taking import Taking, override_of

OVERRIDES = f"{SCHEDULES}/{{name:str}}/overrides"
TOO_MANY = {409: documented("The schedule has too many overrides that have not ended.")}


class OverrideBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A shift to take: `person` is on call instead of everyone else, or only instead of `out`.

    By default it starts now and lasts until the people of the schedule change next. With `as_well`,
    nobody is replaced. Without `person`, nobody replaces `out`.
    """

    start: Moment = field(default="now", name="from")
    until: Moment | None = None
    person: Name | None = None
    out: Name | None = None
    as_well: bool = False


@post(
    OVERRIDES,
    opt={ROLE: Role.OPERATOR},
    responses=TOO_MANY,
    tags=[TAG],
    summary="Take a shift, or assign it to a person",
)
async def override(
    request: KnownRequest,
    context: NamedDependency[AppContext],
    name: FromPath[str],
    data: JSONBody[OverrideBody],
) -> StoredOverride:
    async with changing(context, request.user.name) as change:
        await recording.catch_up(change.connection, name, change.now)
        made = await _add(change, name, data)
        await recording.notify_changes(change.connection, name, change.now)
    return made


@delete(
    f"{OVERRIDES}/{{override_id:int}}",
    opt={ROLE: Role.OPERATOR},
    tags=[TAG],
    summary="Cancel an override; past shifts do not change",
)
async def cancel(
    request: KnownRequest,
    context: NamedDependency[AppContext],
    name: FromPath[str],
    override_id: FromPath[int],
) -> None:
    async with changing(context, request.user.name) as change:
        await recording.catch_up(change.connection, name, change.now)
        if not await schedule_store.delete_override(change.connection, name, override_id):
            raise NotFoundError(f"{name} has no override {override_id} that has not ended")
        await recording.notify_changes(change.connection, name, change.now)
        await log(change, f"schedule {name}: override {override_id} canceled")


async def _add(change: Change, name: str, body: OverrideBody) -> StoredOverride:
    now = change.now
    schedule = await schedule_store.load(change.connection, name, now, now)
    if schedule is None:
        raise NotFoundError(f"there is no schedule {name!r}")
    if len(schedule.overrides) >= OVERRIDES_MAX:
        raise ConflictError(
            f"{name} has {OVERRIDES_MAX} overrides that have not ended; cancel some of them first"
        )
    taking = Taking(
        start=parse_time(body.start, now),
        until=None if body.until is None else parse_time(body.until, now),
        person=body.person,
        out=body.out,
        as_well=body.as_well,
    )
    wanted = override_of(schedule, taking, now)
    made = await schedule_store.add_override(change.connection, name, wanted, now, change.actor)
    await log(change, f"schedule {name}: override {made.id}, {_words(wanted)}")
    return made


def _words(override: Override) -> str:
    instead = "everyone" if override.everyone else override.out or "nobody"
    return (
        f"{override.in_ or 'nobody'} instead of {instead} "
        f"from {override.starts_at:%FT%TZ} to {override.ends_at:%FT%TZ}"
    )


ROUTES = (override, cancel)
