"""Writes which hosts were seen, and turns silence into samples that rules evaluate."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime

from msgspec import Struct, field

from db.queries import Pool
from hosts import store
from hosts.seen import SeenHosts
from hosts.store import Host
from model.series import HOST_SILENT_SECONDS, Labels, Sample, Series, labels_of
from model.times import utc_now
from samples.write_batch import WriteBatch


class HostWatch(Struct, kw_only=True):
    """Follows which hosts send. `put` receives the samples of silent hosts."""

    pool: Pool
    put: Callable[[Sequence[Sample]], None]
    seen: SeenHosts = field(default_factory=SeenHosts)
    started: datetime = field(default_factory=utc_now)
    """Silence before this time does not count: nobody could receive samples."""

    async def note(
        self, batch: WriteBatch, refused: WriteBatch, now: datetime, measured: Collection[str]
    ) -> None:
        """Note which hosts a received batch came from, except the part that was refused."""
        lost = {_identity(series) for series in refused.series()}
        if lost:
            columns = [one for one in batch.columns if _identity(one.series) not in lost]
            histograms = [one for one in batch.histograms if _identity(one.series) not in lost]
            batch = WriteBatch(columns, histograms)
        await self.seen.note(batch, now, measured)

    async def write(self, now: datetime) -> None:
        """Write which hosts were seen. What cannot be written waits for the next time."""
        taken = self.seen.take(now)
        try:
            async with self.pool.connection() as connection, connection.transaction():
                await store.record(connection, taken)
        except BaseException:
            self.seen.put_back(taken)
            raise

    async def judge(self, at: datetime) -> None:
        """Judge all hosts at a time, and put a sample for each silent one."""
        async with self.pool.connection() as connection, connection.transaction():
            found = await store.judge(connection, at, self.started)
        self.put([sample_of(host, at) for host in found])


def _identity(series: Series) -> tuple[str, str, Labels]:
    # The writer may have replaced the resolution.
    return series.metric, series.component, series.labels


def sample_of(host: Host, at: datetime) -> Sample:
    """Return for how long a host has been silent, with the reason that its alert shows."""
    series = Series(
        metric=HOST_SILENT_SECONDS,
        component=host.component,
        labels=labels_of(host.labels),
        unit="seconds",
    )
    if host.silent_since is None:
        return Sample(series, at, 0.0)
    silent_s = max((at - host.silent_since).total_seconds(), 0.001)
    return Sample(series, at, silent_s, reason_of(host))


def reason_of(host: Host) -> str:
    """Return since when a host is silent, and how often it sent before."""
    since = f"no sample since {host.last_seen:%Y-%m-%d %H:%M:%S} UTC"
    if host.usual_interval_s is None:
        return since
    return f"{since}; usually one every {_duration(host.usual_interval_s)}"


def _duration(seconds: float) -> str:
    """Return a length of time in its largest fitting unit, with three digits."""
    for unit, length in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s"
