"""A collector for a folder of SQL files: each file is a query against one database."""

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
BAD_NAME = (
    "another component has this name, or it is not a valid one; name the folder with small "
    "letters, digits, _ and -, beginning with a letter"
)

log = structlog.get_logger()


class SqlError(Exception):
    """Some of the files failed. The message names each file and the cause."""


class Kept(Struct, frozen=True):
    """The samples of a file, and the time of its query."""

    measurement: Measurement
    time: datetime
    samples: list[Sample]

    def holds(self, measurement: Measurement, time: datetime) -> bool:
        """Return whether the samples are still valid. A clock that was set back ends them."""
        until = self.time + timedelta(seconds=measurement.every_s)
        return self.measurement is measurement and self.time <= time < until


class SqlFiles:
    """Runs the query of each file on one database, and puts its samples at once.

    So neither the failure of another file nor the deadline of the run loses them. Failures are
    raised at the end, and the run turns them into `component_up` = 0.
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
        """Run all files. Raises SqlError if any of them failed.

        1. Read the files that changed.
        2. Connect, or check that the open connection still answers.
        3. Run each file in its own transaction. Stop at a lost connection.
        4. Release the locks that the queries took.
        """
        measurements, failures = self._files.read()
        await self._connect()
        owners: dict[tuple[str, Labels], str] = {}
        # A file that failed comes last in the next run: a query that uses up the deadline each time
        # must not starve the others.
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
        """Run a file, or repeat its samples while they are younger than `every_s`."""
        kept = self._kept.pop(measurement.name, None)
        if kept is None or not kept.holds(measurement, time):
            kept = Kept(measurement, time, await self._ask(measurement, time))
        self._kept[measurement.name] = kept
        return [structs.replace(sample, time=time) for sample in kept.samples]

    async def _ask(self, measurement: Measurement, time: datetime) -> list[Sample]:
        # It counts as failed until it succeeds, because the run may be cancelled in between.
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
        """Return a series without a resolution: the column's name does not tell the precision."""
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
    """Raise MeasurementError for a series of two files: only one of the two would be stored."""
    for sample in samples:
        series = sample.series
        owner = owners.setdefault((series.metric, series.labels), measurement.name)
        if owner != measurement.name:
            raise measurement.error(f"{owner}.sql already measures {series.metric}; rename one")


async def collect_files_every(
    interval_s: Callable[[], float], collector: SqlFiles, stats: SlotStats
) -> None:
    """Collect in every slot, for ever. Close the connection at the end."""
    try:
        await collect_every(interval_s, collector, collector.put, stats)
    finally:
        await collector.close()


def components(root: Path, taken: Collection[str], put: Put) -> list[SqlFiles]:
    """Return a collector for each folder below `root`, except `trading`, which has its own."""
    found = []
    for folder in sorted(path for path in root.glob("*/") if path.name != TRADING):
        if folder.name in taken or not TARGET_NAME.fullmatch(folder.name):
            log.warning("sql_folder_ignored", folder=folder.name, reason=BAD_NAME)
        else:
            found.append(_component(folder, put))
    return found


def _component(folder: Path, put: Put) -> SqlFiles:
    database = ReadOnly(lambda: address_in(folder / ADDRESS_FILE))
    return SqlFiles(folder.name, Category.EXTERNAL, database, lambda: sql_paths(folder), put)
