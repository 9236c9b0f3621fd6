"""What handlers are given: the request, and the rest of the service."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from litestar import Request
from litestar.datastructures import State
from litestar.exceptions import SerializationException
from msgspec import Struct, field

from alerts.announcing import OnTransitions
from api.accounts.authenticator import Authenticator
from api.http.limits import Limiters
from api.ingest.admission.receivers import Receivers
from api.server.connections import Connections
from config.model import Config
from db.pool import DEADLINE_S, LONG_DEADLINE_S, connect
from db.queries import Connection, Pool
from live import messages
from live.hub import Live
from model.errors import UnavailableError
from model.principal import Principal
from notifications.outbox.pool_share import PoolShare
from notifications.replies.twilio import HelpLimit
from retention.usage import Disk
from runtime.encryption.secret_keys import SecretKeys
from runtime.network.egress import Egress
from runtime.settings import Settings
from samples.write_batch import Stored, WriteBatch


class JsonRequest(Request[Any, Any, Any]):
    """A request whose JSON is read strictly."""

    async def json(self) -> Any:
        """Return the decoded body. Raises SerializationException, which is answered with 400."""
        try:
            return await super().json()
        except UnicodeDecodeError:
            # msgspec reads a text of JSON apart from JSON itself, and has no error of its own here.
            raise SerializationException("the body is not UTF-8; send JSON in UTF-8") from None


KnownRequest = Request[Principal, None, State]
"""A request that came through access control: `user` is who asks."""


class AppContext(Struct, frozen=True, kw_only=True):
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
    write: Callable[[WriteBatch, int | None], Awaitable[Stored]]
    """Stores samples, of so many new series at most, and returns when they are safe."""
    is_away: Callable[[], bool]
    """Whether the database is known not to answer."""
    announce: Callable[[], None]
    """Called after a commit that appended events, so that clients and channels are told at once."""
    on_transitions: Sequence[OnTransitions]
    """Who follows the transitions of alerts, in their transaction."""
    few_connections: PoolShare
    """Serves what waits for others between its queries."""
    egress: Egress
    """The way to providers, for a message that is tried."""
    secret_keys: SecretKeys
    """Encrypts what channels keep secret."""
    config: Callable[[], Config]
    """The run-time settings in force."""
    renew_config: Callable[[], Awaitable[None]]
    """Puts changed run-time settings in force; returns when they are."""
    status: Callable[[], dict[str, object]]
    """What the services report of themselves, for `/dev/status`."""
    ready: Callable[[], bool]
    """Whether the start is complete."""
    unready: Callable[[], Awaitable[str]]
    """Tries what a started service promises, and says why it cannot keep it; empty when it can."""
    obstacle: Callable[[], str] = lambda: ""
    """Why nothing can be asked of the database yet; empty once the start is complete."""
    disk: Callable[[], Disk | None]
    """The room for the database, where it can be seen."""
    limiters: Limiters = field(default_factory=Limiters)
    """How many requests of each kind run at once, so that none takes every connection."""
    receivers: Receivers = field(default_factory=Receivers)
    """What the ways in for samples of others keep."""
    help_limit: HelpLimit = field(default_factory=HelpLimit)
    """Whom texts were explained to that Vigia did not understand."""
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
