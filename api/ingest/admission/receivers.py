"""What the receivers of other protocols keep from one request to the next, and count."""

from collections import Counter

import structlog

from api.http.limiter import Limiter
from api.ingest.admission.accepted_times import AcceptedTimesCache
from api.ingest.admission.bodies import Bodies
from api.ingest.admission.parsed_write import MARKERS, Fault, ParsedWrite
from api.ingest.admission.series_quota import SeriesQuota
from api.ingest.formats import otlp
from api.ingest.formats import remote_write as prometheus
from model.times import micros_of, utc_now

log = structlog.get_logger()

TOTALS_WAITING_MAX = 256
TOTALS_KEY_SHARE = 2
"""Of these places, one key takes at most one in so many."""
LOGGED_MAX = 100
"""So many reasons why samples are skipped are logged, by metric, and each once."""


class Receivers:
    """The memories of the receivers. They count samples by protocol, and why some are not taken."""

    def __init__(self) -> None:
        self.bodies = Bodies()
        self.accepted_times = AcceptedTimesCache()
        self.series_quota = SeriesQuota()
        self.prometheus = prometheus.RemoteWriteCache()
        self.otlp = otlp.OtlpCache(micros_of(utc_now()))
        self.totals_limiter = Limiter(1, TOTALS_WAITING_MAX, TOTALS_WAITING_MAX // TOTALS_KEY_SHARE)
        """From the difference of running totals until it is stored, nobody else may take one."""
        self.accepted: Counter[str] = Counter()
        self.rejected: Counter[tuple[str, str]] = Counter()
        self.skipped: Counter[tuple[str, str]] = Counter()
        self._logged: set[tuple[str, Fault, str]] = set()

    def count(self, protocol: str, parsed: ParsedWrite, accepted: int) -> None:
        """Count what is safe of a request, and what could not or would not be stored."""
        self.accepted[protocol] += accepted
        for counter, found in (self.rejected, parsed.rejected), (self.skipped, parsed.skipped):
            for fault, count in found.items():
                counter[protocol, fault.word] += count

        for fault in parsed.skipped.keys() - MARKERS:
            self._log_once(protocol, fault, parsed.examples.get(fault, ""))

    def _log_once(self, protocol: str, fault: Fault, metric: str) -> None:
        """Say which metric's samples are skipped, and why: its sender is not told."""
        key = (protocol, fault, metric)
        if key not in self._logged and len(self._logged) < LOGGED_MAX:
            self._logged.add(key)
            log.warning("samples_skipped", protocol=protocol, metric=metric, why=fault.sentence)

    def status(self) -> dict[str, object]:
        """Return every count."""
        return {
            "accepted": dict(self.accepted),
            "rejected": _nested(self.rejected),
            "skipped": _nested(self.skipped),
            "bodies_refused": dict(self.bodies.refused),
        }


def _nested(counter: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    nested: dict[str, dict[str, int]] = {}
    for (protocol, word), count in counter.items():
        nested.setdefault(protocol, {})[word] = count
    return nested
