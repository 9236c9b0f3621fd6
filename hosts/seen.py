"""Notes in memory which hosts send live samples. The notes are written to the database in batches.

Nothing is done for each sample: of each series in a batch, only the newest time is looked at.
"""

import asyncio
from collections.abc import Collection
from datetime import datetime

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from model.series import HOST, Series
from model.times import SECOND_US, micros_of
from samples.series import SERIES_MAX
from samples.write_batch import WriteBatch

LIVE_US = 120 * SECOND_US
"""A sample is live if it is not older than this when it arrives. Imports and replays are not."""
HOSTS_MAX = SERIES_MAX
"""Each host has a series. While samples are spooled, the limit of series does not act."""
SLICE_SERIES = 500
"""How many series are looked at before the event loop runs other work: about 2 ms."""

Times = NDArray[np.int64]
Key = tuple[str, str]
"""The name and the kind of what sends."""


class SeenHost(Struct, gc=False):
    """The live samples of one host since the last writing. Times are microseconds since 1970.

    `samples` counts live samples at different times, so ten metrics at one time count once.
    """

    component: str
    first_us: int
    last_us: int
    samples: int


class SeenHosts:
    """The hosts that were seen since the last writing."""

    def __init__(self) -> None:
        self._hosts: dict[Key, SeenHost] = {}
        self._newest_us: dict[Key, int] = {}

    async def note(self, batch: WriteBatch, now: datetime, measured: Collection[str] = ()) -> None:
        """Note the live samples of a received batch.

        Series of `measured` components without a label `host` are Vigia's own and do not count.
        """
        now_us = micros_of(now)
        found: dict[Key, SeenHost] = {}
        given = [(column.series, column.times) for column in batch.columns]
        given += [(one.series, np.array([one.time], np.int64)) for one in batch.histograms]
        for start in range(0, len(given), SLICE_SERIES):
            if start:
                await asyncio.sleep(0)
            for series, times in given[start : start + SLICE_SERIES]:
                self._note(found, series, times, now_us, measured)
        for key, host in found.items():
            self._add(key, host)

    def _note(
        self,
        found: dict[Key, SeenHost],
        series: Series,
        times: Times,
        now_us: int,
        measured: Collection[str],
    ) -> None:
        newest_us = min(int(times[0] if len(times) == 1 else times.max()), now_us)
        after_us = now_us - LIVE_US - 1
        if newest_us <= after_us or (key := _key(series, measured)) is None:
            return
        # A second batch with the same times, of other metrics, adds no sample.
        before_us = self._newest_us.get(key, 0)
        if before_us <= now_us:  # else the clock was set back
            after_us = max(after_us, before_us)
        one = _host_of(series.component, times, after_us, now_us)
        if one is None:
            return
        before = found.get(key)
        found[key] = one if before is None else _together(before, one)

    def _add(self, key: Key, host: SeenHost) -> None:
        before = self._hosts.get(key)
        if before is not None:
            before.last_us = max(before.last_us, host.last_us)
            before.samples += host.samples
        elif len(self._hosts) < HOSTS_MAX:
            self._hosts[key] = host
        self._newest_us[key] = host.last_us

    def take(self, now: datetime) -> dict[Key, SeenHost]:
        """Return what is not written yet, and forget it."""
        taken, self._hosts = self._hosts, {}
        # Older times cannot be those of another live sample.
        oldest_us = micros_of(now) - LIVE_US
        self._newest_us = {key: at for key, at in self._newest_us.items() if at >= oldest_us}
        return taken

    def put_back(self, hosts: dict[Key, SeenHost]) -> None:
        """Keep what could not be written, for the next time."""
        later, self._hosts = self._hosts, hosts
        for key, host in later.items():
            self._add(key, host)


def _key(series: Series, measured: Collection[str]) -> Key | None:
    for name, value in series.labels:
        if name == HOST and value:
            return value, "host"
    return None if series.component in measured else (series.component, "component")


def _host_of(component: str, times: Times, after_us: int, now_us: int) -> SeenHost | None:
    """Return what one series says: its times after `after_us`, none later than now."""
    if len(times) == 1:
        only_us = min(int(times[0]), now_us)
        return SeenHost(component, only_us, only_us, 1) if only_us > after_us else None
    fresh = np.unique(np.minimum(times[times > after_us], now_us))
    return SeenHost(component, int(fresh[0]), int(fresh[-1]), len(fresh)) if len(fresh) else None


def _together(before: SeenHost, one: SeenHost) -> SeenHost:
    """Return what two series of one batch say: most of their times are the same."""
    return SeenHost(
        before.component,
        min(before.first_us, one.first_us),
        max(before.last_us, one.last_us),
        max(before.samples, one.samples),
    )
