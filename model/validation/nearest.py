"""The names that somebody probably meant."""

from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches

ALIKE = 0.6
"""How alike two names must be, from 0 to 1."""
SYNONYMS = {
    "at": "time",
    "average": "avg",
    "crit": "critical",
    "error": "critical",
    "fatal": "emergency",
    "host": "component",
    "maximum": "max",
    "mean": "avg",
    "median": "p50",
    "minimum": "min",
    "notice": "info",
    "page": "emergency",
    "schedule": "repeat",
    "severity": "level",
    "std": "stddev",
    "total": "sum",
    "=>": ">=",
    "=<": "<=",
}
"""Words of other tools, each with our word."""
CHARS_MAX = 200
"""Longer names are not compared, because the work grows with the square of the length."""


def nearest(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Return at most `count` known names that are most like a name, the nearest first.

    Case does not count. A name that is the beginning of a known name, or the reverse, is near.
    """
    if not name or len(name) > CHARS_MAX:
        return []
    by_lower = {one.lower(): one for one in known}
    wanted = name.lower()
    if (ours := SYNONYMS.get(wanted)) in by_lower:
        return [by_lower[ours]]
    close = get_close_matches(wanted, by_lower, count, ALIKE)
    begun = sorted(
        (one for one in by_lower if one and _is_begun(wanted, one) and one not in close),
        key=lambda one: SequenceMatcher(None, wanted, one).ratio(),
        reverse=True,
    )
    return [by_lower[one] for one in (*close, *begun)][:count]


def did_you_mean(name: str, known: Iterable[str], count: int = 1) -> str:
    """Return `; did you mean 'levels'?`, or an empty text if no known name is near."""
    found = nearest(name, known, count)
    return f"; did you mean {' or '.join(map(repr, found))}?" if found else ""


def _is_begun(wanted: str, known: str) -> bool:
    shorter, longer = sorted((wanted, known), key=len)
    return len(shorter) > 2 and longer.startswith(shorter)  # noqa: PLR2004 (two letters begin too many names)
