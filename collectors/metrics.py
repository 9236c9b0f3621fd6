"""Derives unit, kind and resolution of a metric from its name."""

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from model.series import Category, Kind, Labels, Sample, Series

SERIES_CACHED_MAX = 4096

_SUFFIXES = (
    ("_percent", "percent", 2.0**-6),
    ("_ms", "ms", 2.0**-10),
    ("_seconds", "seconds", 1.0),
    ("_bytes", "bytes", 1.0),
    ("_days", "days", 2.0**-6),
    ("_load1", "", 2.0**-7),
    ("_load5", "", 2.0**-7),
    ("_load15", "", 2.0**-7),
)
"""Suffix, unit and resolution. The kernel reports load with two decimals, which 2⁻⁷ keeps."""


class Reading(NamedTuple):
    """A measured value without its component and time."""

    metric: str
    value: float
    labels: Labels = ()


@lru_cache(SERIES_CACHED_MAX)
def series_of(metric: str, component: str, category: Category, labels: Labels = ()) -> Series:
    """Return the series of a metric. Its name ends in the unit, and in `_total` for a counter."""
    kind = Kind.COUNTER if metric.endswith("_total") else Kind.GAUGE
    unit, resolution = _unit_and_resolution(metric.removesuffix("_total"))
    return Series(
        metric=metric,
        component=component,
        category=category,
        labels=labels,
        unit=unit,
        kind=kind,
        resolution=resolution,
    )


def samples_of(
    readings: Iterable[Reading], component: str, category: Category, time: datetime
) -> list[Sample]:
    return [
        Sample(
            series_of(reading.metric, component, category, reading.labels),
            time,
            float(reading.value),
        )
        for reading in readings
    ]


def _unit_and_resolution(metric: str) -> tuple[str, float]:
    for suffix, unit, resolution in _SUFFIXES:
        if metric.endswith(suffix):
            return unit, resolution
    return "", 1.0
