"""Draws the last hour as a small PNG, for channels that show one, without a browser.

Drawing takes a few milliseconds of CPU time, so call it in a thread. The same values always produce
the same bytes. The colours are those of the light pages.
"""

import io
from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import cache

from msgspec import Struct
from PIL import Image, ImageDraw, ImageFont

from notifications.wording.last_hour import LastHour, is_known
from notifications.wording.moments import clock_text, zone_text
from notifications.wording.numbers import value_text
from notifications.wording.situation import Reader, Situation, shown
from notifications.wording.templates import words

WIDTH, HEIGHT = 720, 300
LEFT, TOP, RIGHT, BOTTOM = 20, 26, 170, 46
"""Margins in pixels. The labels of values are on the right, those of times at the bottom."""
SMOOTHING = 2
"""Lines are drawn this much larger and then scaled down, because Pillow does not anti-alias."""
LINE_WIDTH, DOT_RADIUS, DASH = 3, 4, 8
FONT_SIZE, LABEL_HEIGHT = 20, 27
COLOURS_MAX = 32
BACK, GRID, FILL = "#ffffff", "#e3e7ea", "#e6f0f6"
LINE, LIMIT, MUTED, INK = "#0b6aa2", "#b3261e", "#57626d", "#1b2127"

Point = tuple[float, float]


class Label(Struct, frozen=True):
    """A text at a vertical position of the plot, in pixels."""

    y: float
    text: str
    colour: str


class Plot(Struct, frozen=True):
    """Converts values and times to pixels of the finished picture."""

    hour: LastHour
    lowest: float
    highest: float

    def x(self, index: int) -> float:
        """Return the horizontal position of the middle of a step."""
        width = WIDTH - LEFT - RIGHT
        return LEFT + (index + 0.5) / len(self.hour.values) * width

    def y(self, value: float) -> float:
        """Return the vertical position of a value."""
        # Halve first, because the difference of two very large numbers may be infinite.
        part = (value / 2 - self.lowest / 2) / ((self.highest / 2 - self.lowest / 2) or 1)
        return HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)


def picture_of(situation: Situation, reader: Reader) -> bytes | None:
    """Return the PNG for the alert of a message, or None if there is nothing to draw."""
    measure, hour = situation.measure, situation.last_hour
    if hour is None or len(situation.alerts) != 1:
        return None
    limit = shown(situation.alerts[0]).threshold
    has_limit = measure is not None and measure.is_of_series
    return draw(hour, limit if has_limit else None, measure.own_unit if measure else "", reader)


def draw(hour: LastHour, limit: float | None, unit: str, reader: Reader) -> bytes | None:
    """Return the PNG, or None if the hour has no values."""
    if not hour.known:
        return None
    marks = [*hour.known, *([] if limit is None else [limit])]
    plot = Plot(hour, min(marks), max(marks))
    picture = _curves(plot, limit)
    pen = ImageDraw.Draw(picture)
    for label in _spread(_labels(plot, limit, unit, reader)):
        place = (WIDTH - RIGHT + 12, label.y)
        pen.text(place, label.text, fill=label.colour, font=_font(), anchor="lm")
    _write_times(pen, hour, reader)
    file = io.BytesIO()
    picture.quantize(COLOURS_MAX, Image.Quantize.FASTOCTREE).save(file, "PNG")
    return file.getvalue()


def _curves(plot: Plot, limit: float | None) -> Image.Image:
    large = Image.new("RGB", (WIDTH * SMOOTHING, HEIGHT * SMOOTHING), BACK)
    pen = ImageDraw.Draw(large)
    base, end = HEIGHT - BOTTOM, WIDTH - RIGHT
    runs = list(_runs(plot))
    for run in runs:
        pen.polygon(_large([(run[0][0], base), *run, (run[-1][0], base)]), fill=FILL)
    pen.line(_large([(LEFT, base), (end, base)]), fill=GRID, width=SMOOTHING)
    if limit is not None:
        for x in range(LEFT, end, 2 * DASH):
            dash = [(x, plot.y(limit)), (min(x + DASH, end), plot.y(limit))]
            pen.line(_large(dash), fill=LIMIT, width=2 * SMOOTHING)
    for run in runs:
        if len(run) > 1:
            pen.line(_large(run), fill=LINE, width=LINE_WIDTH * SMOOTHING, joint="curve")
        for point in (run[0], run[-1]) if len(run) > 1 else run:
            radius = LINE_WIDTH / 2 if len(run) > 1 else DOT_RADIUS
            _dot(pen, point, radius)
    _dot(pen, runs[-1][-1], DOT_RADIUS)
    return large.reduce(SMOOTHING)


def _runs(plot: Plot) -> Iterator[list[Point]]:
    """Yield the points of each stretch without a gap."""
    run: list[Point] = []
    for index, value in enumerate(plot.hour.values):
        if is_known(value):
            run.append((plot.x(index), plot.y(value)))
        elif run:
            yield run
            run = []
    if run:
        yield run


def _large(points: Sequence[Point]) -> list[Point]:
    return [(x * SMOOTHING, y * SMOOTHING) for x, y in points]


def _dot(pen: ImageDraw.ImageDraw, point: Point, radius: float) -> None:
    (x, y), size = _large([point])[0], radius * SMOOTHING
    pen.ellipse((x - size, y - size, x + size, y + size), fill=LINE)


def _labels(plot: Plot, limit: float | None, unit: str, reader: Reader) -> list[Label]:
    known = plot.hour.known
    values = {min(known): INK, max(known): INK}
    labels = [
        Label(plot.y(value), value_text(value, unit, reader.language), colour)
        for value, colour in values.items()
    ]
    if limit is not None:
        text = words(reader.language)(
            "picture.limit", limit=value_text(limit, unit, reader.language)
        )
        labels.append(Label(plot.y(limit), text, LIMIT))
    return labels


def _spread(labels: Sequence[Label]) -> Iterator[Label]:
    """Yield the labels from the top, moved so that they do not overlap."""
    highest_y = float(TOP)
    below = len(labels)
    for label in sorted(labels, key=lambda label: label.y):
        below -= 1
        lowest_y = HEIGHT - BOTTOM - below * LABEL_HEIGHT
        y = max(min(label.y, lowest_y), highest_y)
        highest_y = y + LABEL_HEIGHT
        yield Label(y, label.text, label.colour)


def _write_times(pen: ImageDraw.ImageDraw, hour: LastHour, reader: Reader) -> None:
    own, zone = words(reader.language), reader.zone
    end = hour.start + timedelta(seconds=hour.step_s * len(hour.values))
    y = HEIGHT - BOTTOM + 10
    start_text = clock_text(hour.start, end, zone, own)
    end_text = f"{clock_text(end, end, zone, own)} {zone_text(end, zone)}"
    pen.text((LEFT, y), start_text, fill=MUTED, font=_font(), anchor="la")
    pen.text((WIDTH - RIGHT, y), end_text, fill=MUTED, font=_font(), anchor="ra")


@cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(FONT_SIZE)
