"""The dependencies of handlers: the request and the application context."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from litestar import Request
from litestar.datastructures import State
from litestar.exceptions import SerializationException
from msgspec import Struct, field

from alerts.announcing import OnTransitions
from api.accounts.authenticator import Authenticator
from api.http.invalid import JSON
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
    """A request whose JSON body must be UTF-8."""

    async def json(self) -> Any:
        """Return the decoded body. Raises SerializationException, which becomes status 400."""
        try:
            value = await super().json()
        except UnicodeDecodeError:
            # msgspec raises UnicodeDecodeError, not its own error, for text that is not UTF-8.
            raise SerializationException("the body is not UTF-8; send JSON in UTF-8") from None
        self.scope[JSON] = value  # type: ignore[literal-required]
        return value


KnownRequest = Request[Principal, None, State]
"""A request that passed access control: `user` is its principal."""


class AppContext(Struct, frozen=True, kw_only=True):
    """The parts of the service that handlers need."""

    pool: Pool
    """Connections for requests; all of them may be in use."""
    own_pool: Pool
    """Connections for work that must never wait for requests: probes, and times of samples."""
    reader: Pool
    """Read-only connections for history, possibly to a replica."""
    settings: Settings
    auth: Authenticator
    live: Live
    """The present state, from memory."""
    write: Callable[[WriteBatch, int | None], Awaitable[Stored]]
    """Stores samples with at most so many new series; returns when they are stored or spooled."""
    note_hosts: Callable[[WriteBatch, Stored], Awaitable[None]]
    """Takes a stored batch of live samples, whose hosts are therefore alive."""
    is_away: Callable[[], bool]
    """Whether the database is known not to answer."""
    announce: Callable[[], None]
    """To be called after a commit that appended events: wakes clients and channels at once."""
    on_transitions: Sequence[OnTransitions]
    """Callbacks that follow transitions of alerts in their transaction."""
    few_connections: PoolShare
    """A share of connections for work that waits for others between its queries."""
    egress: Egress
    """Outgoing requests to providers, for test messages."""
    secret_keys: SecretKeys
    """Encrypts the secrets of channels."""
    config: Callable[[], Config]
    """The run-time settings in force."""
    renew_config: Callable[[], Awaitable[None]]
    """Applies changed run-time settings; returns when they are in force."""
    status: Callable[[], dict[str, object]]
    """The status of all services, for `/dev/status`."""
    ready: Callable[[], bool]
    """Returns whether the start is complete."""
    unready: Callable[[], Awaitable[str]]
    """Checks that the started service works; returns the reason if not, else an empty text."""
    obstacle: Callable[[], str] = lambda: ""
    """Returns why the database cannot be queried yet; empty once the start is complete."""
    disk: Callable[[], Disk | None]
    """Free and total disk space of the database; None if Vigia cannot see it."""
    limiters: Limiters = field(default_factory=Limiters)
    """Limits of concurrent requests by kind, so that no kind takes every connection."""
    receivers: Receivers = field(default_factory=Receivers)
    """State of the ingest routes."""
    help_limit: HelpLimit = field(default_factory=HelpLimit)
    """Limits help replies to texts that Vigia did not understand."""
    connections: Connections = field(default_factory=Connections)
    """The client connections."""

    @asynccontextmanager
    async def connect_reader(self) -> AsyncIterator[Connection]:
        """Lend a read-only connection with a deadline. Raises UnavailableError."""
        self._refuse_early()
        async with connect(self.reader, LONG_DEADLINE_S) as connection:
            yield connection

    @asynccontextmanager
    async def connect(self, deadline_s: float = DEADLINE_S) -> AsyncIterator[Connection]:
        """Lend a connection with a deadline. Raises UnavailableError."""
        self._refuse_early()
        async with connect(self.pool, deadline_s) as connection:
            yield connection

    async def present(self) -> messages.State:
        """Return the present state from memory. Raises UnavailableError."""
        self._refuse_early()
        return await self.live.present()

    def _refuse_early(self) -> None:
        if obstacle := self.obstacle():
            raise UnavailableError(obstacle)
