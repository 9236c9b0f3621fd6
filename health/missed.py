"""Slots that were not checked, and how they are judged once what was collected at them is stored.

The file keeps them through a kill: of an outage, nobody else knows that there was one.
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
"""A day of checks: of a longer time, the last day is judged."""
AT_ONCE_MAX = 120
"""So many are judged in one turn, which has other things to do as well."""
REASON = "the database did not answer"


class Missed(Struct, frozen=True):
    """A slot without a check; `is_away` when that was for the database."""

    at: datetime
    interval_s: float
    is_away: bool


class MissedChecks:
    """Remembers the slots that were missed, until they are judged."""

    def __init__(self, file: Path | None = None) -> None:
        """Take up what an earlier process has left in the file."""
        self._file = file
        self._checked_to: datetime | None = None
        self.slots: list[Missed] = _read(file)

    def note(self, at: datetime, interval_s: float, *, is_away: bool) -> None:
        """Note a slot that could not be checked, and those between it and the one before."""
        self._add([*self._gap(at, interval_s), Missed(at, interval_s, is_away)])
        if self._checked_to is not None:
            # Otherwise the last check is yet to be looked up, for those between it and this.
            self._checked_to = at

    def note_waiting(self, now: datetime, interval_s: float) -> None:
        """Note that the database is away while the service waits for it, once in each slot."""
        at = datetime.fromtimestamp(now.timestamp() // interval_s * interval_s, UTC)
        if at not in {slot.at for slot in self.slots}:
            self.note(at, interval_s, is_away=True)

    def note_checked(self, at: datetime) -> None:
        """Note that a slot was checked."""
        self._checked_to = at

    def note_gap(self, at: datetime, interval_s: float) -> None:
        """Note the slots between the last one and this, in which no turn was taken."""
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
        """Look up the last check, so that slots which a kill or a stop has cost are found."""
        if self._checked_to is None:
            self._checked_to = await health.newest_check(connection)

    async def record(
        self,
        connection: Connection,
        thresholds: Mapping[str, object],
        stale: timedelta,
        until: float,
    ) -> None:
        """Judge the oldest slots. Call it once what was collected meanwhile is stored.

        After `until`, on the monotonic clock in seconds, no further slot is begun; one always is.
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
            # Also when this is cut short: what is done is never done again.
            self._write()

    async def _judge(
        self,
        connection: Connection,
        slot: Missed,
        thresholds: Mapping[str, object],
        stale: timedelta,
    ) -> None:
        others = [other for other in self.slots if other is not slot]
        # Behind all others first: a slot that cannot be judged never holds up the rest.
        self.slots = [*others, slot]
        await health.record_missed(connection, slot.at, slot.interval_s, thresholds, stale)
        self.slots = others

    def _write(self) -> None:
        if self._file is None:
            return
        try:
            # Not synced: a kill of the process leaves it there, and it is not worth more.
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
