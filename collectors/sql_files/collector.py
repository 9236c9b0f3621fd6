"""A folder of SQL files is a collector: of any database, for any question."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import psycopg
import structlog
from msgspec import Struct, structs

from collectors.collector import Put, collect_every
from collectors.metrics import series_of
from collectors.sql_files.connection import LostError, ReadOnly
from collectors.sql_files.folder import ADDRESS_FILE, Files, Paths, address_in, sql_paths
from collectors.sql_files.header import MeasurementError
from collectors.sql_files.measurement import Measurement
from model.series import Category, Labels, Sample, Series
from model.text import TARGET_NAME
from runtime.deadline import reason_of_database
from runtime.schedule import SlotStats

TRADING = "trading"

log = structlog.get_logger()


class SqlError(Exception):
    """Some of the files were not answered; the message names each and says why."""


class Kept(Struct, frozen=True):
    """What a file was answered, and when."""

    measurement: Measurement
    time: datetime
    samples: list[Sample]

    def holds(self, measurement: Measurement, time: datetime) -> bool:
        """Say whether it is still the answer. A clock that was set back ends it."""
        until = self.time + timedelta(seconds=measurement.every_s)
        return self.measurement is measurement and self.time <= time < until


class SqlFiles:
    """Asks one database each file's question, and puts what is answered at once.

    So neither another file's failure nor the turn's deadline loses it. A failure is raised at the
    end, for the turn to make a sample of.
    """

    def __init__(
        self, name: str, category: Category, database: ReadOnly, paths: Paths, put: Put
    ) -> None:
        self.name = name
        self.category = category
        self.put = put
        self._database = database
        self._files = Files(paths)
        self._kept: dict[str, Kept] = {}
        self._failed: set[str] = set()

    async def collect(self, time: datetime) -> list[Sample]:
        measurements, failures = self._files.read()
        await self._connect()
        owners: dict[tuple[str, Labels], str] = {}
        # What fails comes last the next time: one that is never answered must not starve the rest.
        for measurement in sorted(measurements, key=lambda each: each.name in self._failed):
            try:
                samples = await self._take(measurement, time)
                _check_owners(owners, measurement, samples)
            except MeasurementError as error:
                failures.append(str(error))
            except LostError as error:
                failures.append(f"{measurement.name}.sql: {error}")
                break
            else:
                self.put(samples)
        await self._database.unlock()
        if failures:
            raise SqlError("; ".join(failures))
        return []

    async def close(self) -> None:
        await self._database.close()

    async def _connect(self) -> None:
        try:
            await self._database.connect()
        except (psycopg.Error, LostError) as error:
            raise SqlError(str(error)) from None

    async def _take(self, measurement: Measurement, time: datetime) -> list[Sample]:
        """Ask, or repeat what was answered within the time that the answer holds."""
        kept = self._kept.pop(measurement.name, None)
        if kept is None or not kept.holds(measurement, time):
            kept = Kept(measurement, time, await self._ask(measurement, time))
        self._kept[measurement.name] = kept
        return [structs.replace(sample, time=time) for sample in kept.samples]

    async def _ask(self, measurement: Measurement, time: datetime) -> list[Sample]:
        self._failed.add(measurement.name)
        series = partial(self._series_of, measurement)
        try:
            async with self._database.transaction(measurement.header.timeout_s) as connection:
                samples = await measurement.read(connection, time, self.name, series)
        except psycopg.Error as error:
            raise measurement.error(reason_of_database(error)) from None
        self._failed.discard(measurement.name)
        return samples

    def _series_of(
        self, measurement: Measurement, metric: str, component: str, labels: Labels
    ) -> Series:
        """Return a series that is stored as it comes: a name does not say how fine values are."""
        named = series_of(metric, component, self.category, labels)
        header = measurement.header
        return structs.replace(
            named,
            unit=header.unit(metric) or named.unit,
            kind=header.kind(metric) or named.kind,
            resolution=None,
        )


def _check_owners(
    owners: dict[tuple[str, Labels], str], measurement: Measurement, samples: Sequence[Sample]
) -> None:
    """Refuse a series that another file measures too: only one of both would be stored."""
    for sample in samples:
        series = sample.series
        owner = owners.setdefault((series.metric, series.labels), measurement.name)
        if owner != measurement.name:
            raise measurement.error(f"{series.metric} is measured by {owner}.sql already")


async def collect_files_every(
    interval_s: Callable[[], float], collector: SqlFiles, stats: SlotStats
) -> None:
    """Collect in every slot, for ever; the connection ends with it."""
    try:
        await collect_every(interval_s, collector, collector.put, stats)
    finally:
        await collector.close()


def components(root: Path, taken: Collection[str], put: Put) -> list[SqlFiles]:
    """Build a collector for each folder below `root`, but for that of trading, which has one."""
    found = []
    for folder in sorted(path for path in root.glob("*/") if path.name != TRADING):
        if folder.name in taken or not TARGET_NAME.fullmatch(folder.name):
            reason = f"another component has the name, or it does not match {TARGET_NAME.pattern}"
            log.warning("sql_folder_ignored", folder=folder.name, reason=reason)
        else:
            found.append(_component(folder, put))
    return found


def _component(folder: Path, put: Put) -> SqlFiles:
    database = ReadOnly(lambda: address_in(folder / ADDRESS_FILE))
    return SqlFiles(folder.name, Category.EXTERNAL, database, lambda: sql_paths(folder), put)
