"""Sends samples to a running service in batches, and raises the retention for old ones."""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from msgspec import Struct, field

from api.ingest.formats.native import Batch, Column
from api.paths import BASE
from model.errors import ConflictError
from model.limits import LATE_MARGIN, REQUEST_SERIES_MAX
from model.times import DAY_S
from model.validation.words import explain
from vigia.cli.client import AnswerError, Client
from vigia.cli.importing.samples_file import DESCRIBED, LABELS, Name, Row

METRICS = f"{BASE}/metrics"
RETENTION = f"{BASE}/config/retention"
IMPORTED = (("imported", "true"),)
SAMPLES_MAX = 20_000
NAMES_CHARS_MAX = 1_000_000
"""Limits of one request: samples, and characters of the names of their series."""
RETRY_PAUSES_S = (1, 2, 5, 10, 30)
CHANGED_MEANWHILE_MAX = 5
MARGIN_DAYS = LATE_MARGIN.days + 1
TIERS = ("raw_days", "rollup_5m_days", "rollup_1h_days", "rollup_1d_days")


class Summary(Struct):
    """The outcome of an import; `empty` counts rows without a value."""

    accepted: int = 0
    duplicate: int = 0
    empty: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def rejected(self) -> int:
        return self.reasons.total()


class RequestBatch(Struct):
    """Samples for one request, by the name of their series in the file."""

    columns: dict[Name, Column] = field(default_factory=dict)
    samples: int = 0
    chars: int = 0
    oldest: float = math.inf

    @property
    def is_full(self) -> bool:
        return (
            self.samples >= SAMPLES_MAX
            or self.chars >= NAMES_CHARS_MAX
            or len(self.columns) >= REQUEST_SERIES_MAX
        )

    def add(self, row: Row) -> None:
        """Add a row. Raises ValueError if its series is not valid."""
        column = self.columns.get(row.name)
        if column is None:
            column = self.columns[row.name] = _column(row.name)
            self.chars += sum(map(len, row.name))
        column.times.append(row.time)
        column.values.append(row.value)
        self.samples += 1
        self.oldest = min(self.oldest, row.time)


def _column(name: Name) -> Column:
    given: dict[str, Any] = {key: text for key, text in zip(DESCRIBED, name, strict=True) if text}
    given["labels"] = msgspec.json.decode(name[LABELS] or "{}")
    return msgspec.convert({**given, "times": [], "values": []}, Column)


def batches(rows: Iterable[Row], summary: Summary) -> Iterator[RequestBatch]:
    """Yield batches of the rows that can be sent; count the others in `summary`."""
    batch = RequestBatch()
    for row in rows:
        if row.value is None:
            summary.empty += 1
            continue
        try:
            batch.add(row)
        except ValueError as error:
            summary.reasons[f"a series is not valid: {explain(error)}"] += 1
        if batch.is_full:
            yield batch
            batch = RequestBatch()
    if batch.samples:
        yield batch


async def send(service: Client, batch: RequestBatch, summary: Summary) -> None:
    """Send a batch, and count the outcome. A repeated batch is stored once."""
    answer = await _ask(service, Batch(list(batch.columns.values())))
    summary.accepted += answer["accepted"]
    # Null while the service spools: it does not know yet which samples are duplicates.
    summary.duplicate += answer["duplicate"] or 0
    for reason in answer["reasons"]:
        summary.reasons[reason["reason"]] += reason["count"]


async def _ask(service: Client, batch: Batch) -> dict[str, Any]:
    """Send a batch; retry while the database is unavailable, after each of the pauses."""
    for pause_s in RETRY_PAUSES_S:
        try:
            return await service.ask("POST", METRICS, IMPORTED, body=batch)
        except AnswerError as error:
            if error.status != HTTPStatus.SERVICE_UNAVAILABLE:
                raise
            await asyncio.sleep(pause_s)
    return await service.ask("POST", METRICS, IMPORTED, body=batch)


class RetentionWidening:
    """Raises the retention for samples that would be rejected otherwise."""

    def __init__(self, service: Client, output: Callable[[str], None]) -> None:
        self._service = service
        self._output = output
        self._retention: dict[str, Any] = {}

    async def make(self, batch: RequestBatch) -> None:
        """Raise the retention for a batch if needed.

        Does nothing if the key may not change it: the service then rejects old samples. Raises
        ConflictError if others keep changing the retention.
        """
        metrics = {column.metric for column in batch.columns.values()}
        age_days = (time.time() - batch.oldest) / DAY_S
        for _ in range(CHANGED_MEANWHILE_MAX):
            try:
                if not self._retention:
                    self._retention = (await self._service.ask("GET", RETENTION))["value"]
                await self._widen(age_days, metrics)
            except AnswerError as error:
                if error.status == HTTPStatus.FORBIDDEN:
                    return
                if error.status != HTTPStatus.CONFLICT:
                    raise
                # Somebody changed it since it was read. Read it again, and raise that one.
                self._retention = {}
            else:
                return
        raise ConflictError("the retention keeps changing; import again with --keep-retention")

    async def _widen(self, age_days: float, metrics: Collection[str]) -> None:
        wanted = widened(self._retention, age_days, metrics)
        if wanted == self._retention:
            return
        body = {"value": wanted, "previous": self._retention}
        await self._service.ask("PUT", RETENTION, body=body)
        self._output(_difference(self._retention, wanted))
        self._retention = wanted


def widened(
    retention: Mapping[str, Any], age_days: float, metrics: Collection[str]
) -> dict[str, Any]:
    """Return a retention that keeps samples of an age, and keeps every roll-up as long."""
    days = math.ceil(age_days) + MARGIN_DAYS

    def is_short(kept: float | None) -> bool:
        return kept is not None and kept < age_days + LATE_MARGIN.days

    raised: dict[str, Any] = {}
    if is_short(retention["raw_days"]):
        raised = {name: days for name in TIERS if retention[name] and retention[name] < days}
    policies = {
        metric: {**policy, "keep_days": days}
        for metric, policy in retention.get("metrics", {}).items()
        if metric in metrics and is_short(policy.get("keep_days"))
    }
    if policies:
        raised["metrics"] = {**retention["metrics"], **policies}
    return {**retention, **raised}


def _difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    changed = [name for name in TIERS if before[name] != after[name]]
    parts = [f"{name} from {before[name]:g} to {after[name]:g}" for name in changed]
    policies = after.get("metrics", {})
    parts += [
        f"metrics.{metric}.keep_days to {policy['keep_days']:g}"
        for metric, policy in policies.items()
        if policy != before["metrics"][metric]
    ]
    return f"raised the retention so that the samples are kept: {', '.join(parts)}"
