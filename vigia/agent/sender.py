"""Sends the requests in an agent's queue to the service, in order, each until it is accepted."""

import asyncio
import random
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import msgspec
import structlog
from msgspec import Struct

from model.errors import UnavailableError
from model.times import utc_now
from runtime.network.egress import Egress, EgressError, Trace
from runtime.settings import Secret
from vigia.agent.send_queue import Outbox, unpack

PATH = "/api/v1/monitoring/metrics"
TIMEOUT_S = 30.0
BACK_OFF_S, BACK_OFF_S_MAX = 1.0, 60.0
RETRY_AFTER_S_MAX = 3600.0
PROBLEM = "application/problem+json"

DELIVERED = frozenset({HTTPStatus.OK, HTTPStatus.ACCEPTED})
REFUSED = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)
"""Statuses for a request that will always be refused. Any other status may change, for instance
after the key is replaced, the address is corrected, or the service is back."""

log = structlog.get_logger()


class Reason(Struct):
    reason: str
    count: int


class WriteResult(Struct):
    """The service's response: how many samples it accepted and rejected."""

    accepted: int
    rejected: int = 0
    reasons: list[Reason] = []


class Problem(Struct):
    detail: str = ""


class NotTakenError(Exception):
    """The request was not accepted now; `pause_s` is the pause that the service asks for."""

    def __init__(self, reason: str, pause_s: float = 0.0) -> None:
        super().__init__(reason)
        self.pause_s = pause_s


class Sender:
    """Sends the requests in the queue, in order."""

    def __init__(self, egress: Egress, url: str, key: Secret, outbox: Outbox) -> None:
        self._egress = egress
        self._url = url.rstrip("/") + PATH
        self._key = key
        self._outbox = outbox
        self.sent = self.rejected = self.failures = 0

    async def send_all(self) -> None:
        """Send everything, with one try. Raises UnavailableError; unsent requests stay queued."""
        while (bodies := await self._outbox.take()) is not None:
            for body in bodies:
                try:
                    await self._send(body)
                except NotTakenError as later:
                    raise UnavailableError(str(later)) from None
            await self._outbox.done()

    async def run(self, wake: asyncio.Event) -> None:
        """Send the queue whenever `wake` is set, until cancelled; retry until accepted."""
        while True:
            await wake.wait()
            wake.clear()
            while (bodies := await self._outbox.take()) is not None:
                for body in bodies:
                    await self._insist(body)
                await self._outbox.done()

    async def _insist(self, body: bytes) -> None:
        back_off_s, failed = BACK_OFF_S, False
        while True:
            try:
                await self._send(body)
            except NotTakenError as later:
                if not failed:
                    log.warning("service_does_not_take_samples", reason=str(later))
                failed = True
                self.failures += 1
                # Random, so that many agents do not retry at the same moment.
                pause_s = max(later.pause_s, back_off_s * random.uniform(0.5, 1))  # noqa: S311 (no secret)
                await asyncio.sleep(pause_s)
                back_off_s = min(back_off_s * 2, BACK_OFF_S_MAX)
            else:
                if failed:
                    log.info("service_takes_samples")
                return

    async def _send(self, body: bytes) -> None:
        """Send one request; quarantine it if it is refused for good. Raises NotTakenError."""
        trace = Trace()
        headers = {
            "Authorization": f"Bearer {self._key.reveal()}",
            "Content-Type": "application/json",
            "Content-Encoding": "gzip",
        }
        try:
            answer = await self._egress.ask(
                self._url, trace, timeout_s=TIMEOUT_S, method="POST", headers=headers, data=body
            )
        except EgressError as error:
            raise NotTakenError(str(error)) from None
        is_problem = trace.headers.get("Content-Type", "").startswith(PROBLEM)
        if trace.status in DELIVERED:
            self._count(body, answer)
        elif trace.status in REFUSED and is_problem:
            await self._quarantine(body, _reason(trace.status, answer))
        else:
            raise NotTakenError(
                _reason(trace.status, answer), retry_after_s(trace.headers, utc_now())
            )

    def _count(self, body: bytes, answer: bytes) -> None:
        try:
            result = msgspec.json.decode(answer, type=WriteResult)
        except msgspec.DecodeError:
            # Some other server answered, so nothing was stored.
            raise NotTakenError("the response is not from a Vigia service; check --to") from None
        self.sent += unpack(body).samples - result.rejected
        self.rejected += result.rejected
        for each in result.reasons:
            log.warning("samples_rejected", count=each.count, reason=each.reason)

    async def _quarantine(self, body: bytes, reason: str) -> None:
        count = unpack(body).samples
        kept = await self._outbox.quarantine(body)
        self.rejected += count
        log.error("request_refused", samples=count, reason=reason, quarantine=kept)


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float:
    """Return the pause in a Retry-After header (seconds or a date); 0 if there is none."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        wanted_s = float(text[:9])
    else:
        try:
            wanted_s = (parsedate_to_datetime(text) - now).total_seconds()
        except (TypeError, ValueError):
            wanted_s = 0.0
    return min(max(wanted_s, 0.0), RETRY_AFTER_S_MAX)


def _reason(status: int, answer: bytes) -> str:
    """Return the status and the detail of a problem+json."""
    try:
        detail = msgspec.json.decode(answer, type=Problem).detail
    except msgspec.DecodeError:
        detail = ""
    return f"{status}: {detail}" if detail else f"the service answered with status {status}"
