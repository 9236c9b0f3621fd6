"""The parts of a running service, and the turns that need several of them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from msgspec import Struct

from alerts.evaluate import add_shipped_rules, evaluate
from api.live import Live
from db.config import Config, Retention, read
from db.engine import Engine, open_engine
from db.health import Known
from db.migrate import migrate
from db.pool import open_pool
from db.queries import Pool
from db.writer import Writer, open_writer
from health.checks import check
from retention.apply import apply
from retention.expire import expire
from vigia.egress import Egress, open_egress
from vigia.emitter import Emitter
from vigia.emitter import load as load_emitter
from vigia.model import Category, Sample
from vigia.schedule import Slots
from vigia.settings import Settings

TRADING_MISSING = "not configured: set VIGIA_TRADING_DATABASE_URL"


class Service(Struct):
    """The parts, and the turns that need several of them."""

    settings: Settings
    engine: Engine
    pool: Pool
    egress: Egress
    writer: Writer
    live: Live
    emitter: Emitter
    config: Config
    applied: Retention
    slots: dict[str, Slots]
    is_ready: bool = False

    def counted(self, name: str) -> Slots:
        """Return the slots of a service, which its status shows."""
        return self.slots.setdefault(name, Slots(name=name))

    async def evaluate_rules(self, at: datetime) -> None:
        async with self.pool.connection() as connection:
            if await evaluate(connection, at, self.config.thresholds_document()):
                self.live.ring()

    async def check_health(self, at: datetime) -> None:
        interval_s = self.config.intervals.health_s
        async with self.pool.connection() as connection:
            thresholds = self.config.thresholds_document()
            checked = await check(connection, at, interval_s, thresholds, self.known_components())
        self.live.publish_health(checked)
        if any(component.changed for component in checked):
            self.live.ring()

    def known_components(self) -> list[Known]:
        """Return what should be watched, so that what never answered is seen as well."""
        trading = Known("trading", Category.TRADING)
        if self.settings.trading_database_url is None:
            trading = Known("trading", Category.TRADING, TRADING_MISSING)
        targets = [t for t in self.config.targets if t.enabled]
        return [trading, *(Known(target.name, Category.EXTERNAL) for target in targets)]

    async def follow_config(self, _: datetime) -> None:
        """Take over what was changed here or elsewhere, and bring the tiers to it."""
        async with self.pool.connection() as connection:
            self.config = await read(connection)
            if self.applied != self.config.retention:
                await apply(connection, self.config.retention)
                self.applied = self.config.retention

    async def expire_rows(self, now: datetime) -> None:
        await expire(self.pool, now, self.config.retention)

    def set_config(self, config: Config) -> None:
        """Put changed settings in force; the tiers follow at the next turn of follow_config."""
        self.config = config

    def status(self) -> dict[str, object]:
        return {
            "engine": {"embedded": self.engine.embedded, "restarts": self.engine.restarts},
            "services": list(self.slots.values()),
            "writer": {
                "stored": self.writer.stored,
                "pending": self.writer.pending,
                "dropped": self.writer.dropped,
            },
            "pool": self.pool.get_stats(),
        }


@asynccontextmanager
async def open_service(settings: Settings) -> AsyncIterator[Service]:
    """Open every part, downwards; they close upwards, so that what was collected is stored."""
    async with (
        open_engine(settings) as engine,
        open_pool(engine.dsn, embedded=engine.embedded) as pool,
        open_egress(settings.egress_allow) as egress,
    ):
        async with pool.connection() as connection:
            await migrate(connection)
            config = await read(connection)
            await apply(connection, config.retention)
            await add_shipped_rules(connection)
        emitter = load_emitter()
        live = Live(pool, on_event=emitter.emit_event)

        def on_commit(samples: Sequence[Sample]) -> None:
            live.publish(samples)
            emitter.emit_samples(samples)

        async with open_writer(pool, on_commit) as writer:
            yield Service(
                settings, engine, pool, egress, writer, live, emitter, config, config.retention, {}
            )
