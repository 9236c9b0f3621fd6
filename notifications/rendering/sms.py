"""Text for an SMS, in the cheap alphabet if possible and without control characters.

An SMS contains 160 characters of the GSM alphabet (GSM 03.38), or 70 characters if any is outside
of it. A single typographic quote doubles the price, so it is replaced by a plain one.
"""

import re
import unicodedata

from notifications.cutting import cut, utf16_length

LENGTH_MAX = 1600
"""The limit of Twilio, in UTF-16 code units."""
JOINER = "\u200d"
NO_CHARACTERS = "\ufffe\uffff"
"""These are not allowed even in XML."""
LINE_ENDS = re.compile("\r\n|[\r\v\f\x1c\x1d\x1e\x85\u2028\u2029]")
PLAIN = str.maketrans(
    {
        "\t": " ",
        "\u00a0": " ",
        "\u2009": " ",
        "\u202f": " ",
        "\u2010": "-",
        "\u2011": "-",
        "\u2012": "-",
        "\u2013": "-",
        "\u2014": "-",
        "\u2212": "-",
        "\u2018": "'",
        "\u2019": "'",
        "\u201a": "'",
        "\u201c": '"',
        "\u201d": '"',
        "\u201e": '"',
        "\u2022": "*",
        "\u2026": "...",
        "\u2192": "->",
        "\u2264": "<=",
        "\u2265": ">=",
        "\u00b7": "-",
        "\u00d7": "x",
    }
)


def plain(text: str) -> str:
    """Return the text without control characters, with GSM characters where there are equivalents.

    Removed are also ESC, which starts an extended GSM character, and marks that change the
    direction of writing. Line breaks stay.
    """
    lines = LINE_ENDS.sub("\n", text).translate(PLAIN)
    return "".join(letter for letter in lines if _is_written(letter))


def fitting(text: str, ending: str) -> str:
    """Return a plain text with an ending. If they are too long, only the text is cut."""
    ending = plain(ending)
    room = LENGTH_MAX - utf16_length(ending)
    return plain(cut(plain(text), room, _length)) + ending


def _length(text: str) -> int:
    """Return the length of the resulting plain text. It counts an ellipsis as three dots."""
    return utf16_length(text.translate(PLAIN))


def _is_written(letter: str) -> bool:
    if letter in {"\n", JOINER}:
        return True
    return letter not in NO_CHARACTERS and unicodedata.category(letter) not in {"Cc", "Cf", "Cs"}
