"""What the API is given by whoever builds it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from litestar import Request
from litestar.datastructures import State
from msgspec import Struct

from api.auth import Authenticator
from api.database import connect
from db.config import Config
from db.queries import Connection, Pool
from db.writer import Stored
from vigia.model import Principal, Sample
from vigia.settings import Settings

KnownRequest = Request[Principal, None, State]
"""A request that came through the door: `user` is who asks."""


class Parts(Struct, frozen=True, kw_only=True):
    """The rest of the service, as far as answering needs it."""

    pool: Pool
    settings: Settings
    auth: Authenticator
    write: Callable[[Sequence[Sample]], Awaitable[Stored]]
    """Stores samples and returns when they are committed."""
    announce: Callable[[], None]
    """The doorbell: called after a commit that appended events."""
    config: Callable[[], Config]
    """The run-time settings in force."""
    set_config: Callable[[Config], None]
    """Puts changed run-time settings in force."""
    status: Callable[[], dict[str, object]]
    """What the services report of themselves, for `/dev/status`."""
    ready: Callable[[], bool]
    """Whether the start is complete."""

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Connection]:
        """Lend a connection, under a deadline."""
        async with connect(self.pool) as connection:
            yield connection
