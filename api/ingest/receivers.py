"""What the receivers of other protocols keep from one request to the next, and count."""

from collections import Counter

from api.ingest import otlp, prometheus
from api.ingest.bodies import Bodies
from api.ingest.intake import Intake
from api.line import Line
from vigia.model import micros_of, utc_now

TOTALS_WAITING_MAX = 256


class Receivers:
    """The memories of the receivers. They count samples by protocol and word."""

    def __init__(self) -> None:
        self.bodies = Bodies()
        self.prometheus = prometheus.Known()
        self.otlp = otlp.Known(micros_of(utc_now()))
        self.totals_line = Line(1, TOTALS_WAITING_MAX)
        """From the difference of running totals until it is stored, nobody else may take one."""
        self.rejected: Counter[tuple[str, str]] = Counter()
        self.skipped: Counter[tuple[str, str]] = Counter()

    def count(self, protocol: str, intake: Intake) -> None:
        """Count what a request could not or would not have stored."""
        for counter, found in (self.rejected, intake.rejected), (self.skipped, intake.skipped):
            for fault, count in found.items():
                counter[protocol, fault.word] += count
