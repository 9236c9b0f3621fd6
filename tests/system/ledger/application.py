"""An application as the OpenTelemetry SDK's users write it; it ends with its standard input."""

import itertools
import math
import select
import sys

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import Resource

EXPORT_MS = 400
TIMEOUT_S = 20
WORK_S = 0.02


def main(url: str, key: str) -> None:
    """Work until nobody wants it any more; the histogram is told by what came since."""
    exporter = OTLPMetricExporter(
        endpoint=url,
        headers={"Authorization": f"Bearer {key}"},
        compression=Compression.Gzip,
        timeout=TIMEOUT_S,
        preferred_temporality={Histogram: AggregationTemporality.DELTA},
    )
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=EXPORT_MS)
    resource = Resource({"service.name": "ledger_application", "host.name": "h1"})
    provider = MeterProvider([reader], resource=resource)
    meter = provider.get_meter("ledger")
    work, took = meter.create_counter("work", unit="1"), meter.create_histogram("took", unit="ms")

    def heat(_: CallbackOptions) -> list[Observation]:
        return [Observation(math.sin(n + turn), {"room": str(n)}) for n in range(10)]

    meter.create_observable_gauge("heat", [heat])
    for turn in itertools.count():
        work.add(1, {"kind": str(turn % 5)})
        took.record(1.0 + turn % 100, {"kind": str(turn % 3)})
        if select.select([sys.stdin], [], [], WORK_S)[0]:
            break
    provider.shutdown(timeout_millis=1000 * TIMEOUT_S)


if __name__ == "__main__":
    main(*sys.argv[1:])
