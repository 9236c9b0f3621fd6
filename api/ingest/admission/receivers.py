"""The state of the ingest routes between requests: caches, limits and counters."""

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
"""One key takes at most 1/TOTALS_KEY_SHARE of the waiting places."""
LOGGED_MAX = 100
"""Most reasons for skipped samples that are logged; each is logged once for a metric."""


class Receivers:
    """Caches and limits of the ingest routes, and counters of samples by protocol and reason."""

    def __init__(self) -> None:
        self.bodies = Bodies()
        self.accepted_times = AcceptedTimesCache()
        self.series_quota = SeriesQuota()
        self.prometheus = prometheus.RemoteWriteCache()
        self.otlp = otlp.OtlpCache(micros_of(utc_now()))
        self.totals_limiter = Limiter(1, TOTALS_WAITING_MAX, TOTALS_WAITING_MAX // TOTALS_KEY_SHARE)
        """Allows one request at a time to compute differences of running totals and store them."""
        self.accepted: Counter[str] = Counter()
        self.rejected: Counter[tuple[str, str]] = Counter()
        self.skipped: Counter[tuple[str, str]] = Counter()
        self._logged: set[tuple[str, Fault, str]] = set()

    def count(self, protocol: str, parsed: ParsedWrite, accepted: int) -> None:
        """Count the accepted, rejected and skipped samples of a request."""
        self.accepted[protocol] += accepted
        for counter, found in (self.rejected, parsed.rejected), (self.skipped, parsed.skipped):
            for fault, count in found.items():
                counter[protocol, fault.word] += count

        for fault in parsed.skipped.keys() - MARKERS:
            self._log_once(protocol, fault, parsed.examples.get(fault, ""))

    def _log_once(self, protocol: str, fault: Fault, metric: str) -> None:
        """Log the metric and the reason of skipped samples, because the sender is not told."""
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
