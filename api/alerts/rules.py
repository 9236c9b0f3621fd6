"""Routes to read, change and preview alert rules."""

from datetime import datetime
from typing import Literal

import msgspec
from litestar import delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import UNSET, Struct
from msgspec.structs import force_setattr

from alerts.preview import preview
from alerts.rules import changes as rule_set
from alerts.rules import store as rules
from alerts.rules.model import Rule
from alerts.rules.store import StoredRule
from alerts.sql_rules import checking
from api.http.access import ROLE
from api.http.context import AppContext, KnownRequest
from api.http.errors import documented
from api.http.limits import CONCURRENCY, Concurrency
from api.http.pagination import LIMIT, Cursor, Limit, Page, page, position
from api.http.resource import ReadOnly
from api.paths import BASE
from db.pool import LONG_DEADLINE_S
from db.queries import Connection
from model.errors import ConflictError, InvalidError, NotFoundError
from model.principal import Role
from model.times import Moment, parse_time, utc_now

RULES = f"{BASE}/alerts/rules"
TAKEN = {409: documented("The name is taken, or the rule conflicts with other rules.")}
APART = {
    409: documented(
        "The change conflicts with other rules, such as a composite that needs this one."
    )
}


class RuleView(Rule, frozen=True, kw_only=True):
    """A rule with its state and last change; `error` says why it cannot be evaluated."""

    state: Literal["ok", "error", "off"]
    error: str | None
    error_at: datetime | None
    updated_at: datetime
    updated_by: str


class RuleBody(Rule, frozen=True, kw_only=True):
    """A rule as it is sent; read-only fields of a GET response are accepted and ignored."""

    state: ReadOnly = UNSET
    error: ReadOnly = UNSET
    error_at: ReadOnly = UNSET
    updated_at: ReadOnly = UNSET
    updated_by: ReadOnly = UNSET

    def __post_init__(self) -> None:
        """Drop the read-only fields."""
        super().__post_init__()
        for name in READ_ONLY:
            force_setattr(self, name, UNSET)


READ_ONLY = sorted(set(RuleBody.__struct_fields__) - set(Rule.__struct_fields__))


class PreviewRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A rule, saved or not, and the time range of the preview."""

    rule: RuleBody
    start: Moment = "-7d"
    end: Moment = "now"


@get(RULES, tags=["rules"], summary="All rules, oldest first")
async def every(
    context: NamedDependency[AppContext], limit: Limit = LIMIT, cursor: Cursor = None
) -> Page[RuleView]:
    async with context.connect(LONG_DEADLINE_S) as connection:
        found = await rules.read_page(connection, after=position(cursor, 0), limit=limit + 1)
    numbered = page(found, limit, lambda stored: stored.id)
    return Page([_view(stored) for stored in numbered.items], numbered.cursor)


@get(f"{RULES}/{{name:str}}", tags=["rules"], summary="One rule")
async def one(context: NamedDependency[AppContext], name: FromPath[str]) -> RuleView:
    async with context.connect(LONG_DEADLINE_S) as connection:
        return await _read(connection, name)


@post(RULES, opt={ROLE: Role.ADMIN}, responses=TAKEN, tags=["rules"], summary="Create a rule")
async def create(
    request: KnownRequest, context: NamedDependency[AppContext], data: JSONBody[RuleBody]
) -> RuleView:
    await _check_sql(context, data)
    async with context.connect(LONG_DEADLINE_S) as connection, connection.transaction():
        if not await rule_set.make(connection, data, utc_now(), request.user.name):
            raise ConflictError(
                f"a rule named {data.name!r} already exists; change it with PUT, or choose "
                "another name"
            )
        return await _read(connection, data.name)


@put(
    f"{RULES}/{{name:str}}",
    opt={ROLE: Role.ADMIN},
    responses=APART,
    tags=["rules"],
    summary="Replace a rule; its open alerts continue under the new definition",
)
async def replace(
    request: KnownRequest,
    context: NamedDependency[AppContext],
    name: FromPath[str],
    data: JSONBody[RuleBody],
) -> RuleView:
    if data.name != name:
        raise InvalidError(f"name must be {name!r}, as in the path")
    await _check_sql(context, data)
    async with context.connect(LONG_DEADLINE_S) as connection, connection.transaction():
        if not await rule_set.replace(connection, data, utc_now(), request.user.name):
            raise _unknown(name)
        return await _read(connection, name)


@delete(
    f"{RULES}/{{name:str}}",
    opt={ROLE: Role.ADMIN},
    responses=APART,
    tags=["rules"],
    summary="Delete a rule and resolve its open alerts",
)
async def remove(
    request: KnownRequest, context: NamedDependency[AppContext], name: FromPath[str]
) -> None:
    async with context.connect(LONG_DEADLINE_S) as connection, connection.transaction():
        resolved = await rule_set.remove(
            connection, name, utc_now(), request.user.name, context.on_transitions
        )
    if resolved is None:
        raise _unknown(name)
    if resolved:
        context.announce()


@post(
    f"{RULES}/preview",
    opt={ROLE: Role.OPERATOR, CONCURRENCY: Concurrency.PREVIEW},
    status_code=200,
    tags=["rules"],
    summary="Preview a rule over the past, compared with the saved rule of its name",
)
async def preview_rule(
    context: NamedDependency[AppContext], data: JSONBody[PreviewRequest]
) -> preview.Preview:
    """Evaluate each minute of a range as live evaluation does, without changing anything."""
    now = utc_now()
    start, end = parse_time(data.start, now), min(parse_time(data.end, now), now)
    thresholds = context.config().thresholds_document()
    return await preview.run(context.connect, data.rule, thresholds, start, end, now=now)


async def _check_sql(context: AppContext, rule: Rule) -> None:
    """Raise InvalidError for SQL that the database cannot run."""
    if rule.kind == "sql":
        async with context.connect(LONG_DEADLINE_S) as connection:
            await checking.refuse(connection, [rule])


async def _read(connection: Connection, name: str) -> RuleView:
    found = await rules.read(connection, name)
    if not found:
        raise _unknown(name)
    return _view(found[0])


def _view(stored: StoredRule) -> RuleView:
    fields = msgspec.structs.asdict(stored.rule)
    return RuleView(
        **fields,
        state=stored.state,
        error=stored.error,
        error_at=stored.error_at,
        updated_at=stored.updated_at,
        updated_by=stored.updated_by,
    )


def _unknown(name: str) -> NotFoundError:
    return NotFoundError(f"there is no rule {name[:100]!r}; GET {RULES} lists them")
