"""The reference data: 100 series like those of the collectors, identical in every run."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from bench import shapes
from bench.shapes import DAY_S, Shape, Values
from collectors.metrics import series_of
from model.series import Category, Kind, Labels, Series, labels_of

SEED = 20_240_601
STEP_S = 15
DAYS = 30
CORES = 20
GIB = 2.0**30
CROWD, ROUTES, PODS = 100, 10, 4
WAIT = "crowd_wait_ms"
EXTERNAL = ("binance", "bybit", "openai", "ngrok")
PHASES_MS = {"dns": 0.6, "connect": 9.0, "tls": 14.0, "first_byte": 31.0}

Part = tuple[str, Labels, Shape]


class Reference(Struct, frozen=True):
    """Series and their values: a row for each series, a column for each time (epoch seconds).

    NaN means that a series has no sample at that time.
    """

    series: list[Series]
    times: NDArray[np.int64]
    values: Values

    @property
    def start(self) -> datetime:
        return datetime.fromtimestamp(int(self.times[0]), UTC)

    @property
    def end(self) -> datetime:
        return datetime.fromtimestamp(int(self.times[-1]) + STEP_S, UTC)

    @property
    def samples(self) -> int:
        return int(np.count_nonzero(~np.isnan(self.values)))

    @property
    def fingerprint(self) -> str:
        """Return a name that identifies these data."""
        return hashlib.sha256(self.times.tobytes() + self.values.tobytes()).hexdigest()[:8]

    def rows_of(self, metric: str, labels: Labels) -> list[int]:
        """Return the row indices of the series with a metric and all of the labels."""
        wanted = set(labels)
        return [
            row
            for row, series in enumerate(self.series)
            if series.metric == metric and wanted <= set(series.labels)
        ]


def make(
    end_s: int, days: int = DAYS, *, rounded: bool = True, with_crowd: bool = False
) -> Reference:
    """Return the samples of the days before `end_s`, rounded to the resolution of each series.

    The crowd is 100 series of one metric and a distribution of four pods, for the last day only.
    """
    times = np.arange(end_s - days * DAY_S, end_s, STEP_S, dtype=np.int64)
    parts = list(_series())
    own = len(parts)
    parts += _crowd() if with_crowd else ()
    values = np.empty((len(parts), len(times)))
    for number, (series, shape) in enumerate(parts):
        column = shape(np.random.default_rng([SEED, number]), times.astype(np.float64))
        if rounded and series.resolution is not None:
            column = np.round(column / series.resolution) * series.resolution
        values[number] = column
    values[own:, : -DAY_S // STEP_S] = np.nan
    return Reference([series for series, _ in parts], times, values)


def _series() -> Iterator[tuple[Series, Shape]]:
    for component, category, parts in (
        ("server", Category.SYSTEM, _server()),
        ("database", Category.DATABASE, _database()),
        ("trading", Category.TRADING, _trading()),
        *((name, Category.EXTERNAL, _external()) for name in EXTERNAL),
    ):
        for metric, labels, shape in parts:
            yield series_of(metric, component, category, labels), shape


def _server() -> Iterator[Part]:
    yield "component_up", (), partial(shapes.up, outages=1)
    yield "server_cpu_percent", (), partial(shapes.percent, base=18, swing=22, noise=3)
    for core in range(CORES):
        shape = partial(shapes.percent, base=18, swing=22, noise=7)
        yield "server_cpu_core_percent", labels_of({"core": str(core)}), shape
    yield "server_memory_percent", (), partial(shapes.percent, base=55, swing=8, noise=0.5)
    yield "server_memory_used_bytes", (), partial(shapes.memory, total=64 * GIB)
    yield "server_swap_percent", (), partial(shapes.percent, base=2, swing=1, noise=0.02)
    yield "server_uptime_seconds", (), shapes.uptime
    for minutes in (1, 5, 15):
        yield f"server_load{minutes}", (), partial(shapes.load, minutes=minutes)
    for what, level in (("processes", 310), ("open_files", 5200), ("connections_active", 180)):
        yield f"server_{what}", (), partial(shapes.count, level=level)
    yield from _devices()


def _devices() -> Iterator[Part]:
    for device in ("nvme0n1", "nvme1n1"):
        labels = labels_of({"device": device})
        for what, per_s in (("read", 90_000), ("written", 700_000)):
            shape = partial(shapes.total, per_s=per_s, unit=512)
            yield f"server_disk_{what}_bytes_total", labels, shape
    for interface in ("eth0", "eth1"):
        labels = labels_of({"interface": interface})
        for what, per_s in (("received", 120_000), ("sent", 260_000)):
            yield f"server_network_{what}_bytes_total", labels, partial(shapes.total, per_s=per_s)
    labels = labels_of({"interface": "eth0"})
    yield "server_network_dropped_total", labels, partial(shapes.total, per_s=0.01)
    for mount in ("/", "/data"):
        labels = labels_of({"mount": mount})
        yield "server_disk_up", labels, partial(shapes.up, outages=0)
        yield "server_disk_used_bytes", labels, partial(shapes.filling, total=512 * GIB)
        yield "server_disk_percent", labels, partial(shapes.filling, total=100)


def _database() -> Iterator[Part]:
    yield "component_up", (), partial(shapes.up, outages=1)
    yield "database_latency_ms", (), partial(shapes.latency, median=0.35)
    yield "database_cache_hit_percent", (), partial(shapes.percent, base=97.5, swing=-1, noise=0.4)
    yield "database_size_bytes", (), partial(shapes.filling, total=40 * GIB)
    for what, level in (("available", 6.0), ("waiting", 0.3)):
        yield f"database_pool_{what}", (), partial(shapes.count, level=level)
    for state, level in (
        ("active", 3.0),
        ("idle", 14),
        ("idle in transaction", 0.7),
        ("other", 0.5),
    ):
        labels = labels_of({"state": state})
        yield "database_connections", labels, partial(shapes.count, level=level)
    for what, per_s in (("hit", 9000.0), ("read", 40.0)):
        yield f"database_blocks_{what}_total", (), partial(shapes.total, per_s=per_s)
    for what, per_s in (("commits", 55.0), ("rollbacks", 0.2)):
        yield f"database_{what}_total", (), partial(shapes.total, per_s=per_s)


def _trading() -> Iterator[Part]:
    yield "component_up", (), partial(shapes.up, outages=1)
    for what, level in (("positions_active", 420), ("users_active", 95), ("trades_24h", 8000)):
        yield f"trading_{what}", (), partial(shapes.count, level=level)
    for what, level in (("volume", 2_400_000), ("pnl", 18_000)):
        yield f"trading_{what}_24h", (), partial(shapes.money, level=level)
    yield "trading_success_percent", (), partial(shapes.percent, base=54, swing=4, noise=0.3)


def _external() -> Iterator[Part]:
    yield "component_up", (), partial(shapes.up, outages=6)
    yield "external_latency_ms", (), partial(shapes.latency, median=sum(PHASES_MS.values()))
    for phase, median in PHASES_MS.items():
        labels = labels_of({"phase": phase})
        yield "external_phase_ms", labels, partial(shapes.latency, median=median)
    yield "external_status_code", (), shapes.status_code
    yield "external_certificate_days", (), shapes.days_left


def _crowd() -> Iterator[tuple[Series, Shape]]:
    for number in range(CROWD):
        labels = labels_of({"n": f"{number:02}", "route": str(number % ROUTES)})
        shape = partial(shapes.percent, base=40, swing=20, noise=6)
        yield series_of("crowd_percent", "crowd", Category.SYSTEM, labels), shape
    for pod in range(PODS):
        labels = labels_of({"pod": str(pod), "zone": "a"})
        yield (
            Series(metric=WAIT, component="crowd", labels=labels, kind=Kind.DISTRIBUTION),
            partial(shapes.latency, median=80.0),
        )
