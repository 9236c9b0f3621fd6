"""The parts of a running service, and the turns that need several of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from functools import partial

from msgspec import Struct, field

from alerts.evaluate import add_shipped_rules, drop_component, evaluate
from alerts.questions import Asker
from api.live import Live
from api.refusals import Refusals
from db import security, watched
from db.backlog import Backlog, open_backlog
from db.config import Config, Retention, read
from db.engine import Engine, open_engine
from db.evaluation import read_clock
from db.failures import OUTAGES
from db.health import Checked, Known, forget, stale_after
from db.incarnation import Incarnations, refuse_empty
from db.migrate import migrate
from db.pool import (
    OPEN_TIMEOUT_S,
    READER,
    REQUESTS,
    REQUESTS_CONNECTIONS_MAX,
    SERVICE_CONNECTIONS_MAX,
    BusyError,
    DatabasePool,
    open_pool,
)
from db.queries import Connection
from db.readiness import Readiness
from db.storage import Preview, Storage
from db.writer import Writer, open_writer
from health.checks import check
from health.missed import MissedChecks
from retention.apply import apply
from retention.expire import expire
from retention.preview import preview
from retention.storage import disk_of, measure
from vigia import log
from vigia.egress import Egress, open_egress
from vigia.emitter import Emitter
from vigia.emitter import load as load_emitter
from vigia.endpoints import own_endpoints
from vigia.evaluation_lag import EvaluationLag
from vigia.loop_lag import LoopLag
from vigia.minutes import Minutes
from vigia.model import Category, Sample, Series, utc_now
from vigia.schedule import Slots
from vigia.settings import Settings

CHECK_SHARE = 0.9
"""Of its slot, how long a check may take; a database that hangs for so long counts as down."""
MISSED_FILE = "missed_checks.json"
SETTLE_S = 20.0
"""How long a turn waits for what was collected in an outage to be stored."""
QUARANTINED = Series(metric="service_spool_quarantined_records", component="server")
HAS_BEGUN = "has-begun"
"""A file in the data directory: a service with this directory had a database of its own before."""
TRADING_MISSING = "not configured: set VIGIA_TRADING_DATABASE_URL"


class Service(Struct):
    """The parts, and the turns that need several of them."""

    settings: Settings
    engine: Engine
    pool: DatabasePool
    """Serves the service's own work, and nothing that somebody asks for."""
    requests: DatabasePool
    """Answers what is asked; all of its connections may be in use."""
    reader: DatabasePool
    egress: Egress
    writer: Writer
    backlog: Backlog
    live: Live
    emitter: Emitter
    sql_rules: Asker
    incarnations: Incarnations
    readiness: Readiness
    config: Config = field(default_factory=Config)
    applied: Retention | None = None
    slots: dict[str, Slots] = field(default_factory=dict)
    minutes: Minutes = field(default_factory=Minutes)
    settle_s: float = SETTLE_S
    settings_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    lag: EvaluationLag = field(default_factory=EvaluationLag)
    missed: MissedChecks = field(default_factory=MissedChecks)
    refusals: Refusals = field(default_factory=Refusals)
    is_config_outdated: bool = False
    is_begun: bool = False
    loop_lag: LoopLag = field(default_factory=LoopLag)
    is_ready: bool = False

    async def begin(self) -> None:
        """Bring the database to this version, and learn what it holds; may be tried again."""
        async with self.pool.connection() as connection:
            if self._has_begun_before() and not self.backlog.is_empty:
                await refuse_empty(connection, self.backlog.folder)
            await migrate(connection)
            await self.incarnations.begin(connection)
            self.config = await read(connection)
            self.is_config_outdated = False
            await self._apply_retention(connection)
            await add_shipped_rules(connection)
        await self.writer.learn()
        (self.settings.data_dir / HAS_BEGUN).touch(mode=0o600)
        self.is_begun = True

    def _has_begun_before(self) -> bool:
        return (self.settings.data_dir / HAS_BEGUN).exists()

    @property
    def obstacle(self) -> str:
        """Why nothing can be asked of the database yet; empty once it has been prepared."""
        if self.is_begun:
            return ""
        cause = f"the database is away: {self.pool.cause}" if self.pool.cause else ""
        return f"the service is still starting; {cause or 'its database is being prepared'}"

    def forget_database(self) -> None:
        """Forget what was learned of a database that was replaced by another one; never waits."""
        self.applied = None
        self.is_config_outdated = True
        self.live.forget()

    def counted(self, name: str) -> Slots:
        """Return the slots of a service, which its status shows."""
        return self.slots.setdefault(name, Slots(name=name))

    async def evaluate_rules(self, at: datetime) -> None:
        """Evaluate this minute, and before it those in which the database was away.

        What was collected meanwhile, the database's own outage included, is stored before: or the
        minutes wait for the next turn, a few times.
        """
        self.minutes.add(at)
        if self.minutes.are_missed and not await self._is_settled() and self.minutes.may_wait():
            return
        await self._renew_config()
        async with self.pool.connection() as connection:
            await self.minutes.take(partial(self._evaluate, connection))
            clock = await read_clock(connection)
            self.lag.note(clock.evaluated_at, clock.now, utc_now())

    async def _is_settled(self) -> bool:
        # The pool hands out a connection only if the database answers: else minutes stay due.
        async with self.pool.connection():
            pass
        return await self.writer.settle(self.settle_s)

    async def _evaluate(self, connection: Connection, minute: datetime) -> None:
        thresholds, ancestors = self.config.thresholds_document(), self.config.ancestors()
        try:
            await evaluate(connection, minute, thresholds, ancestors, utc_now())
        finally:
            # Also of what was told before it failed.
            self.live.ring()

    async def check_health(self, at: datetime) -> None:
        """Check this slot; those that were missed are judged once their samples are stored."""
        interval_s = self.config.intervals.health_s
        try:
            # Before the turn itself is cancelled, which the end of the service does as well.
            async with (
                asyncio.timeout(CHECK_SHARE * interval_s),
                self.pool.connection() as connection,
            ):
                checked = await self._check(connection, at, interval_s)
        except BusyError:
            self.missed.note(at, interval_s, is_away=False)
            raise
        except OUTAGES:
            self.missed.note(at, interval_s, is_away=True)
            raise
        self.live.publish_health(checked)
        if any(component.changed for component in checked):
            self.live.ring()

    async def _check(
        self, connection: Connection, at: datetime, interval_s: float
    ) -> list[Checked]:
        thresholds = self.config.thresholds_document()
        stale = stale_after(self.config.intervals.collect_s)
        await self.missed.learn(connection)
        self.missed.note_gap(at, interval_s)
        if self.missed.slots and await self.writer.settle(0.0):
            await self.missed.record(connection, thresholds, stale)
        checked = await check(
            connection, at, interval_s, thresholds, self.known_components(), stale
        )
        self.missed.note_checked(at)
        return checked

    def known_components(self) -> list[Known]:
        """Return what should be watched, so that what never answered is seen as well."""
        trading = Known("trading", Category.TRADING)
        if self.settings.trading_database_url is None:
            trading = Known("trading", Category.TRADING, TRADING_MISSING)
        return [trading, *(Known(name, Category.EXTERNAL) for name in sorted(self._asked()))]

    def _asked(self) -> set[str]:
        """Return the components outside that the settings want to be asked."""
        return {target.name for target in self.config.outside if target.enabled}

    async def follow_config(self, now: datetime) -> None:
        """Take over what was changed here or elsewhere, and bring tiers and components to it."""
        async with self.settings_lock, self.pool.connection() as connection:
            await self._read_config(connection)
            for name in await watched.let_go(connection, self._asked(), now):
                await forget(connection, name)
                if await drop_component(connection, name, now):
                    self.live.ring()

    async def _read_config(self, connection: Connection) -> None:
        """Put what is stored in force. The caller holds the lock.

        Without it, settings that were read before a change could come into force after it.
        """
        self.config = await read(connection)
        self.is_config_outdated = False
        await watched.watch(connection, self._asked())
        await self._apply_retention(connection)

    async def _renew_config(self) -> None:
        """Read the settings of a database that has just taken the place of another."""
        if self.is_config_outdated:
            await self.follow_config(utc_now())

    async def _apply_retention(self, connection: Connection) -> None:
        wanted = self.config.retention
        if self.applied != wanted:
            await apply(connection, wanted)
            self.applied = wanted

    async def count_security(self, at: datetime) -> None:
        """Let rules, clients and subscribers see what the security audit has that is new."""
        async with self.pool.connection() as connection:
            samples = await security.count(connection, at)
        self.live.publish(samples)

    async def measure_itself(self, at: datetime) -> None:
        """Store how late the event loop was since the slot before, and what is in quarantine."""
        quarantined = Sample(QUARANTINED, at, self.backlog.quarantined)
        self.writer.put([self.loop_lag.sample(at), quarantined])

    async def expire_rows(self, now: datetime) -> None:
        await expire(self.pool, now, self.config.retention)

    async def set_config(self, _changed: Config) -> None:
        """Put changed settings in force; read anew, since a later change may be there already."""
        async with self.settings_lock, self.pool.connection() as connection:
            await self._read_config(connection)

    async def storage(self, connection: Connection) -> Storage:
        disk = disk_of(self.settings.data_dir) if self.engine.embedded else None
        return await measure(connection, self.config.retention.capacity_bytes, disk, utc_now())

    async def preview(self, connection: Connection, retention: Retention) -> Preview:
        return await preview(connection, retention, utc_now())

    def resolution(self, metric: str, declared: float | None) -> float | None:
        """Return what values of a metric are rounded to, by the settings in force."""
        return self.config.retention.resolution(metric, declared)

    def status(self) -> dict[str, object]:
        return {
            "engine": {"embedded": self.engine.embedded, "restarts": self.engine.restarts},
            "services": list(self.slots.values()),
            "writer": {
                "stored": self.writer.stored,
                "pending": self.writer.pending,
                "dropped": self.writer.dropped,
            },
            "spool": self.backlog.status(),
            "live": {
                "clients": self.live.clients,
                "lagged": self.live.lagged,
                "dead": self.live.dead,
                "skipped": self.live.skipped,
            },
            "event_loop": self.loop_lag.status(),
            "subscribers": {one.name: one.dropped for one in self.emitter.subscribers},
            "pool": self.pool.get_stats(),
            "requests_pool": self.requests.get_stats(),
            "sql_rules": {"lingering": self.sql_rules.lingering},
            "evaluation": self.lag.status(),
            "missed_checks": len(self.missed.slots),
            "log": {"lines_lost": log.lost.lines},
        }


@asynccontextmanager
async def open_service(settings: Settings) -> AsyncIterator[Service]:
    """Open every part, and begin at once."""
    async with open_parts(settings) as service:
        await service.begin()
        yield service


@asynccontextmanager
async def open_parts(settings: Settings) -> AsyncIterator[Service]:
    """Open every part, downwards; they close upwards, so that what was collected is stored.

    A server may be away: the pools look for it. Until `begin` has ended, what is sent is spooled.
    """
    incarnations = Incarnations()
    async with (
        open_engine(settings) as engine,
        _open_own(engine, incarnations) as pool,
        _open_requests(engine) as requests,
        _open_reader(settings, engine, requests) as reader,
        open_egress(settings.egress_allow, await own_endpoints(settings)) as egress,
        open_backlog(settings.data_dir / "spool") as backlog,
    ):
        emitter = load_emitter()
        live = Live(pool, on_event=emitter.emit_event, on_samples=emitter.emit_samples)
        async with open_writer(
            pool,
            live.publish,
            backlog,
            can_copy=not engine.embedded,
            is_away=True,
            incarnations=incarnations,
        ) as writer:
            service = Service(
                settings=settings,
                engine=engine,
                pool=pool,
                requests=requests,
                reader=reader,
                egress=egress,
                writer=writer,
                backlog=backlog,
                live=live,
                emitter=emitter,
                sql_rules=Asker(pool, writer.put),
                missed=MissedChecks(settings.data_dir / MISSED_FILE),
                incarnations=incarnations,
                readiness=Readiness(pool, lambda: writer.cause),
            )
            incarnations.on_change.append(service.forget_database)
            writer.resolution = service.resolution
            yield service


def _open_own(
    engine: Engine, incarnations: Incarnations
) -> AbstractAsyncContextManager[DatabasePool]:
    return open_pool(
        engine.dsn,
        embedded=engine.embedded,
        connections_max=SERVICE_CONNECTIONS_MAX,
        open_timeout_s=_open_timeout_s(engine),
        configure=incarnations.verify,
    )


def _open_timeout_s(engine: Engine) -> float:
    """Return how long a pool waits to be opened: only for an engine of our own, which is there."""
    return OPEN_TIMEOUT_S if engine.embedded else 0.0


def _open_requests(engine: Engine) -> AbstractAsyncContextManager[DatabasePool]:
    return open_pool(
        engine.dsn,
        embedded=engine.embedded,
        name=REQUESTS,
        connections_max=REQUESTS_CONNECTIONS_MAX,
        open_timeout_s=_open_timeout_s(engine),
    )


@asynccontextmanager
async def _open_reader(
    settings: Settings, engine: Engine, requests: DatabasePool
) -> AsyncIterator[DatabasePool]:
    """Open the pool for the past; the embedded engine's one session has no use for another."""
    url = settings.database_read_url
    if engine.embedded and url is None:
        yield requests
        return
    dsn = url.reveal() if url else engine.dsn
    async with open_pool(dsn, embedded=False, reading=True, name=READER, open_timeout_s=0.0) as own:
        yield own
