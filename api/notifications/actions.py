"""The route that lists actions which alerts started."""

from litestar import get
from litestar.di import NamedDependency

from api.http.access import ROLE
from api.http.context import AppContext
from api.http.pagination import LIMIT, Cursor, Limit, Page, page, position
from api.paths import BASE
from model.principal import Role
from notifications.actions import run_store
from notifications.actions.run_store import ID_MAX, ActionRun


@get(
    f"{BASE}/actions",
    opt={ROLE: Role.OPERATOR},
    tags=["alerts"],
    summary="Runs of actions, newest first; the setting actions defines the actions",
)
async def every(
    context: NamedDependency[AppContext], limit: Limit = LIMIT, cursor: Cursor = None
) -> Page[ActionRun]:
    async with context.connect() as connection:
        found = await run_store.read_all(connection, position(cursor, ID_MAX), limit + 1)
    return page(found, limit, lambda run: run.id)


ROUTES = (every,)
"""The only route."""
