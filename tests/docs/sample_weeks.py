"""Five weeks of a trading platform, made up but alive: what analysts ask questions of."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
from msgspec import Struct, field

from db.queries import Connection
from model.series import Category, Kind, Sample, Series, labels_of
from samples.insert import insert
from samples.series import SeriesNumbers

DAYS = 35
SLOT_S = 600
SLOTS = DAYS * 86400 // SLOT_S
BATCH = 20_000
WIDTHS = ("5m", "1h", "1d")
ROLL_UPS = (
    *(f"system_{of}_{w}" for of in ("metrics", "counters", "distributions") for w in WIDTHS),
    "component_uptime_1h",
)
"""Those that the questions are about; none is about minutes, which are the most."""
WATCHED = ("server", "database", "binance", "openai")

Numbers = np.ndarray[tuple[int], np.dtype[np.float64]]
Values = dict[datetime, float]


class Check(Struct, frozen=True):
    """What a check of a component found."""

    time: datetime
    component: str
    status: str | None
    reason: str


class Alert(Struct, frozen=True):
    """An alert and when it was seen to."""

    rule: str
    level: str
    opened_at: datetime
    acknowledged_at: datetime | None
    resolved_at: datetime | None


class Weeks(Struct):
    """What was stored, to be asked in Python what is asked in SQL."""

    now: datetime
    samples: dict[Series, Values] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)

    def of(self, metric: str, component: str | None = None, **labels: str) -> Values:
        """Return the samples of the one series of that name."""
        [values] = [
            values
            for series, values in self.samples.items()
            if series.metric == metric
            and component in {None, series.component}
            and set(labels.items()) <= set(series.labels)
        ]
        return values


def bucketed(values: Values, width_s: int) -> dict[datetime, list[float]]:
    """Return the values of each bucket in the order of time."""
    found: dict[datetime, list[float]] = defaultdict(list)
    for time, value in values.items():
        found[datetime.fromtimestamp(time.timestamp() // width_s * width_s, UTC)].append(value)
    return dict(found)


def make(now: datetime) -> Weeks:
    """Make the same weeks every time, up to a moment."""
    end = datetime.fromtimestamp(now.timestamp() // SLOT_S * SLOT_S, UTC)
    weeks = Weeks(end)
    times = [end - timedelta(seconds=SLOT_S * (SLOTS - 1 - i)) for i in range(SLOTS)]
    random = np.random.default_rng(7)

    def noise(spread: float) -> Numbers:
        return random.normal(0, spread, SLOTS)

    def put(
        series: Series, values: Numbers, *, gap: Callable[[int], bool] = lambda _: False
    ) -> None:
        weeks.samples[series] = {
            time: series.round(float(value))
            for i, (time, value) in enumerate(zip(times, values, strict=True))
            if not gap(i)
        }

    day = np.array([(t.hour * 60 + t.minute) / 1440 for t in times])
    age = (SLOTS - 1 - np.arange(SLOTS)) * SLOT_S / 86400
    office = np.array([t.isoweekday() <= 5 and 12 <= t.hour < 21 for t in times])
    spike = (age > 0.3) & (age < 0.4)
    cpu = 25 + 8 * np.sin(2 * np.pi * day) + 20 * office + noise(1.5) + 45 * spike
    _put_server(put, cpu, age, noise)
    slow = np.array([t.hour in {14, 15} and t.day % 3 == 0 for t in times])
    _put_trading(put, slow, random)
    weeks.checks = list(_checks(times))
    weeks.alerts = list(_alerts(end))
    return weeks


Put = Callable[..., None]


def _put_server(put: Put, cpu: Numbers, age: Numbers, noise: Callable[[float], Numbers]) -> None:
    def server(metric: str, unit: str = "", kind: Kind = Kind.GAUGE, **labels: str) -> Series:
        return Series(
            metric=metric, component="server", unit=unit, kind=kind, labels=labels_of(labels)
        )

    def away(i: int) -> bool:
        return 3 * 144 <= SLOTS - i < 3 * 144 + 12

    put(server("server_cpu_percent", "percent"), np.clip(cpu, 0, 100), gap=away)
    put(server("server_memory_percent", "percent"), 55 + noise(2))
    put(server("server_disk_percent", "percent", mount="/"), 70 - 0.5 * age + noise(0.05))
    put(server("server_disk_percent", "percent", mount="/data"), 40 - 0.01 * age + noise(0.05))
    received = np.cumsum(np.abs(noise(2e8)) + 1e8)
    put(
        server("server_network_received_bytes_total", "bytes", Kind.COUNTER, interface="eth0"),
        np.where(age < 2.5, received - received[age >= 2.5][-1], received),
    )
    for name, size in (("hit", 1e6), ("read", 2e4)):
        metric = f"database_blocks_{name}_total"
        put(
            Series(metric=metric, component="database", kind=Kind.COUNTER),
            np.cumsum(np.abs(noise(size)) + size),
        )
    put(
        Series(metric="database_latency_ms", component="database", unit="ms"),
        np.clip(2 + cpu / 10 + noise(0.5), 0.1, None),
    )


def _put_trading(put: Put, slow: Numbers, random: np.random.Generator) -> None:
    def target(component: str) -> Series:
        return Series(
            metric="external_latency_ms",
            component=component,
            category=Category.EXTERNAL,
            unit="ms",
        )

    def trading(metric: str, unit: str) -> Series:
        return Series(metric=metric, component="trading", category=Category.TRADING, unit=unit)

    binance = random.lognormal(5, 0.4, SLOTS) + 1500 * slow
    put(target("binance"), binance)
    put(target("bybit"), random.lognormal(5.5, 0.4, SLOTS))
    put(target("openai"), random.lognormal(6, 0.3, SLOTS), gap=lambda i: SLOTS - i < 144)
    put(
        trading("trading_success_percent", "percent"),
        np.clip(72 - binance / 80 + random.normal(0, 2, SLOTS), 0, 100),
    )
    put(
        trading("trading_pnl_24h", "usd"),
        9000 - 6000 * slow + random.normal(0, 800, SLOTS),
    )
    for exchange, mean in (("binance", 4.5), ("bybit", 5.0)):
        put(
            Series(
                metric="order_latency_ms",
                component="orders",
                category=Category.TRADING,
                unit="ms",
                kind=Kind.DISTRIBUTION,
                labels=(("exchange", exchange),),
            ),
            random.lognormal(mean, 0.9, SLOTS),
        )


def _checks(times: list[datetime]) -> Iterator[Check]:
    """Binance was down three times, and nobody looked at OpenAI for six hours."""
    for i, time in enumerate(times):
        for component in WATCHED:
            is_down = component == "binance" and i % 1500 in {700, 701, 702}
            if component == "openai" and SLOTS - 600 <= i < SLOTS - 564:
                yield Check(time, component, None, "not observed")
            elif is_down:
                yield Check(time, component, "down", "ConnectionTimeoutError")
            else:
                yield Check(time, component, "warning" if i % 97 == 0 else "healthy", "")


def _alerts(now: datetime) -> Iterator[Alert]:
    rules = [("cpu", "warning"), ("external-latency", "critical"), ("down", "emergency")]
    for i in range(60):
        rule, level = rules[i % 7 % 3]
        opened = now - timedelta(hours=2 + 11 * i)
        yield Alert(
            rule,
            level,
            opened,
            opened + timedelta(minutes=3 + i % 5) if i % 4 else None,
            opened + timedelta(minutes=10 + 7 * (i % 9)) if i else None,
        )


async def store(connection: Connection, weeks: Weeks) -> None:
    """Store the weeks, rolled up as they would be by now."""
    samples = [
        Sample(series, time, value)
        for series, values in weeks.samples.items()
        for time, value in values.items()
    ]
    numbers = SeriesNumbers()
    for first in range(0, len(samples), BATCH):
        async with connection.transaction():
            await insert(connection, numbers, samples[first : first + BATCH])
    await _store_checks(connection, weeks)
    await _store_alerts(connection, weeks)
    for relation in ROLL_UPS:
        refresh = f"CALL refresh_continuous_aggregate('{relation}', NULL, %s)"
        await connection.execute(refresh.encode(), [weeks.now - timedelta(hours=1)])


async def _store_checks(connection: Connection, weeks: Weeks) -> None:
    await connection.execute(
        "INSERT INTO component_checks (time, component, status, stands_for_s, reason) "
        "SELECT time, component, status, CASE WHEN status IS NULL THEN 0 ELSE %s END, reason "
        "FROM unnest(%s::timestamptz[], %s::text[], %s::text[], %s::text[]) "
        "AS given (time, component, status, reason)",
        [
            SLOT_S,
            [check.time for check in weeks.checks],
            [check.component for check in weeks.checks],
            [check.status for check in weeks.checks],
            [check.reason for check in weeks.checks],
        ],
    )
    await connection.execute(
        "INSERT INTO component_status (component, category, status, since, last_check) "
        "SELECT component, 'system', 'healthy', %s, %s FROM unnest(%s::text[]) AS component",
        [weeks.now, weeks.now, list(WATCHED)],
    )


async def _store_alerts(connection: Connection, weeks: Weeks) -> None:
    for alert in weeks.alerts:
        await connection.execute(
            "INSERT INTO system_alerts (rule, level, category, component, title, message, state, "
            "opened_at, acknowledged_at, acknowledged_by, resolved_at, resolved_by) "
            "VALUES (%s, %s, 'system', 'server', 'title', 'message', %s, %s, %s, %s, %s, %s)",
            [
                alert.rule,
                alert.level,
                "resolved" if alert.resolved_at else "firing",
                alert.opened_at,
                alert.acknowledged_at,
                "ana" if alert.acknowledged_at else None,
                alert.resolved_at,
                "auto" if alert.resolved_at else None,
            ],
        )
