"""The chart in Chromium: its pixels for each unit, sign and colour scheme."""

from datetime import timedelta
from typing import Any

from model.series import Sample, Series
from model.times import utc_now
from samples.write_batch import write_batch_of
from tests.live.stream import CPU, Service
from tests.web.conftest import Tab

SIZE = Series(metric="database_size_bytes", component="database", unit="bytes")
RECORD = """
    globalThis.painted = [];
    const paint = CanvasRenderingContext2D.prototype.fillText;
    CanvasRenderingContext2D.prototype.fillText = function (text, ...place) {
        painted.push(text);
        return paint.call(this, text, ...place);
    };"""
"""Keep every text that is painted on a canvas."""


async def write(service: Service, series: Series, *values: float) -> None:
    """Store values, the last of them now and the others a quarter of a minute apart."""
    last = utc_now() - timedelta(seconds=15 * len(values))
    await service.writer.store(
        write_batch_of(
            [
                Sample(series, last + timedelta(seconds=15 * number), value)
                for number, value in enumerate(values, start=1)
            ]
        )
    )


async def painted(tab: Tab, text: str) -> list[str]:
    """Wait for a text to be painted, and return all that was."""
    await tab.page.wait_for_function(
        "(wanted) => painted.some((t) => t.includes(wanted))", arg=text
    )
    found: list[str] = await tab.page.evaluate("painted.splice(0)")
    return found


async def test_the_axis_keeps_its_unit_when_the_colour_scheme_changes(
    service: Any, open_tab: Any
) -> None:
    await write(service, CPU, 10, 20)
    await write(service, SIZE, 2**30, 2**31)
    tab = await open_tab(color_scheme="light")
    await tab.page.add_init_script(RECORD)
    await tab.sign_in()
    await painted(tab, "%")
    await tab.page.get_by_label("Metric").select_option(label="database: Size")
    await painted(tab, "GiB")

    await tab.page.emulate_media(color_scheme="dark")

    texts = await painted(tab, ":")
    assert [text for text in texts if "%" in text] == []
    assert [text for text in texts if "GiB" in text] != []


async def halves(tab: Tab) -> tuple[int, int]:
    """Return how many pixels of the area are painted in the upper and the lower half."""
    script = """() => {
        const canvas = document.querySelector(".chart canvas");
        const { width, height } = canvas;
        const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
        const middle = data.length / 2;
        const count = (half) => half.filter((alpha, at) => at % 4 === 3 && alpha > 20 && alpha < 32)
            .length;
        return [count(data.subarray(0, middle)), count(data.subarray(middle))];
    }"""
    above, below = await tab.page.evaluate(script)
    return above, below


async def test_the_area_is_below_values_that_are_far_below_zero(service: Any, tab: Any) -> None:
    await write(service, Series(metric="depth", component="mine"), -104, *[-96.0] * 200)
    await tab.page.add_init_script(RECORD)
    await tab.sign_in()
    await painted(tab, "100")

    above, below = await halves(tab)

    # The line is near the upper edge.
    assert below > above > 0.6 * below


async def test_the_area_of_values_around_zero_reaches_to_zero(service: Any, tab: Any) -> None:
    await write(service, Series(metric="depth", component="mine"), *[50.0] * 100, *[-50.0] * 100)
    await tab.page.add_init_script(RECORD)
    await tab.sign_in()
    await painted(tab, "50")

    above, below = await halves(tab)

    assert min(above, below) > 0.6 * max(above, below)


async def test_percent_below_zero_are_on_the_chart(service: Any, tab: Any) -> None:
    change = Series(metric="change_percent", component="shop", unit="percent")
    await write(service, change, *[-30.0] * 200)
    await tab.page.add_init_script(RECORD)
    await tab.sign_in()

    assert [text for text in await painted(tab, "30") if text.startswith("\N{MINUS SIGN}")] != []
    above, below = await halves(tab)
    assert min(above, below) > 1000


async def test_one_value_alone_is_a_point(service: Any, tab: Any) -> None:
    await write(service, CPU, 50)
    await tab.page.add_init_script(RECORD)
    await tab.sign_in()
    await painted(tab, "%")

    script = """() => {
        const canvas = document.querySelector(".chart canvas");
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        const color = getComputedStyle(canvas).getPropertyValue("--line-1").slice(1);
        const parts = [0, 2, 4].map((at) => parseInt(color.slice(at, at + 2), 16));
        return data.filter((_, at) => at % 4 === 0 && data[at + 3] === 255
            && parts.every((part, number) => data[at + number] === part)).length;
    }"""
    assert await tab.page.evaluate(script) > 4
