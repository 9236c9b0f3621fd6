"""Missed slots: health checks that did not happen are made later, from samples stored since.

A file keeps the missed slots through a kill, because nothing else records an outage of the
database.
"""

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import structlog
from msgspec import Struct

from db.queries import Connection
from health import status as health

log = structlog.get_logger()

SLOTS_MAX = 2880
"""A day of checks. After a longer outage, only the last day is checked."""
AT_ONCE_MAX = 120
"""Most missed slots that are checked in one run."""
REASON = "the database did not answer"


class Missed(Struct, frozen=True):
    """A slot without a check; `is_away` if the database did not answer."""

    at: datetime
    interval_s: float
    is_away: bool


class MissedChecks:
    """The missed slots that are still to be checked."""

    def __init__(self, file: Path | None = None) -> None:
        """Read the missed slots that an earlier process left in the file."""
        self._file = file
        self._checked_to: datetime | None = None
        self.slots: list[Missed] = _read(file)

    def note(self, at: datetime, interval_s: float, *, is_away: bool) -> None:
        """Record a slot that could not be checked, and the slots between it and the last one."""
        self._add([*self._gap(at, interval_s), Missed(at, interval_s, is_away)])
        if self._checked_to is not None:
            # If the last check is unknown, `learn` reads it, and then finds the slots in between.
            self._checked_to = at

    def note_waiting(self, now: datetime, interval_s: float) -> None:
        """Record that the database is unavailable during the start, once for each slot."""
        at = datetime.fromtimestamp(now.timestamp() // interval_s * interval_s, UTC)
        if at not in {slot.at for slot in self.slots}:
            self.note(at, interval_s, is_away=True)

    def note_checked(self, at: datetime) -> None:
        """Record that a slot was checked."""
        self._checked_to = at

    def note_gap(self, at: datetime, interval_s: float) -> None:
        """Record the slots between the last one and this, in which no check ran."""
        self._add(self._gap(at, interval_s))

    def _gap(self, at: datetime, interval_s: float) -> list[Missed]:
        if self._checked_to is None:
            return []
        interval = timedelta(seconds=interval_s)
        known = {slot.at for slot in self.slots}
        count = min(SLOTS_MAX, max(0, (at - self._checked_to) // interval - 1))
        gap = (at - number * interval for number in range(count, 0, -1))
        self._checked_to = max(self._checked_to, at - interval)
        return [Missed(slot, interval_s, is_away=False) for slot in gap if slot not in known]

    def _add(self, missed: list[Missed]) -> None:
        if missed:
            self.slots = [*self.slots, *missed][-SLOTS_MAX:]
            self._write()

    async def learn(self, connection: Connection) -> None:
        """Read the time of the last check, to find slots missed while the process was stopped."""
        if self._checked_to is None:
            self._checked_to = await health.newest_check(connection)

    async def record(
        self,
        connection: Connection,
        thresholds: Mapping[str, object],
        stale: timedelta,
        until: float,
    ) -> None:
        """Check the oldest missed slots, at least one. Samples of these slots must be stored.

        1. Record that the database was down in the slots in which it did not answer.
        2. Check each slot from stored samples, until `until` (monotonic, s) has passed.
        3. Write the remaining slots to the file, also after an error.
        """
        while_away = {slot.at: slot.interval_s for slot in self.slots if slot.is_away}
        if while_away:
            await health.record_outage(connection, while_away, REASON)
        try:
            for slot in self.slots[:AT_ONCE_MAX]:
                await self._judge(connection, slot, thresholds, stale)
                if time.monotonic() >= until:
                    break
        finally:
            # Also after an error or cancellation, so that no slot is checked twice.
            self._write()

    async def _judge(
        self,
        connection: Connection,
        slot: Missed,
        thresholds: Mapping[str, object],
        stale: timedelta,
    ) -> None:
        others = [other for other in self.slots if other is not slot]
        # Move the slot to the end before it is checked: if the check fails, others come first.
        self.slots = [*others, slot]
        await health.record_missed(connection, slot.at, slot.interval_s, thresholds, stale)
        self.slots = others

    def _write(self) -> None:
        if self._file is None:
            return
        try:
            # Not synced to disk: it survives a kill of the process, which is all that is needed.
            unfinished = self._file.with_suffix(".new")
            unfinished.write_bytes(msgspec.json.encode(self.slots))
            unfinished.replace(self._file)
        except OSError as error:
            log.warning("missed_checks_not_kept", error=error.strerror)


def _read(file: Path | None) -> list[Missed]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=list[Missed]) if file else []
    except FileNotFoundError:
        return []
    except (OSError, msgspec.DecodeError) as error:
        log.warning("missed_checks_unreadable", error=str(error))
        return []
