"""What a change of the retention would do, before it is made."""

from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK

from api.config import Wanted
from api.database import LONG_DEADLINE_S
from api.door import ROLE
from api.limits import CONCURRENCY, Concurrency
from api.parts import Parts
from api.probes import BASE
from db.config import Config, with_value
from db.storage import Preview
from vigia.model import Role


@post(
    f"{BASE}/config/retention/preview",
    opt={ROLE: Role.OPERATOR, CONCURRENCY: Concurrency.ANALYSIS},
    status_code=HTTP_200_OK,
    tags=["retention"],
    summary="What a retention would drop: tiers, chunks, rows and bytes",
)
async def preview(parts: NamedDependency[Parts], data: JSONBody[Wanted]) -> Preview:
    """Answer for a value as `PUT /config/retention` takes it; nothing is changed."""
    wanted = with_value(Config(), "retention", data.value).retention
    async with parts.connect(LONG_DEADLINE_S) as connection:
        return await parts.preview(connection, wanted)
