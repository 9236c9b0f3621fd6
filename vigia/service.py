"""Builds the parts of the service and passes each the parts that it needs."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial

from msgspec import Struct, field

from alerts.evaluation.catch_up import Evaluations
from alerts.evaluation.evaluator import evaluate
from alerts.sql_rules.collector import SqlRuleCollector
from audit.refusals import Refusals
from config.actions import BACKUP, WEBHOOK
from db.engine import Engine, open_engine
from db.pool import DatabasePool
from health.missed import MissedChecks
from health.monitor import Monitor
from hosts.watch import HostWatch
from live.hub import Live
from live.subscribers import Subscribers, load
from model.times import utc_now
from notifications.actions.runner import Do, Runner
from notifications.actions.webhook import WebhookAction
from notifications.outbox.composing import Composer, find_channel
from notifications.outbox.dispatcher import Dispatcher
from notifications.outbox.lease import lease_of
from notifications.outbox.pool_share import PoolShare
from notifications.outbox.sender import Sender
from notifications.replies.acting import Acting
from notifications.replies.listening import Listeners
from notifications.replies.reply import OnReply
from notifications.watchdog.canary import confirm
from notifications.watchdog.watchdog import Watchdog
from runtime.encryption.key_file import open_keys
from runtime.encryption.secret_keys import SecretKeys
from runtime.network.egress import Egress, open_egress
from runtime.network.endpoints import own_endpoints
from runtime.schedule import SlotStats
from runtime.settings import Settings
from samples.database.incarnation import Incarnations
from samples.database.readiness import Readiness
from samples.spooling.spool import SampleSpool, open_spool
from samples.writer import Writer
from vigia.backups.on_alert import BackupAction
from vigia.current_config import CurrentConfig
from vigia.pools import open_own, open_reader, open_requests
from vigia.self_monitoring.loop_lag import LoopLag
from vigia.start import Start
from vigia.transitions import ON_TRANSITIONS

DISPATCH_CONNECTIONS_MAX = 3
"""Limit of connections for notifications, so that evaluation and writer keep theirs."""
MISSED_FILE = "missed_checks.json"


class Service(Struct, kw_only=True):
    """The parts of a running service."""

    settings: Settings
    engine: Engine
    pool: DatabasePool
    """Connections for the service's own work only."""
    requests: DatabasePool
    """Connections for requests; all of them may be in use."""
    reader: DatabasePool
    """Connections for history."""
    egress: Egress
    spool: SampleSpool
    writer: Writer
    live: Live
    subscribers: Subscribers
    config: CurrentConfig
    secret_keys: SecretKeys
    dispatcher: Dispatcher
    actions: Mapping[str, Runner]
    """What alerts start besides messages, by kind."""
    listeners: Listeners
    announce: Callable[[], None]
    """To be called after a commit with new events: wakes live clients and the dispatcher."""
    evaluations: Evaluations
    monitor: Monitor
    hosts: HostWatch
    sql_rules: SqlRuleCollector
    incarnations: Incarnations
    readiness: Readiness
    start: Start
    refusals: Refusals = field(default_factory=Refusals)
    loop_lag: LoopLag = field(default_factory=LoopLag)
    slot_stats: dict[str, SlotStats] = field(default_factory=dict)
    is_ready: bool = False

    def counted(self, name: str) -> SlotStats:
        """Return the slot statistics of a task, which the status shows."""
        return self.slot_stats.setdefault(name, SlotStats(name=name))


@asynccontextmanager
async def open_service(settings: Settings) -> AsyncIterator[Service]:
    """Open every part and prepare the database."""
    async with open_unprepared(settings) as service:
        await service.start.prepare()
        yield service


@asynccontextmanager
async def open_unprepared(settings: Settings) -> AsyncIterator[Service]:
    """Open every part; they close in reverse order, so that collected samples are still stored.

    The database server may be unavailable: the pools keep trying. Until the start is complete,
    received samples are spooled.
    """
    incarnations = Incarnations()
    async with (
        open_engine(settings) as engine,
        open_own(engine, incarnations) as pool,
        open_requests(settings, engine) as requests,
        open_reader(settings, engine, requests) as reader,
        open_egress(settings.egress_allow, await own_endpoints(settings)) as egress,
        open_spool(settings.data_dir / "spool") as spool,
    ):
        subscribers = load()
        live = Live(pool, on_event=subscribers.emit_event, on_samples=subscribers.emit_samples)
        async with _writer(engine, pool, live, spool, incarnations) as writer:
            secret_keys = open_keys(settings)
            dispatcher = _dispatcher(settings, pool, egress, secret_keys)

            def announce() -> None:
                live.wake()
                dispatcher.wake()

            config = CurrentConfig(pool, announce)
            writer.resolution = config.resolution
            monitor = _monitor(settings, pool, config, writer, live)
            replace_all = partial(_replace_all, pool, requests, reader)
            incarnations.on_change += [config.forget, live.forget, replace_all]
            yield Service(
                settings=settings,
                engine=engine,
                pool=pool,
                requests=requests,
                reader=reader,
                egress=egress,
                spool=spool,
                writer=writer,
                live=live,
                subscribers=subscribers,
                config=config,
                secret_keys=secret_keys,
                dispatcher=dispatcher,
                actions=_actions(settings, pool, config, egress, secret_keys),
                listeners=_listeners(pool, egress, secret_keys, announce),
                announce=announce,
                evaluations=_evaluations(settings, pool, config, writer, announce),
                monitor=monitor,
                hosts=HostWatch(pool=pool, put=writer.put),
                sql_rules=SqlRuleCollector(pool, writer.put),
                incarnations=incarnations,
                readiness=Readiness(pool, lambda: writer.cause),
                start=Start(
                    data_dir=settings.data_dir,
                    engine=engine,
                    pool=pool,
                    requests=requests,
                    spool=spool,
                    writer=writer,
                    incarnations=incarnations,
                    config=config,
                    monitor=monitor,
                ),
            )


def _writer(
    engine: Engine,
    pool: DatabasePool,
    live: Live,
    spool: SampleSpool,
    incarnations: Incarnations,
) -> Writer:
    """Return the writer, which keeps everything on disk until the start is complete."""
    return Writer(
        pool,
        live.publish,
        spool,
        can_copy=not engine.embedded,
        is_away=True,
        incarnations=incarnations,
    )


def _replace_all(*pools: DatabasePool) -> None:
    """Replace all connections: after a restore, some open ones would fail for ever."""
    for pool in pools:
        pool.replace_all()


def _evaluations(
    settings: Settings,
    pool: DatabasePool,
    config: CurrentConfig,
    writer: Writer,
    announce: Callable[[], None],
) -> Evaluations:
    return Evaluations(
        pool=pool,
        config=lambda: config.value,
        renew_config=config.renew_outdated,
        wait_until_stored=writer.wait_until_stored,
        announce=announce,
        evaluate=partial(evaluate, on_transitions=ON_TRANSITIONS),
        confirm=confirm if settings.watchdog_url else None,
    )


def _dispatcher(
    settings: Settings, pool: DatabasePool, egress: Egress, keys: SecretKeys
) -> Dispatcher:
    few = PoolShare(pool, DISPATCH_CONNECTIONS_MAX)
    sender = Sender(
        pool=few,
        egress=egress,
        find_channel=partial(find_channel, few, keys),
        compose=Composer(pool=few, url=settings.url, keys=keys).compose,
        now=utc_now,
        lease=lease_of(settings.data_dir),
    )
    watchdog = _watchdog(settings, pool, egress)
    return Dispatcher(pool=few, sender=sender, now=utc_now, watchdog=watchdog)


def _actions(
    settings: Settings,
    pool: DatabasePool,
    config: CurrentConfig,
    egress: Egress,
    keys: SecretKeys,
) -> Mapping[str, Runner]:
    do_by_kind: Mapping[str, Do] = {
        WEBHOOK: WebhookAction(pool=pool, keys=keys, egress=egress, now=utc_now).do,
        BACKUP: BackupAction(settings=settings).do,
    }
    return {
        kind: Runner(
            kind=kind,
            do=do,
            pool=pool,
            actions=lambda: config.value.actions,
            lease=lease_of(settings.data_dir),
            now=utc_now,
        )
        for kind, do in do_by_kind.items()
    }


def _watchdog(settings: Settings, pool: DatabasePool, egress: Egress) -> Watchdog | None:
    if settings.watchdog_url is None:
        return None
    return Watchdog(pool=PoolShare(pool, 1), egress=egress, url=settings.watchdog_url, now=utc_now)


def _listeners(
    pool: DatabasePool, egress: Egress, keys: SecretKeys, announce: Callable[[], None]
) -> Listeners:
    few = PoolShare(pool, 1)

    def on_reply_of(channel_id: int) -> OnReply:
        acting = Acting(
            pool=few,
            keys=keys,
            channel_id=channel_id,
            on_transitions=ON_TRANSITIONS,
            announce=announce,
            now=utc_now,
        )
        return acting.on_reply

    return Listeners(pool=few, egress=egress, keys=keys, on_reply_of=on_reply_of, now=utc_now)


def _monitor(
    settings: Settings, pool: DatabasePool, config: CurrentConfig, writer: Writer, live: Live
) -> Monitor:
    return Monitor(
        pool=pool,
        settings=config.checks,
        is_stored=partial(writer.wait_until_stored, 0.0),
        publish=live.publish_health,
        announce=live.wake,
        has_trading=settings.trading_database_url is not None,
        missed=MissedChecks(settings.data_dir / MISSED_FILE),
    )
