"""The collectors' samples that wait in memory to be stored, and a count of those lost."""

from collections import deque
from collections.abc import Sequence

import structlog
from msgspec.structs import replace

from model.series import Sample, labels_of
from model.text import clean

log = structlog.get_logger()

BUFFER_SAMPLES_MAX = 100_000


class SampleBuffer:
    """Holds samples in their order, BUFFER_SAMPLES_MAX at most; what it drops is counted."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=BUFFER_SAMPLES_MAX)
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._samples)

    def put(self, samples: Sequence[Sample]) -> None:
        """Add samples; the oldest make room for them."""
        excess = len(self._samples) + len(samples) - BUFFER_SAMPLES_MAX
        self.count_dropped(max(0, excess), "buffer full")
        self._samples.extend(samples)

    def take(self, count: int) -> list[Sample]:
        """Remove and return the oldest samples, `count` at most."""
        return [self._samples.popleft() for _ in range(min(count, len(self._samples)))]

    def put_back(self, batch: Sequence[Sample]) -> None:
        """Return a batch to the front; had it been committed, storing it again changes nothing."""
        room = BUFFER_SAMPLES_MAX - len(self._samples)
        self.count_dropped(max(0, len(batch) - room), "buffer full")
        self._samples.extendleft(reversed(batch[-room:] if room else []))

    def count_dropped(self, count: int, reason: str) -> None:
        """Count samples that are lost, and log why."""
        if count:
            self.dropped += count
            log.error("samples_dropped", count=count, reason=reason)


def cleaned(sample: Sample) -> Sample:
    """Return a sample whose texts UTF-8 can hold: names of files need not be of any encoding."""
    series = sample.series
    labels = labels_of({clean(name): clean(value) for name, value in series.labels})
    names = {"metric": clean(series.metric), "component": clean(series.component)}
    series = replace(series, labels=labels, **names)
    return replace(sample, series=series, reason=clean(sample.reason))
