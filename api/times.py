"""Times and durations as people write them in a request."""

import re
from datetime import UTC, datetime
from typing import Annotated

from msgspec import Meta

from vigia.model import InvalidError

EPOCH_S_MAX = 2**33
"""Nothing is asked for beyond the year 2242; it keeps all arithmetic far from its limits."""
DURATION_S_MAX = 100 * 365 * 86400
EPOCH_MS_MIN = 1e11
"""From here on a number is epoch milliseconds: as seconds it would be beyond the year 5138."""
UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}

RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
WITHOUT_ZONE = re.compile(DAY.pattern + r"[Tt ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?", re.ASCII)
EPOCH = re.compile(r"\d{1,12}(\.\d{1,9})?", re.ASCII)
EPOCH_MS = re.compile(r"\d{12,13}(\.\d{1,6})?", re.ASCII)
RELATIVE = re.compile(r"(?:now)?-(.*[smhd])", re.DOTALL)
Moment = (
    Annotated[
        str,
        Meta(description="RFC 3339, epoch seconds or milliseconds, `now`, or such as -24h."),
    ]
    | float
)
Length = Annotated[str, Meta(description="15s, 5m, 1h, 7d, or seconds.")] | float

DURATION = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)([smhd]?)", re.ASCII)


def parse_time(text: str | float, now: datetime) -> datetime:
    """Return the moment that a request names.

    It is RFC 3339, epoch seconds, epoch milliseconds, `now`, or a duration before now such as
    `-24h` or `now-24h`.
    """
    if not isinstance(text, str):
        return of_epoch(_seconds(text))
    if text == "now":
        return now
    if relative := RELATIVE.fullmatch(text):
        return of_epoch(now.timestamp() - parse_duration(relative[1]))
    if EPOCH_MS.fullmatch(text):
        return of_epoch(_seconds(float(text)))
    found = parse_moment(text)
    if found is None:
        raise InvalidError(_why_no_time(text))
    return found


def _seconds(number: float) -> float:
    """Return epoch seconds of a number that is either seconds or milliseconds."""
    return number / 1000 if number >= EPOCH_MS_MIN else number


def _why_no_time(text: str) -> str:
    if DAY.fullmatch(text):
        return f"{_shown(text)} is a whole day; write a moment of it, such as {text}T00:00:00Z"
    if WITHOUT_ZONE.fullmatch(text):
        return f"{_shown(text)} has no time zone; write RFC 3339 such as 2026-03-29T01:30:00Z"
    return (
        f"{_shown(text)} is not a time; write RFC 3339 (with + as %2B in an address), "
        "epoch seconds or milliseconds, `now`, or a duration before now such as -24h"
    )


def parse_moment(text: str) -> datetime | None:
    """Return a moment written as RFC 3339 or as epoch seconds; None for anything else."""
    if EPOCH.fullmatch(text):
        return of_epoch(float(text))
    if RFC3339.fullmatch(text):
        try:
            return of_epoch(datetime.fromisoformat(text.upper()).timestamp())
        except (ValueError, OverflowError):
            return None
    return None


def parse_duration(text: str | float) -> float:
    """Return seconds: `15s`, `5m`, `1h`, `7d`, or plain seconds."""
    if isinstance(text, str):
        match = DURATION.fullmatch(text)
        seconds = float(match[1]) * UNITS_S[match[2]] if match else 0.0
    else:
        seconds = text
    if not 0 < seconds <= DURATION_S_MAX:
        raise InvalidError(f"{_shown(str(text))} is no duration; write 15s, 5m, 1h, 7d or seconds")
    return seconds


def of_epoch(seconds: float) -> datetime:
    """Return epoch seconds as a moment. Raises InvalidError outside of 1970 to 2242."""
    if not 0 <= seconds <= EPOCH_S_MAX:
        raise InvalidError(f"{seconds:.17g} s is not between 1970 and 2242")
    return datetime.fromtimestamp(seconds, UTC)


def duration_text(seconds: int) -> str:
    """Return whole seconds in their largest unit, as `parse_duration` reads them."""
    for unit in ("d", "h", "m"):
        if seconds % UNITS_S[unit] == 0:
            return f"{seconds // UNITS_S[unit]}{unit}"
    return f"{seconds}s"


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "…")  # noqa: PLR2004 (fits in a sentence)
