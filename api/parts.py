"""What the API is given by whoever builds it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from litestar import Request
from litestar.datastructures import State
from msgspec import Struct, field

from api import messages
from api.auth import Authenticator
from api.connections import Connections
from api.database import DEADLINE_S, LONG_DEADLINE_S, connect
from api.ingest.receivers import Receivers
from api.limits import Limiters
from api.live import Live
from db.config import Config, Retention
from db.load import Load
from db.queries import Connection, Pool
from db.storage import Preview, Storage
from db.writer import Stored
from vigia.model import Principal, UnavailableError
from vigia.settings import Settings

KnownRequest = Request[Principal, None, State]
"""A request that came through the door: `user` is who asks."""


class Parts(Struct, frozen=True, kw_only=True):
    """The rest of the service, as far as answering needs it."""

    pool: Pool
    """Answers requests; all of its connections may be in use."""
    own_pool: Pool
    """Serves what must never wait for requests: the probes, and the times of samples."""
    reader: Pool
    """Answers what is about the past; a replica may stand behind it."""
    settings: Settings
    auth: Authenticator
    live: Live
    """Answers what is about the present, from memory."""
    write: Callable[[Load, int | None], Awaitable[Stored]]
    """Stores samples, of so many new series at most, and returns when they are safe."""
    is_away: Callable[[], bool]
    """Whether the database is known not to answer."""
    announce: Callable[[], None]
    """The doorbell: called after a commit that appended events."""
    config: Callable[[], Config]
    """The run-time settings in force."""
    set_config: Callable[[Config], Awaitable[None]]
    """Puts changed run-time settings in force; returns when they are."""
    status: Callable[[], dict[str, object]]
    """What the services report of themselves, for `/dev/status`."""
    ready: Callable[[], bool]
    """Whether the start is complete."""
    unready: Callable[[], Awaitable[str]]
    """Tries what a started service promises, and says why it cannot keep it; empty when it can."""
    obstacle: Callable[[], str] = lambda: ""
    """Why nothing can be asked of the database yet; empty once the start is complete."""
    storage: Callable[[Connection], Awaitable[Storage]]
    """Measures what the tiers take, and how long there will be room."""
    preview: Callable[[Connection, Retention], Awaitable[Preview]]
    """Tells what a retention would drop."""
    limiters: Limiters = field(default_factory=Limiters)
    """How many requests of each kind run at once, so that none takes every connection."""
    receivers: Receivers = field(default_factory=Receivers)
    """What the ways in for samples of others keep."""
    connections: Connections = field(default_factory=Connections)
    """The connections of clients, counted."""

    @asynccontextmanager
    async def connect_reader(self) -> AsyncIterator[Connection]:
        """Lend a connection that only reads, under a deadline."""
        self._refuse_early()
        async with connect(self.reader, LONG_DEADLINE_S) as connection:
            yield connection

    @asynccontextmanager
    async def connect(self, deadline_s: float = DEADLINE_S) -> AsyncIterator[Connection]:
        """Lend a connection, under a deadline."""
        self._refuse_early()
        async with connect(self.pool, deadline_s) as connection:
            yield connection

    async def present(self) -> messages.State:
        """Return what is now, from memory."""
        self._refuse_early()
        return await self.live.present()

    def _refuse_early(self) -> None:
        if obstacle := self.obstacle():
            raise UnavailableError(obstacle)
