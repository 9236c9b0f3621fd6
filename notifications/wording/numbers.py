"""Numbers with units, in the notation of each language.

A test compares them with the pages, `web/src/format.ts`. In messages, spaces and the minus sign are
plain characters, because any character outside of the GSM alphabet halves the capacity of an SMS.
"""

import math
from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_UP, Context, Decimal

from msgspec import Struct

from model.times import DAY_S, HOUR_S, MINUTE_S
from notifications.message import Language

THOUSAND = 1000
BYTE_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
PLAIN_MAX, PLAIN_MIN = 1e12, 1e-4
"""Numbers without a unit have an exponent outside of this range."""
WRITTEN_OUT_MAX = 1e15
"""All other numbers have an exponent from here on, because hundreds of digits fit nowhere."""
EXACT = Context(prec=40)
"""Enough digits for every smaller double with all decimals that callers request."""


class Marks(Struct, frozen=True):
    """The decimal mark and the thousands separator."""

    decimal: str
    group: str


MARKS: Mapping[Language, Marks] = {
    Language.ENGLISH: Marks(".", ","),
    Language.BRAZILIAN_PORTUGUESE: Marks(",", "."),
}
DAYS: Mapping[Language, tuple[str, str]] = {
    Language.ENGLISH: ("day", "days"),
    Language.BRAZILIAN_PORTUGUESE: ("dia", "dias"),
}
"""Singular and plural."""


def number(value: float, decimals: int, language: Language) -> str:
    """Return a number with at most `decimals` decimals. Half is rounded away from zero."""
    if not abs(value) < WRITTEN_OUT_MAX:
        return _scientific(value, language)
    # Round the shortest text of the double: 1.005 rounds to 1.01, although the double is
    # 1.00499999999999989.
    step = Decimal(1).scaleb(-decimals)
    rounded = Decimal(repr(value)).quantize(step, ROUND_HALF_UP, EXACT)
    # Adding zero turns -0 into 0.
    whole, _, rest = f"{rounded + 0 if rounded else Decimal():,f}".partition(".")
    marks, rest = MARKS[language], rest.rstrip("0")
    return whole.replace(",", marks.group) + (f"{marks.decimal}{rest}" if rest else "")


def count_text(count: int, language: Language) -> str:
    """Return a count as text."""
    return number(count, 0, language)


def value_text(value: float, unit: str, language: Language, finer: int = 0) -> str:
    """Return a value with its unit, shortened. `finer` adds decimals."""
    if unit in WRITERS:
        return WRITERS[unit](value, language, finer)
    return f"{_plain(value, language, finer)} {unit}".rstrip()


FINER_MAX = 4


def pair_text(value: float, limit: float, unit: str, language: Language) -> tuple[str, str]:
    """Return a value and its limit as text.

    If they differ but their texts do not, the value gets up to FINER_MAX more decimals.
    """
    shown, against = value_text(value, unit, language), value_text(limit, unit, language)
    for finer in range(1, FINER_MAX + 1):
        if shown != against or value == limit:
            break
        shown = value_text(value, unit, language, finer)
    return shown, against


def duration_text(seconds: float, language: Language) -> str:
    """Return the two largest units of a duration, such as "1 h 5 min"."""
    length, sign = abs(seconds), "-" if seconds < 0 else ""
    if not length < WRITTEN_OUT_MAX:
        return f"{_scientific(seconds, language)} s"
    if length < MINUTE_S:
        short = _digits(length, language) if 0 < length < 1 else number(length, 0, language)
        return f"{sign}{short} s"
    if length < HOUR_S:
        return sign + _parts(length, MINUTE_S, "min", 1, "s")
    if length < DAY_S:
        return sign + _parts(length, HOUR_S, "h", MINUTE_S, "min")
    return sign + _parts(length, DAY_S, "d", HOUR_S, "h")


def _parts(seconds: float, large: int, name: str, small: int, rest: str) -> str:
    left = int(seconds % large // small)
    return f"{int(seconds // large)} {name}" + (f" {left} {rest}" if left else "")


def _percent(value: float, language: Language, finer: int) -> str:
    return f"{number(value, (1 if abs(value) >= 10 else 2) + finer, language)} %"  # noqa: PLR2004 (ten)


def _ms(value: float, language: Language, finer: int) -> str:
    if abs(value) < THOUSAND:
        return f"{_digits(value, language, finer)} ms"
    return f"{_digits(value / THOUSAND, language, finer)} s"


def _seconds(value: float, language: Language, finer: int) -> str:
    return f"{number(value, finer, language)} s" if finer else duration_text(value, language)


def _days(value: float, language: Language, finer: int) -> str:
    return f"{_plain(value, language, finer)} {DAYS[language][value != 1]}"


def _bytes(value: float, language: Language, finer: int) -> str:
    if not math.isfinite(value):
        return f"{_scientific(value, language)} B"
    power = min(int(math.log2(max(abs(value), 1)) // 10), len(BYTE_UNITS) - 1)
    scaled = value / 1024**power
    shown = _digits(scaled, language, finer) if power else number(value, finer, language)
    return f"{shown} {BYTE_UNITS[power]}"


def _plain(value: float, language: Language, finer: int = 0) -> str:
    size = abs(value)
    if not size < PLAIN_MAX or 0 < size < PLAIN_MIN:
        return _scientific(value, language, finer)
    if size >= THOUSAND or value.is_integer():
        return number(value, finer, language)
    return _digits(value, language, finer)


def _scientific(value: float, language: Language, finer: int = 0) -> str:
    """Return a text such as "1.23e+12", or "inf" or "nan"."""
    mantissa, _, power = f"{value:.{2 + finer}e}".partition("e")
    places = f"e{power[0]}{power[1:].lstrip('0')}" if power else ""
    return mantissa.replace(".", MARKS[language].decimal) + places


def _digits(value: float, language: Language, finer: int = 0) -> str:
    """Return a number with about three digits, without trailing zeros."""
    size = abs(value)
    decimals = 3 if size < 1 else 2 if size < 10 else 1 if size < 100 else 0  # noqa: PLR2004
    return number(value, decimals + finer, language)


Write = Callable[[float, Language, int], str]
WRITERS: Mapping[str, Write] = {
    "percent": _percent,
    "bytes": _bytes,
    "ms": _ms,
    "seconds": _seconds,
    "days": _days,
}
