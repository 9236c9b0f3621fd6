"""The picture of the last hour: small, the same each time, and true to gaps and limits."""

import io
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from notifications.message import Event
from notifications.picture import (
    BOTTOM,
    HEIGHT,
    LABEL_HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Label,
    _spread,
    draw,
    picture_of,
)
from notifications.wording.last_hour import LastHour
from notifications.wording.situation import Measure
from tests.notifications.wording.situations import (
    ENGLISH,
    HOUR,
    PORTUGUESE,
    alert,
    situation,
    storm,
)

START = datetime(2026, 3, 1, 2, 12, tzinfo=UTC)
BYTES_MAX = 20_000
WAVE = [float(n % 17) for n in range(60)]


def hour(*values: float | None) -> LastHour:
    return LastHour(start=START, step_s=3600 / max(len(values), 1), values=values)


def drawn(values: list[float | None] | list[float], limit: float | None = None) -> Image.Image:
    data = draw(hour(*values), limit, "percent", ENGLISH)
    assert data is not None
    return Image.open(io.BytesIO(data)).convert("RGB")


def pixels(picture: Image.Image, left: int, right: int) -> list[tuple[int, int, int]]:
    """Return the pixels of some columns of the plot, above the line at its foot."""
    part = picture.crop((left, 0, right, HEIGHT - BOTTOM - 3))
    found = part.getcolors(maxcolors=1 << 20)
    assert found is not None
    return [colour for _, colour in found if isinstance(colour, tuple)]


def is_blue(colour: tuple[int, int, int]) -> bool:
    return colour[2] > 100 > colour[0]


def is_red(colour: tuple[int, int, int]) -> bool:
    return colour[0] > 150 and colour[1] < 100


def test_it_is_a_small_png_of_one_size() -> None:
    data = draw(HOUR, 80.0, "percent", ENGLISH)
    assert data is not None
    picture = Image.open(io.BytesIO(data))
    assert (picture.format, picture.size) == ("PNG", (WIDTH, HEIGHT))
    assert len(data) < BYTES_MAX / 2


def test_the_same_hour_makes_the_same_bytes() -> None:
    assert draw(HOUR, 80.0, "percent", ENGLISH) == draw(HOUR, 80.0, "percent", ENGLISH)


def test_it_speaks_the_readers_language_and_zone() -> None:
    english, portuguese = (draw(HOUR, 80.0, "percent", one) for one in (ENGLISH, PORTUGUESE))
    assert english != portuguese


def test_a_gap_stays_a_gap() -> None:
    picture = drawn([*[5.0] * 20, *[None] * 20, *[5.0] * 20, 1.0, 9.0])
    width = WIDTH - LEFT - RIGHT
    first, last = LEFT + width * 21 // 62, LEFT + width * 39 // 62
    assert any(map(is_blue, pixels(picture, LEFT, first - 20)))
    assert not any(map(is_blue, pixels(picture, first, last)))
    assert any(map(is_blue, pixels(picture, last + 20, WIDTH - RIGHT)))


def test_one_value_between_gaps_is_a_dot() -> None:
    picture = drawn([1.0, 2.0, *[None] * 20, 1.5, *[None] * 20, 1.0, 2.0])
    middle = (LEFT + WIDTH - RIGHT) // 2
    assert any(map(is_blue, pixels(picture, middle - 10, middle + 10)))


def test_the_limit_is_a_line_of_its_own_colour() -> None:
    plot = (LEFT, WIDTH - RIGHT)
    assert any(map(is_red, pixels(drawn(WAVE, 12.0), *plot)))
    assert not any(map(is_red, pixels(drawn(WAVE), *plot)))


def test_a_higher_value_stands_higher() -> None:
    picture = drawn([*[0.0] * 30, *[100.0] * 30])
    left, right = LEFT + 100, WIDTH - RIGHT - 100
    assert is_blue(picture.getpixel((left, HEIGHT - BOTTOM)))  # type: ignore[arg-type]
    assert is_blue(picture.getpixel((right, TOP)))  # type: ignore[arg-type]


def test_an_hour_without_any_value_has_no_picture() -> None:
    assert draw(hour(None, None), 80.0, "percent", ENGLISH) is None
    assert draw(hour(), 80.0, "percent", ENGLISH) is None


@pytest.mark.parametrize("value", [0.0, -3.5, 1e-300, 1.7e308])
def test_a_flat_hour_or_a_single_value_can_be_drawn(value: float) -> None:
    for values in ([value], [value] * 60, [None, value, None]):
        assert draw(hour(*values), None, "", ENGLISH) is not None
        assert draw(hour(*values), value, "", ENGLISH) is not None


@settings(max_examples=40)
@given(
    st.lists(st.none() | st.floats(), min_size=1, max_size=240),
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
)
def test_whatever_is_drawn_it_stays_small(
    values: list[float | None], limit: float | None, unit: str
) -> None:
    data = draw(hour(*values), limit, unit, PORTUGUESE)
    assert data is None or len(data) < BYTES_MAX


@given(st.lists(st.floats(TOP, HEIGHT - BOTTOM), min_size=1, max_size=3))
def test_no_label_covers_another(heights: list[float]) -> None:
    spread = list(_spread([Label(y, "80 %", "#000000") for y in heights]))
    for upper, lower in pairwise(spread):
        assert lower.y - upper.y >= LABEL_HEIGHT - 1e-9
    assert spread[0].y >= TOP
    assert spread[-1].y <= HEIGHT - BOTTOM


def test_it_costs_some_milliseconds_of_the_processor() -> None:
    def cost_s() -> float:
        started_at = time.thread_time()
        draw(hour(*WAVE), 12.0, "percent", ENGLISH)
        return time.thread_time() - started_at

    cost_s()
    assert min(cost_s() for _ in range(10)) < 0.025


def test_of_a_message_the_limit_is_shown_where_it_is_one_of_the_values() -> None:
    cpu = Measure(metric="server_cpu_percent", unit="percent")
    rate = Measure(metric="server_cpu_percent", unit="percent", agg="rate")
    with_limit = picture_of(situation(last_hour=HOUR, measure=cpu), ENGLISH)
    assert with_limit == draw(HOUR, 80.0, "percent", ENGLISH)
    without = picture_of(situation(last_hour=HOUR, measure=rate), ENGLISH)
    assert without == draw(HOUR, None, "percent", ENGLISH)
    assert picture_of(situation(last_hour=HOUR, measure=None), ENGLISH) == draw(
        HOUR, None, "", ENGLISH
    )


def test_a_group_and_an_alert_without_an_hour_have_no_picture() -> None:
    assert picture_of(situation(of=alert()), ENGLISH) is None
    group = situation(Event.GROUP, alerts=storm(3), last_hour=HOUR)
    assert picture_of(group, ENGLISH) is None


def test_the_time_below_is_where_the_hour_ends() -> None:
    later = LastHour(start=START + timedelta(hours=1), step_s=60, values=WAVE)
    earlier = LastHour(start=START, step_s=60, values=WAVE)
    assert draw(later, None, "", ENGLISH) != draw(earlier, None, "", ENGLISH)
