"""Scrapes targets in the Prometheus text format or OpenMetrics, all of them in each slot."""

import asyncio
import os
import stat
import time as clock
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from http import HTTPStatus
from pathlib import Path

import structlog

from collectors.collector import CollectorRun, Put, deadline_of
from collectors.metrics import Reading, samples_of
from collectors.scrape.text_format import FormatError, Page, Reader
from model.limits import COLLECT_TIMEOUT_S_MAX
from model.series import Category, Sample
from model.targets import ScrapeTarget
from runtime.network.egress import Egress, EgressError, Trace
from runtime.schedule import SlotStats, every

log = structlog.get_logger()

LOGGED_MAX = 20
"""How many different reasons for skipped samples are logged for a target, until it is changed."""
BODY_BYTES_MAX = 16 * 1024 * 1024
TOKEN_BYTES_MAX = 8192
OPENMETRICS = "application/openmetrics-text"
ACCEPT = f"{OPENMETRICS}; version=1.0.0, text/plain; version=0.0.4; q=0.5, */*; q=0.1"


class ScrapeError(Exception):
    """A target could not be scraped. The message says why."""


class Scraper:
    """Scrapes one target. It is a component of category `external`."""

    category = Category.EXTERNAL

    def __init__(self, target: ScrapeTarget, egress: Egress, secrets: Path, put: Put) -> None:
        self.name = target.name
        self.target = target
        self._egress = egress
        self._secrets = secrets
        self._put = put
        self._reader = Reader(target.name, target.labels, target.sample_limit)
        self._logged: set[str] = set()

    async def collect(self, time: datetime) -> list[Sample]:
        """Put the samples that can be stored. Raises ScrapeError.

        Other samples are counted, and each reason is logged once. They do not make the component
        down: one bad label must not wake a person.
        """
        started = clock.perf_counter()
        body, is_open = await self._ask()
        try:
            # A large answer takes a tenth of a second to parse: too long for the event loop.
            page = await asyncio.to_thread(self._reader.read, body, time, is_open=is_open)
        except FormatError as error:
            raise ScrapeError(str(error)) from None
        duration_ms = (clock.perf_counter() - started) * 1000
        self._put([*page.samples, *self._own_samples(page, duration_ms, time)])
        self._log_once(page.skipped)
        return []

    def _log_once(self, reasons: Iterable[str]) -> None:
        for reason in reasons:
            if reason and reason not in self._logged and len(self._logged) < LOGGED_MAX:
                self._logged.add(reason)
                log.warning("samples_skipped", component=self.name, why=reason)

    def _own_samples(self, page: Page, duration_ms: float, time: datetime) -> list[Sample]:
        readings = [
            Reading("scrape_duration_ms", duration_ms),
            Reading("scrape_samples", len(page.samples)),
            Reading("scrape_samples_skipped", page.skipped.total()),
        ]
        return samples_of(readings, self.name, self.category, time)

    async def _ask(self) -> tuple[bytes, bool]:
        """Return the complete body, and whether it is OpenMetrics. Raises ScrapeError."""
        trace, headers = Trace(), {"Accept": ACCEPT}
        if self.target.token_file:
            token = await asyncio.to_thread(token_in, self._secrets / self.target.token_file)
            headers["Authorization"] = f"Bearer {token}"
        try:
            body = await self._egress.ask(
                self.target.url,
                trace,
                timeout_s=self.target.timeout_s,
                verify_tls=self.target.verify_tls,
                headers=headers,
                body_bytes_max=BODY_BYTES_MAX + 1,
            )
        except EgressError as error:
            raise ScrapeError(str(error)) from None
        if trace.status != HTTPStatus.OK:
            raise ScrapeError(_words(trace.status))
        if len(body) > BODY_BYTES_MAX:
            raise ScrapeError(f"the answer is larger than {BODY_BYTES_MAX} bytes")
        return body, trace.headers.get("Content-Type", "").strip().startswith(OPENMETRICS)


class Scrapes:
    """Scrapes the targets in one slot, each in its own run, so that none delays another."""

    def __init__(self, egress: Egress, secrets: Path, put: Put) -> None:
        self._egress = egress
        self._secrets = secrets
        self._put = put
        self._runs: dict[str, tuple[ScrapeTarget, CollectorRun]] = {}

    async def take(
        self,
        targets: Sequence[ScrapeTarget],
        time: datetime,
        deadline_s: float = COLLECT_TIMEOUT_S_MAX,
    ) -> None:
        """Scrape every enabled target. A changed target starts with an empty cache."""
        self._runs = {each.name: (each, self._run_of(each)) for each in targets if each.enabled}
        await asyncio.gather(*(run.run(time, deadline_s) for _, run in self._runs.values()))

    def _run_of(self, target: ScrapeTarget) -> CollectorRun:
        known, run = self._runs.get(target.name, (None, None))
        if known == target and run is not None:
            return run
        return CollectorRun(Scraper(target, self._egress, self._secrets, self._put), self._put)


async def scrape_every(
    interval_s: Callable[[], float],
    targets: Callable[[], Sequence[ScrapeTarget]],
    scrapes: Scrapes,
    stats: SlotStats,
) -> None:
    """Scrape the targets in every slot, for ever. Changes take effect in the next slot."""

    async def take(time: datetime) -> None:
        await scrapes.take(targets(), time, deadline_of(interval_s()))

    await every(interval_s, take, stats)


def token_in(file: Path) -> str:
    """Return the token in a secret file. Raises ScrapeError, also when other users can read it."""
    try:
        with file.open("rb") as opened:
            if os.fstat(opened.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise ScrapeError(f"other users can read {file.name}; run chmod 600 {file.name}")
            token = opened.read(TOKEN_BYTES_MAX).decode("latin-1").strip()
    except OSError as error:
        raise ScrapeError(f"{file.name} in secrets: {error.strerror}") from None
    if not token or not token.isascii() or not token.isprintable():
        raise ScrapeError(f"{file.name} in secrets must contain a token in printable ASCII")
    return token


def _words(status: int) -> str:
    known = status in HTTPStatus.__members__.values()
    return f"the answer is {status} {HTTPStatus(status).phrase if known else ''}".strip()
