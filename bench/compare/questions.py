"""A day of 100 series that both checkouts store, and the history queries over it."""

import asyncio
import time
from urllib.parse import urlencode

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from bench.bodies import METRIC, STEP_S, Shape, batches, to_json
from bench.compare.services import Service
from bench.processes import fetch

BASE = "/api/v1/monitoring"
CURRENT = f"{BASE}/metrics/current"
STATUS = f"{BASE}/dev/status"
COMPONENT = "history"
DAY_S = 86_400
BUCKET_S = 300
SERIES, EACH = 100, 96
"""The samples in one request of the load."""
MAINTAINED_S = 300.0
POLL_S = 1.0
TOLERANCE = 1e-9
OK, UNAVAILABLE = 200, 503


class Day(Struct, frozen=True):
    """The end of the day (epoch seconds), its requests, and its means: a row for each series."""

    end_s: int
    bodies: list[bytes]
    means: NDArray[np.float64]

    def path(self, core: int | None = None) -> str:
        """Return the query for all series, or for one."""
        asked = {"metric": METRIC, "component": COMPONENT, "agg": "avg", "step": "5m"}
        times = {"start": self.end_s - DAY_S, "end": self.end_s}
        label = {} if core is None else {"label.core": core}
        return f"{BASE}/metrics/history?{urlencode({**asked, **times, **label})}"


def make_day() -> Day:
    """Return a day that ended some minutes ago."""
    end_s = int(time.time() - 2 * BUCKET_S) // BUCKET_S * BUCKET_S
    stream = batches(Shape(SERIES, EACH), end_s - DAY_S)
    some = [next(stream) for _ in range(DAY_S // STEP_S // EACH)]
    values = np.concatenate([batch.values for batch in some], axis=1)
    means = values.reshape(SERIES, -1, BUCKET_S // STEP_S).mean(axis=2)
    return Day(end_s, [to_json(COMPONENT, batch) for batch in some], means)


async def store(service: Service, day: Day) -> None:
    """Send the day to a service without the maintenance role.

    The first maintenance run must find all samples.
    """
    for body in day.bodies:
        async with service.http.post(f"{BASE}/metrics", data=body) as answer:
            assert answer.status == OK, await answer.text()
    assert not await _is_maintained(service), "the maintenance ran before all samples were stored"


async def wait_until_maintained(service: Service) -> None:
    """Wait until the maintenance of a service has rolled everything up."""
    async with asyncio.timeout(MAINTAINED_S):
        while not await _is_maintained(service):
            await asyncio.sleep(POLL_S)


async def _is_maintained(service: Service) -> bool:
    async with service.http.get(STATUS) as answer:
        if answer.status == UNAVAILABLE:
            # The maintenance occupies the only session of the embedded engine.
            return False
        assert answer.status == OK, await answer.text()
        run = (await answer.json()).get("maintenance") or {}
    return bool(run.get("finished_at"))


async def check(service: Service, day: Day) -> None:
    """Raise AssertionError unless a service returns the means of the sent samples."""
    for core, expected in ((None, day.means), (7, day.means[7:8])):
        answer = msgspec.json.decode(await fetch(service.http, day.path(core)))
        series = sorted(answer["series"], key=lambda one: int(one["labels"]["core"]))
        found = np.array([one["values"]["avg"] for one in series], dtype=np.float64)
        assert found.shape == expected.shape, f"{service}: {found.shape}, not {expected.shape}"
        np.testing.assert_allclose(found, expected, rtol=TOLERANCE, err_msg=str(service))
