"""The command line of benchmarks that load data, and their orderly end."""

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable

import structlog
import uvloop

EXIT_USAGE = 2
EXIT_STOPPED = 128 + signal.SIGTERM

Main = Callable[[str, bool], Awaitable[None]]
"""Called with the address of a native server, and whether to keep the loaded data."""


def run(main: Main, description: str) -> None:
    """Run a benchmark with the arguments of the command line and a native server."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--keep", action="store_true", help="leave what was loaded to the next run")
    keep = parser.parse_args().keep
    url = os.environ.get("VIGIA_TEST_DATABASE_URL", "")
    if not url:
        print("This needs a native TimescaleDB: set VIGIA_TEST_DATABASE_URL.", file=sys.stderr)
        sys.exit(EXIT_USAGE)
    execute(main(url, keep))


def execute(work: Awaitable[None]) -> None:
    """Run to the end. SIGINT and SIGTERM cancel it, so that its databases are still dropped."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    try:
        uvloop.run(_stoppable(work))
    except asyncio.CancelledError:
        sys.exit(EXIT_STOPPED)


async def _stoppable(work: Awaitable[None]) -> None:
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await task
