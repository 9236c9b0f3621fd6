"""Sends the same samples in every format through HTTP, compared with bare statements and peers.

`python -m bench.ingest [--rounds 6] [--flat 20000000]`: the real service receives requests of
10,000 samples, and of 10, on a native server (VIGIA_TEST_DATABASE_URL) and on the embedded engine.
For comparison, one bare connection writes the same samples into hypertables like Vigia's, and
Prometheus and VictoriaMetrics, if they are installed, receive the same remote write bodies. Each
sender runs once in each round, with new times. Its requests are built before the measurement.

The figure is CPU for each sample, of all processes that work for it: service and database, client
and backend, or the peer. So it does not matter how many processors each of them uses. Afterwards
every acknowledged sample must be stored once. `--flat` then sends this many more samples, and
measures the service's memory.
"""

import argparse
import json
import os
import time

from bench.command import execute
from bench.ingest import report
from bench.ingest.competitors import embedded, native
from bench.ingest.memory import watch

ROUNDS = 6


async def main(rounds: int, flat: int) -> None:
    began = time.monotonic()
    url = os.environ.get("VIGIA_TEST_DATABASE_URL", "")
    found, flats = [], []
    engines = [native(url, with_peers=True)] if url else []
    engines.append(embedded(with_peers=not url))
    for competitors in engines:
        async with competitors as started:
            found.append(await started.measure(rounds))
            report.report(found[-1])
            if flat:
                flats.append(await watch(started, flat))
    report.report_flat(flats)
    seconds = round(time.monotonic() - began)
    print(json.dumps({"bench": "ingest", **report.summary(found, flats), "seconds": seconds}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="How fast samples are taken in.")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--flat", type=int, default=0, metavar="SAMPLES", help="watch the memory")
    chosen = parser.parse_args()
    execute(main(chosen.rounds, chosen.flat))
