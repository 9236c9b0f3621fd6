"""The clock, and how times and durations are read and written. No other module parses them."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from msgspec import Meta

from model.errors import InvalidError
from model.limits import DURATION_S_MAX, EPOCH_S_MAX
from model.text import WHOLE_DURATION

EPOCH = datetime.fromtimestamp(0, UTC)
EPOCH_MS_MIN = 1e11
"""A number of this size or larger is epoch milliseconds. As seconds it would be after year 5138."""
MICROSECOND = timedelta(microseconds=1)
SECOND_US = 1_000_000
MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400
UNITS_S = {"": 1, "s": 1, "m": MINUTE_S, "h": HOUR_S, "d": DAY_S}

RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
WITHOUT_ZONE = re.compile(DAY.pattern + r"[Tt ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?", re.ASCII)
SECONDS = re.compile(r"\d{1,12}(\.\d{1,9})?", re.ASCII)
MILLISECONDS = re.compile(r"\d{12,13}(\.\d{1,6})?", re.ASCII)
RELATIVE = re.compile(r"(?:now)?-(.*[smhd])", re.DOTALL)
DURATION = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)([smhd]?)", re.ASCII)

Moment = (
    Annotated[
        str,
        Meta(description="RFC 3339, epoch seconds or milliseconds, `now`, or for example -24h."),
    ]
    | float
)
Duration = Annotated[str, Meta(description="15s, 5m, 1h, 7d, or seconds.")] | float
"""A duration for `parse_duration`."""
WholeDuration = (
    Annotated[str, Meta(pattern=WHOLE_DURATION)]
    | Annotated[float, Meta(ge=0, lt=1e9, multiple_of=1)]
)
"""A duration for `whole_seconds`: 0 is allowed, fractions are not."""


def utc_now() -> datetime:
    return datetime.now(UTC)


def micros_of(time: datetime) -> int:
    """Return a moment as whole microseconds since 1970."""
    return (time - EPOCH) // MICROSECOND


def time_of(micros: int) -> datetime:
    """Return microseconds since 1970 as a moment."""
    return EPOCH + micros * MICROSECOND


def of_epoch(seconds: float) -> datetime:
    """Return epoch seconds as a moment. Raises InvalidError outside the years 1970 to 2242."""
    if not 0 <= seconds <= EPOCH_S_MAX:
        raise InvalidError(f"{seconds:.17g} s is not between 1970 and 2242")
    return datetime.fromtimestamp(seconds, UTC)


def parse_time(text: str | float, now: datetime) -> datetime:
    """Return the moment that a request names. Raises InvalidError.

    The text is RFC 3339, epoch seconds, epoch milliseconds, `now`, or a duration before now
    (`-24h`, `now-24h`).
    """
    if not isinstance(text, str):
        return of_epoch(_epoch_s(text))
    if text == "now":
        return now
    if relative := RELATIVE.fullmatch(text):
        return of_epoch(now.timestamp() - parse_duration(relative[1]))
    if MILLISECONDS.fullmatch(text):
        return of_epoch(_epoch_s(float(text)))
    found = parse_moment(text)
    if found is None:
        raise InvalidError(_why_no_time(text))
    return found


def parse_moment(text: str) -> datetime | None:
    """Return a moment written as RFC 3339 or as epoch seconds, or None for any other text.

    Raises InvalidError for a moment after the year 2242.
    """
    if SECONDS.fullmatch(text):
        return of_epoch(float(text))
    if RFC3339.fullmatch(text):
        try:
            return of_epoch(datetime.fromisoformat(text.upper()).timestamp())
        except (ValueError, OverflowError):
            return None
    return None


def parse_duration(text: str | float) -> float:
    """Return the seconds of a duration: `15s`, `5m`, `1h`, `7d`, or plain seconds.

    Raises InvalidError for any other text, for 0, and for more than a hundred years.
    """
    seconds = _seconds(text) if isinstance(text, str) else text
    if not 0 < seconds <= DURATION_S_MAX:
        raise InvalidError(
            f"{_shown(str(text))} is not a duration; write 15s, 5m, 1h, 7d or seconds"
        )
    return seconds


def whole_seconds(duration: str | float) -> int:
    """Return the seconds of a `WholeDuration`."""
    return int(_seconds(duration) if isinstance(duration, str) else duration)


def duration_text(seconds: int) -> str:
    """Return whole seconds in the largest unit that divides them: `90s`, `5m`, `7d`."""
    for unit in ("d", "h", "m"):
        if seconds and seconds % UNITS_S[unit] == 0:
            return f"{seconds // UNITS_S[unit]}{unit}"
    return f"{seconds}s"


def _epoch_s(number: float) -> float:
    """Return epoch seconds for a number of seconds or milliseconds."""
    return number / 1000 if number >= EPOCH_MS_MIN else number


def _seconds(text: str) -> float:
    """Return the seconds of a duration, or 0 for a text that is not a duration."""
    match = DURATION.fullmatch(text)
    return float(match[1]) * UNITS_S[match[2]] if match else 0.0


def _why_no_time(text: str) -> str:
    if DAY.fullmatch(text):
        return f"{_shown(text)} is a day, not a time; write {text}T00:00:00Z, for example"
    if WITHOUT_ZONE.fullmatch(text):
        return f"{_shown(text)} has no time zone; write 2026-03-29T01:30:00Z, for example"
    return (
        f"{_shown(text)} is not a time; write RFC 3339 (with + as %2B in an address), "
        "epoch seconds or milliseconds, `now`, or a duration before now (-24h)"
    )


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "…")  # noqa: PLR2004 (fits in a sentence)
