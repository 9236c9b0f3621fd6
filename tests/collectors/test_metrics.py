"""The name of a metric decides its unit, kind and resolution."""

from datetime import UTC, datetime

import pytest

from collectors.metrics import Reading, samples_of, series_of
from model.series import Category, Kind, Sample


@pytest.mark.parametrize(
    ("metric", "unit", "kind", "resolution"),
    [
        ("server_cpu_percent", "percent", Kind.GAUGE, 2**-6),
        ("database_latency_ms", "ms", Kind.GAUGE, 2**-10),
        ("server_uptime_seconds", "seconds", Kind.GAUGE, 1),
        ("server_memory_used_bytes", "bytes", Kind.GAUGE, 1),
        ("server_network_sent_bytes_total", "bytes", Kind.COUNTER, 1),
        ("server_network_errors_total", "", Kind.COUNTER, 1),
        ("server_load15", "", Kind.GAUGE, 2**-7),
        ("component_up", "", Kind.GAUGE, 1),
    ],
)
def test_the_name_says_unit_kind_and_resolution(
    metric: str, unit: str, kind: Kind, resolution: float
) -> None:
    series = series_of(metric, "server", Category.SYSTEM)

    assert (series.unit, series.kind, series.resolution) == (unit, kind, resolution)


def test_readings_become_samples_of_one_component_and_time() -> None:
    time = datetime(2026, 1, 1, tzinfo=UTC)
    labels = (("core", "0"),)

    (sample,) = samples_of(
        [Reading("server_processes", 3, labels)], "server", Category.SYSTEM, time
    )

    series = series_of("server_processes", "server", Category.SYSTEM, labels)
    assert sample == Sample(series, time, 3.0)
    assert isinstance(sample.value, float)
