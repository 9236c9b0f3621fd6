"""How each kind of measured value behaves over time: rhythm, noise, bursts, steps and resets."""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Values = NDArray[np.float64]
Shape = Callable[[Generator, Values], Values]
"""Makes the values of one series at these epoch seconds, which are evenly spaced."""

DAY_S = 86_400
PAGE_BYTES = 4096
TIMEOUT_MS = 10_000.0
SLOW, FAILED = 0.01, 0.0005


def percent(rng: Generator, times: Values, base: float, swing: float, noise: float) -> Values:
    values = base + swing * _day(rng, times) + noise * _wander(rng, len(times), 20)
    return np.clip(values + 0.3 * noise * rng.standard_normal(len(times)), 0, 100)


def memory(rng: Generator, times: Values, total: float) -> Values:
    share = 0.55 + 0.08 * _day(rng, times) + 0.01 * _wander(rng, len(times), 60)
    values: Values = np.round(total * share / PAGE_BYTES) * PAGE_BYTES
    return values


def filling(rng: Generator, times: Values, total: float) -> Values:
    """A store that fills slowly, in bursts, and is tidied up once a week."""
    written = np.cumsum(rng.poisson(0.3, len(times)) * rng.random(len(times)))
    is_tidied = np.diff(times // (7 * DAY_S), prepend=times[0] // (7 * DAY_S)) > 0
    values: Values = total * (0.4 + 0.1 * written / written[-1] - 0.02 * np.cumsum(is_tidied))
    return np.round(values / PAGE_BYTES) * PAGE_BYTES if total > PAGE_BYTES else values


def load(rng: Generator, times: Values, minutes: int) -> Values:
    """The kernel's average over minutes, which it gives with two decimals."""
    values = 3 + 4 * _day(rng, times) + 1.2 * _wander(rng, len(times), 4 * minutes)
    return np.round(values.clip(0), 2)


def count(rng: Generator, times: Values, level: float) -> Values:
    mean = level * (0.7 + 0.6 * _day(rng, times)) * np.exp(0.1 * _wander(rng, len(times), 120))
    # Most of what is there at one moment is still there at the next.
    held = np.repeat(mean[::4], 4)[: len(times)]
    values: Values = np.round(held + np.sqrt(level) * 0.3 * _wander(rng, len(times), 8))
    return values.clip(0)


def money(rng: Generator, times: Values, level: float) -> Values:
    """A sum over the last day: it moves when somebody trades, by cents."""
    moves = rng.poisson(0.8, len(times)) * rng.standard_normal(len(times)) * level * 0.002
    return np.round(level * (1 + 0.3 * _day(rng, times)) + _faded(moves, 400), 2)


def latency(rng: Generator, times: Values, median: float) -> Values:
    """Log-normal around a level that wanders; one answer in a hundred is slow."""
    spread = 0.12 * _wander(rng, len(times), 40) + 0.18 * rng.standard_normal(len(times))
    slow = np.where(rng.random(len(times)) < SLOW, rng.exponential(0.8, len(times)), 0)
    return np.minimum(median * np.exp(spread + slow + 0.25 * _day(rng, times)), TIMEOUT_MS)


def total(rng: Generator, times: Values, per_s: float, unit: int = 1) -> Values:
    """A counter that starts again at zero every ten days or so, as its process does."""
    step_s = times[1] - times[0]
    rate = per_s * (0.4 + 1.2 * _day(rng, times)) * np.exp(0.5 * _wander(rng, len(times), 20))
    values: Values = np.cumsum(rng.poisson(rate * step_s / unit).astype(np.float64)) * unit
    for start in np.flatnonzero(rng.random(len(times)) < step_s / (10 * DAY_S)):
        values[start:] -= values[start]
    return values


def uptime(rng: Generator, times: Values) -> Values:
    values: Values = times - times[0] + 400_000 + rng.random(len(times)) * 0.05
    return values


def days_left(rng: Generator, times: Values) -> Values:
    values: Values = 60 + rng.random() * 20 - (times - times[0]) / DAY_S
    return values


def up(rng: Generator, times: Values, outages: int) -> Values:
    values = np.ones(len(times))
    for start in rng.integers(0, len(times), outages):
        values[start : start + rng.integers(4, 200)] = 0
    return values


def status_code(rng: Generator, times: Values) -> Values:
    return np.where(rng.random(len(times)) < FAILED, 503.0, 200.0)


def _day(rng: Generator, times: Values) -> Values:
    """The rhythm of a day, from 0 to 1; weekends are quieter."""
    phase = rng.normal(0, 0.05)
    rhythm = 0.5 - 0.5 * np.cos(2 * np.pi * (times / DAY_S - phase))
    is_weekend = (times // DAY_S + 3) % 7 >= 5  # noqa: PLR2004 (Saturday; the epoch was a Thursday)
    return np.where(is_weekend, 0.6, 1.0) * rhythm


def _wander(rng: Generator, count: int, memory: int) -> Values:
    """Noise of variance 1 that forgets itself over `memory` samples."""
    values = _faded(rng.standard_normal(count), memory)
    scaled: Values = values / values.std()
    return scaled


def _faded(noise: Values, memory: int) -> Values:
    kernel = np.exp(-np.arange(6 * memory) / memory)
    size = 1 << (len(noise) + len(kernel)).bit_length()
    spectrum = np.fft.rfft(noise, size) * np.fft.rfft(kernel, size)
    return np.fft.irfft(spectrum, size)[: len(noise)]
