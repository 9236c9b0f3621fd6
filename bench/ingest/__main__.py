"""Sends the same samples in every format through HTTP, beside bare statements and other databases.

`python -m bench.ingest [--rounds 6] [--flat 20000000]`: the real service takes in requests of
10,000 samples, and of 10, on a native server (VIGIA_TEST_DATABASE_URL) and on the embedded engine.
Beside it, one bare connection writes the same into hypertables like its own, and Prometheus and
VictoriaMetrics, where they are installed, take in the same bodies of remote write. Everyone has a
turn in each round, with fresh times and requests made before the clock runs.

What is compared is CPU a sample, of everyone who works for it: service and database, client and
backend, or the peer. So it does not matter that some keep two processors busy, and others one.
Afterwards every acknowledged sample must be there once. `--flat` then sends so many samples more,
and watches the service's memory.
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
