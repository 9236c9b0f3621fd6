"""The buffer in memory for the collectors' samples, with a count of dropped ones."""

from collections import deque
from collections.abc import Sequence

import structlog
from msgspec.structs import replace

from model.series import Sample, labels_of
from model.text import clean

log = structlog.get_logger()

BUFFER_SAMPLES_MAX = 100_000


class SampleBuffer:
    """Holds at most BUFFER_SAMPLES_MAX samples in order. `dropped` counts the lost ones."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=BUFFER_SAMPLES_MAX)
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._samples)

    def put(self, samples: Sequence[Sample]) -> None:
        """Add samples. A full buffer drops its oldest samples."""
        excess = len(self._samples) + len(samples) - BUFFER_SAMPLES_MAX
        self.count_dropped(max(0, excess), "buffer full")
        self._samples.extend(samples)

    def take(self, count: int) -> list[Sample]:
        """Remove and return at most `count` of the oldest samples."""
        return [self._samples.popleft() for _ in range(min(count, len(self._samples)))]

    def put_back(self, batch: Sequence[Sample]) -> None:
        """Put a batch back at the front.

        If it was committed after all, storing it again changes nothing.
        """
        room = BUFFER_SAMPLES_MAX - len(self._samples)
        self.count_dropped(max(0, len(batch) - room), "buffer full")
        self._samples.extendleft(reversed(batch[-room:] if room else []))

    def count_dropped(self, count: int, reason: str) -> None:
        """Count lost samples, and log the reason."""
        if count:
            self.dropped += count
            log.error("samples_dropped", count=count, reason=reason)


def cleaned(sample: Sample) -> Sample:
    """Return a sample whose texts are valid UTF-8. Names of files are not always."""
    series = sample.series
    labels = labels_of({clean(name): clean(value) for name, value in series.labels})
    names = {"metric": clean(series.metric), "component": clean(series.component)}
    series = replace(series, labels=labels, **names)
    return replace(sample, series=series, reason=clean(sample.reason))
