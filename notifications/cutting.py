"""Cuts texts to the maximum lengths of providers, in the unit in which each provider counts."""

import unicodedata
from collections.abc import Callable, Iterator

ELLIPSIS = "…"
JOINER = "\u200d"
"""The zero-width joiner, which combines emoji into one, such as a family."""
SKIN_TONES = range(0x1F3FB, 0x1F400)
FLAG_LETTERS = range(0x1F1E6, 0x1F200)
CHARACTER_CODES_MAX = 32
"""The longest character, in code points, that is kept whole.

No writing system needs a longer one, so a longer sequence is cut like other text.
"""

Measure = Callable[[str], int]
"""Returns the length of a text.

It must be the sum of the lengths of the code points, each at least 1.
"""


def utf16_length(text: str) -> int:
    """Return the length in UTF-16 code units. An emoji usually counts as two."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def utf8_length(text: str) -> int:
    """Return the length in bytes of UTF-8."""
    return len(text.encode("utf-8", "surrogatepass"))


def cut(text: str, length: int, measure: Measure = len) -> str:
    """Return a text of at most `length`; a text that was cut ends with an ellipsis.

    The result is empty if even the ellipsis is too long. The cut is always between two characters:
    a letter keeps its accents, and a flag keeps both of its code points.
    """
    if len(text) <= length and measure(text) <= length:
        return text
    room = length - measure(ELLIPSIS)
    return text[: _fitting(text, room, measure)].rstrip() + ELLIPSIS if room >= 0 else ""


def pieces(text: str, length: int, measure: Measure = len) -> Iterator[str]:
    """Yield a text in pieces of at most `length`, split at line ends if possible.

    White space at the borders of pieces is dropped; nothing else is. `length` must be large enough
    for any one code point.
    """
    while len(text) > length or measure(text) > length:
        fits = max(_fitting(text, length, measure), 1)
        line_end = text.rfind("\n", 1, fits + 1)
        end = line_end if line_end > 0 else fits
        if piece := text[:end].rstrip():
            yield piece
        text = text[end:].lstrip()
    if text:
        yield text


def _fitting(text: str, room: int, measure: Measure) -> int:
    """Return how many code points fit into a length, up to the end of a whole character."""
    # Bisection, because `measure` may take time in proportion to the length of the text.
    fits, exceeds = 0, min(len(text), room + 1)
    while exceeds - fits > 1:
        middle = (fits + exceeds) // 2
        fits, exceeds = (middle, exceeds) if measure(text[:middle]) <= room else (fits, middle)
    whole = (fits - back for back in range(min(fits, CHARACTER_CODES_MAX)))
    return next((end for end in whole if not _tears(text, end)), fits)


def _tears(text: str, at: int) -> bool:
    """Return whether the code points before and after an index belong to one character."""
    before, after = text[at - 1], text[at]
    if JOINER in {before, after} or unicodedata.category(after).startswith("M"):
        return True
    if ord(after) in SKIN_TONES:
        return True
    # A flag consists of two code points. In a row of flags, an odd number of code points before the
    # index means that the index is inside a flag.
    return ord(after) in FLAG_LETTERS and _letters_before(text, at) % 2 == 1


def _letters_before(text: str, at: int) -> int:
    count = 0
    while count < at and ord(text[at - count - 1]) in FLAG_LETTERS:
        count += 1
    return count
