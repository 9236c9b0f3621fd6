"""Texts fit what providers take, whatever they count."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications.cutting import Measure, cut, pieces, utf8_length, utf16_length

MEASURES = st.sampled_from([len, utf8_length, utf16_length])


@given(text=st.text(), length=st.integers(0, 50), measure=MEASURES)
def test_a_cut_text_fits_and_begins_as_before(text: str, length: int, measure: Measure) -> None:
    kept = cut(text, length, measure)

    assert measure(kept) <= length
    assert kept == text or text.startswith(kept.removesuffix("…"))


@given(text=st.text(max_size=30), measure=MEASURES)
def test_a_text_that_fits_is_left_alone(text: str, measure: Measure) -> None:
    assert cut(text, measure(text), measure) == text


@given(text=st.text(max_size=60), length=st.integers(4, 80), measure=MEASURES)
def test_pieces_fit_and_are_the_whole_text(text: str, length: int, measure: Measure) -> None:
    shown = list(pieces(text, length, measure))

    assert all(measure(piece) <= length for piece in shown)
    assert "".join("".join(shown).split()) == "".join(text.split())


@pytest.mark.parametrize(
    ("text", "length", "measure", "expected"),
    [
        ("abcdef", 4, len, "abc…"),
        ("ab  ef", 4, len, "ab…"),
        ("abc", 0, len, ""),
        ("🔥🔥🔥", 5, utf16_length, "🔥🔥…"),
        ("🔥🔥🔥", 4, utf16_length, "🔥…"),
        ("ééé", 5, utf8_length, "é…"),
        ("ééé", 2, utf8_length, ""),
    ],
)
def test_as_much_is_kept_as_fits(text: str, length: int, measure: Measure, expected: str) -> None:
    assert cut(text, length, measure) == expected


@pytest.mark.parametrize(
    ("text", "length", "expected"),
    [
        ("xe\u0301e\u0301", 4, "xe\u0301…"),
        ("xe\u0301e\u0301", 3, "x…"),
        ("ok 👨\u200d👩\u200d👧 well", 8, "ok…"),
        ("ok 👍🏽 well", 5, "ok…"),
        ("🇧🇷🇵🇹🇪🇸", 4, "🇧🇷…"),
        ("🇧🇷🇵🇹", 4, "🇧🇷🇵🇹"),
        ("e" + "\u0301" * 500, 100, "e" + "\u0301" * 98 + "…"),
    ],
)
def test_no_character_is_torn(text: str, length: int, expected: str) -> None:
    assert cut(text, length) == expected


def test_pieces_end_with_lines() -> None:
    assert list(pieces("one\ntwo\nthree", 8)) == ["one\ntwo", "three"]
    assert list(pieces("one\n" + "x" * 12, 8)) == ["one", "x" * 8, "x" * 4]
    assert list(pieces("", 8)) == []
