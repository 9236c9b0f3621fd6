"""Routes of storage use, and of the preview of another retention."""

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK

from api.admin.config import Wanted
from api.http.access import ROLE
from api.http.context import AppContext
from api.http.limits import CONCURRENCY, Concurrency
from api.paths import BASE
from config.model import Config
from config.store import with_value
from db.pool import LONG_DEADLINE_S
from model.principal import Role
from model.times import utc_now
from retention.forecast import measure
from retention.preview import preview as dropped_by
from retention.usage import Preview, Storage


@get(
    f"{BASE}/storage",
    opt={CONCURRENCY: Concurrency.ANALYSIS},
    tags=["retention"],
    summary="Rows and bytes of every tier, and their growth",
)
async def storage(context: NamedDependency[AppContext]) -> Storage:
    capacity_bytes = context.config().retention.capacity_bytes
    async with context.connect(LONG_DEADLINE_S) as connection:
        return await measure(connection, capacity_bytes, context.disk(), utc_now())


@post(
    f"{BASE}/config/retention/preview",
    opt={ROLE: Role.OPERATOR, CONCURRENCY: Concurrency.ANALYSIS},
    status_code=HTTP_200_OK,
    tags=["retention"],
    summary="What another retention would delete: tiers, chunks, rows and bytes",
)
async def preview(context: NamedDependency[AppContext], data: JSONBody[Wanted]) -> Preview:
    """Takes a value as `PUT /config/retention` does, and changes nothing."""
    wanted = with_value(Config(), "retention", data.value).retention
    async with context.connect(LONG_DEADLINE_S) as connection:
        return await dropped_by(connection, wanted, utc_now())
