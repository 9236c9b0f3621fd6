"""What is stored, what it takes, and when there is no room left."""

from litestar import get
from litestar.di import NamedDependency

from api.database import LONG_DEADLINE_S
from api.limits import CONCURRENCY, Concurrency
from api.parts import Parts
from api.probes import BASE
from db.storage import Storage


@get(
    f"{BASE}/storage",
    opt={CONCURRENCY: Concurrency.ANALYSIS},
    tags=["retention"],
    summary="Rows and bytes of every tier, and their growth",
)
async def storage(parts: NamedDependency[Parts]) -> Storage:
    async with parts.connect(LONG_DEADLINE_S) as connection:
        return await parts.storage(connection)
