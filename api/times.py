"""Times and durations as people write them in a request."""

import re
from datetime import UTC, datetime

from vigia.model import InvalidError

EPOCH_S_MAX = 2**33
"""Nothing is asked for beyond the year 2242; it keeps all arithmetic far from its limits."""
DURATION_S_MAX = 100 * 365 * 86400
UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}

RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
EPOCH = re.compile(r"\d{1,12}(\.\d{1,9})?", re.ASCII)
DURATION = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)([smhd]?)", re.ASCII)


def parse_time(text: str | float, now: datetime) -> datetime:
    """Return a moment: RFC 3339, epoch seconds, `now`, or a duration before now such as `-24h`."""
    if not isinstance(text, str):
        return of_epoch(text)
    if text == "now":
        return now
    if text.startswith("-") and text[-1] in "smhd":
        return of_epoch(now.timestamp() - parse_duration(text[1:]))
    found = parse_moment(text)
    if found is None:
        raise InvalidError(
            f"{_shown(text)} is not a time; write RFC 3339 (with + as %2B in an address), "
            "epoch seconds, `now`, or a duration before now such as -24h"
        )
    return found


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


def parse_duration(text: str) -> float:
    """Return seconds: `15s`, `5m`, `1h`, `7d`, or plain seconds."""
    match = DURATION.fullmatch(text)
    seconds = float(match[1]) * UNITS_S[match[2]] if match else 0.0
    if not 0 < seconds <= DURATION_S_MAX:
        raise InvalidError(f"{_shown(text)} is not a duration; write 15s, 5m, 1h, 7d or seconds")
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
