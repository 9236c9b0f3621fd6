"""A message shows at a glance how bad it is."""

import pytest

from model.severity import Level
from notifications.message import Event
from notifications.rendering.appearance import BY_LEVEL, NEUTRAL, RESOLVED, Appearance, appearance
from tests.notifications.messages import message

AA_CONTRAST = 4.5
"""What WCAG 2.2 asks of text on a background."""


def luminance(color: int) -> float:
    """Return the relative luminance, as WCAG defines it."""
    parts = [(color >> shift & 255) / 255 for shift in (16, 8, 0)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_each_level_looks_different() -> None:
    assert set(BY_LEVEL) == set(Level)
    every = [*BY_LEVEL.values(), RESOLVED, NEUTRAL]
    assert len({one.sign for one in every}) == len({one.color for one in every}) == len(every)


@pytest.mark.parametrize("look", [*BY_LEVEL.values(), RESOLVED, NEUTRAL])
def test_white_text_can_be_read_on_each_colour(look: Appearance) -> None:
    assert 1.05 / (luminance(look.color) + 0.05) >= AA_CONTRAST


def test_the_end_looks_like_the_end_whatever_the_level_was() -> None:
    assert appearance(message(level=Level.CRITICAL)).css == "#c62828"
    assert appearance(message(Event.RESOLVED, level=Level.CRITICAL)) == RESOLVED
    assert appearance(message(level=None)) == NEUTRAL
