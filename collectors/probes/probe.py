"""Probes one target once: measures its answer, and decides whether the target is up."""

from datetime import datetime, timedelta
from http import HTTPStatus

from msgspec import Struct

from collectors.metrics import Reading
from collectors.probes.certificate import not_after
from model.series import labels_of
from model.targets import Target
from runtime.network.egress import Egress, EgressError, Failure, Trace

GOOD = range(200, 400)
REDIRECTS = range(300, 400)
QUOTED_CHARS_MAX = 60


class Asked(Struct, kw_only=True):
    """The outcome of a probe. `reason` says why the target is down, and is empty if it is up."""

    readings: list[Reading]
    body: bytes = b""
    reason: str = ""
    failure: Failure | None = None


async def ask(target: Target, egress: Egress, time: datetime, timeout_s: float) -> Asked:
    """Probe a target. A target that is down is an outcome as well, never an exception."""
    trace = Trace(for_ngrok=target.kind == "ngrok")
    try:
        body = await egress.ask(
            target.url,
            trace,
            timeout_s=timeout_s,
            method=target.method,
            # If a redirect is an expected status, it must not be followed.
            follow=not any(status in REDIRECTS for status in target.up_status),
            verify_tls=target.verify_tls,
        )
    except EgressError as error:
        return Asked(readings=_readings(trace, time), reason=str(error), failure=error.failure)
    readings = [Reading("external_latency_ms", trace.latency_ms), *_readings(trace, time)]
    return Asked(readings=readings, body=body, reason=_fault(target, trace.status, body))


def _readings(trace: Trace, time: datetime) -> list[Reading]:
    readings = [
        Reading("external_phase_ms", passed_ms, labels_of({"phase": phase}))
        for phase, passed_ms in trace.phases_ms.items()
    ]
    if trace.status:
        readings.append(Reading("external_status_code", trace.status))
    return readings + _certificate_days(trace, time)


def _certificate_days(trace: Trace, time: datetime) -> list[Reading]:
    """Return the days until the first certificate expires. Redirects can show several."""
    try:
        ends = [not_after(certificate) for certificate in trace.certificates()]
    except ValueError:
        return []
    return [
        Reading("external_certificate_days", (end - time) / timedelta(days=1))
        for end in sorted(ends)[:1]
    ]


def _fault(target: Target, status: int, body: bytes) -> str:
    if status not in (target.up_status or GOOD):
        # Not the server's own phrase: it would appear in messages that people trust.
        known = status in HTTPStatus.__members__.values()
        return f"{status} {HTTPStatus(status).phrase}" if known else str(status)
    if target.body_contains.encode() not in body:
        wanted = target.body_contains
        if len(wanted) > QUOTED_CHARS_MAX:
            wanted = wanted[: QUOTED_CHARS_MAX - 1] + "…"
        return f"the body does not contain {wanted!r}"
    return ""
