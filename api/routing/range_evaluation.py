"""The route that evaluates an escalation policy over a range of stored alerts."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta, Struct

from api.http.access import ROLE
from api.http.context import AppContext
from api.http.errors import documented
from api.http.limits import CONCURRENCY, Concurrency
from api.paths import BASE
from api.routing.policies import TAG, PolicyBody, policy_of
from db.pool import LONG_DEADLINE_S
from model.errors import InvalidError
from model.principal import Role
from model.text import Name
from model.times import Moment, parse_time, utc_now
from notifications.oncall.schedule_store import ScheduleTerms
from notifications.oncall.woken import Night
from notifications.preview.range_evaluation import RangeEvaluation, RangeEvaluationResult, evaluate

PATH = f"{BASE}/policies/preview"
RANGE_MAX = timedelta(days=93)
SCHEDULES_MAX = 20


class RangeEvaluationBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An escalation policy to evaluate over a range of past alerts.

    Neither the policy nor the schedules need to be stored.
    """

    policy: PolicyBody
    start: Moment = "-30d"
    end: Moment = "now"
    route: Name | None = None
    schedules: Annotated[Sequence[ScheduleTerms], Meta(max_length=SCHEDULES_MAX)] = ()
    night: Night = Night()


@post(
    PATH,
    opt={ROLE: Role.OPERATOR, CONCURRENCY: Concurrency.PREVIEW},
    status_code=200,
    responses={404: documented("There is no such route.")},
    tags=[TAG],
    summary="List the people whom past alerts would have notified under a policy, and how often",
)
async def preview_policy(
    context: NamedDependency[AppContext], data: JSONBody[RangeEvaluationBody]
) -> RangeEvaluationResult:
    now = utc_now()
    start, end = parse_time(data.start, now), min(parse_time(data.end, now), now)
    if not timedelta() < end - start <= RANGE_MAX:
        raise InvalidError(f"start must be before end by up to {RANGE_MAX.days} days")
    wanted = RangeEvaluation(
        policy=policy_of(data.policy),
        start=start,
        end=end,
        route=data.route,
        schedules=data.schedules,
        night=data.night,
    )
    async with context.connect(LONG_DEADLINE_S) as connection:
        return await evaluate(connection, wanted)


ROUTES = (preview_policy,)
