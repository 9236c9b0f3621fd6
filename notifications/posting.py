"""Sends HTTP requests to providers, and separates temporary from permanent failures."""

import math
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import msgspec
from msgspec import MsgspecError

from notifications.delivery import (
    ANSWER_CHARS_MAX,
    TIMEOUT_S,
    DeliveryError,
    GoneError,
    PermanentError,
    Receipt,
    TemporaryError,
)
from runtime.network.egress import BODY_BYTES_MAX, Egress, EgressError, Failure, Trace

SUCCESS, SERVER_ERROR = 2, 5
"""The first digits of HTTP statuses."""
RETRY_AFTER_S_MAX = 3600.0
TEMPORARY_STATUSES = {408, 409, 425, 429}
"""4xx statuses that may pass. Every other 4xx says that the request itself is wrong."""
FIXED_FAILURES = {Failure.URL, Failure.ADDRESS, Failure.REDIRECT}

Read = Callable[[bytes], str]
"""Returns the provider's id of a message, from the answer.

Raises MsgspecError or ValueError if the answer is not as documented.
"""


async def post(
    egress: Egress,
    url: str,
    body: bytes,
    *,
    headers: Mapping[str, str],
    now: datetime,
    method: str = "POST",
    read: Read = lambda _: "",
    timeout_s: float | None = None,
    answer_bytes_max: int = BODY_BYTES_MAX,
    readable: bytes | None = None,
) -> Receipt:
    """Send a body and return the receipt of a 2xx answer.

    `read` gets the whole answer, up to `answer_bytes_max` bytes. If `read` fails, for example on
    the page of a proxy, the message counts as not sent and is tried again. One try takes at most
    `timeout_s`, by default `TIMEOUT_S`. `readable` is the plain text of an encrypted body, which
    the test of a channel shows.

    Raises TemporaryError or PermanentError.
    """
    note_sent(body if readable is None else readable)
    trace = Trace()
    try:
        answer = await egress.ask(
            url,
            trace,
            timeout_s=timeout_s or TIMEOUT_S,
            method=method,
            follow=False,
            headers=headers,
            data=body,
            body_bytes_max=answer_bytes_max,
        )
    except EgressError as error:
        kind = PermanentError if error.failure in FIXED_FAILURES else TemporaryError
        raise kind(str(error), status=trace.status) from error
    text = answer.decode("utf-8", "replace")[:ANSWER_CHARS_MAX]
    if trace.status // 100 == SUCCESS:
        return Receipt(status=trace.status, answer=text, reference=_reference(read, answer, trace))
    raise refusal(trace.status, text, trace.headers, now)


_sent: ContextVar[list[bytes] | None] = ContextVar("sent", default=None)


@contextmanager
def recording() -> Iterator[list[bytes]]:
    """Collect the bodies that this task sends, for the test of a channel.

    They may contain secrets.
    """
    bodies: list[bytes] = []
    token = _sent.set(bodies)
    try:
        yield bodies
    finally:
        _sent.reset(token)


def note_sent(body: bytes) -> None:
    """Add a body to the recording of this task, if there is one.

    Channels that do not use HTTP call it themselves.
    """
    bodies = _sent.get()
    if bodies is not None:
        bodies.append(body)


async def post_json(
    egress: Egress,
    url: str,
    document: object,
    *,
    now: datetime,
    headers: Mapping[str, str] | None = None,
    read: Read = lambda _: "",
) -> Receipt:
    """Send a document as JSON, like `post` in every other way."""
    body = msgspec.json.encode(document)
    headers = {"Content-Type": "application/json"} | dict(headers or {})
    return await post(egress, url, body, headers=headers, now=now, read=read)


def form_of(
    fields: Mapping[str, bytes], files: Mapping[str, tuple[str, str, bytes]]
) -> tuple[str, bytes]:
    """Return the content type and the body of a multipart form (RFC 7578).

    `files` maps a field to a file name, a content type and the content. All names must be
    constants, because nothing escapes them.
    """
    boundary = secrets.token_hex(16)
    parts = [(f'name="{name}"', value) for name, value in fields.items()]
    parts += [
        (f'name="{name}"; filename="{file_name}"\r\nContent-Type: {kind}', content)
        for name, (file_name, kind, content) in files.items()
    ]
    lines: list[bytes] = []
    for head, value in parts:
        disposition = f"--{boundary}\r\nContent-Disposition: form-data; {head}"
        lines += [disposition.encode(), b"", value]
    body = b"\r\n".join([*lines, f"--{boundary}--".encode(), b""])
    return f"multipart/form-data; boundary={boundary}", body


def _reference(read: Read, answer: bytes, trace: Trace) -> str:
    try:
        return read(answer)
    except (MsgspecError, ValueError) as error:  # ValueError: a text that is not UTF-8
        reason = f"the provider answered {trace.status}, but not as documented"
        text = answer.decode("utf-8", "replace")
        raise TemporaryError(reason, status=trace.status, answer=text) from error


def refusal(status: int, text: str, headers: Mapping[str, str], now: datetime) -> DeliveryError:
    """Return the error for an HTTP status that is not 2xx."""
    reason = f"the provider answered {status}"
    if status == HTTPStatus.GONE:
        return GoneError(reason, status=status, answer=text)
    if status in TEMPORARY_STATUSES or status // 100 == SERVER_ERROR:
        wait_s = retry_after_s(headers, now)
        return TemporaryError(reason, status=status, answer=text, retry_after_s=wait_s)
    return PermanentError(reason, status=status, answer=text)


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds of `Retry-After`, or None if the header is missing or unusable.

    The header has seconds or a date (RFC 9110, section 10.2.3). The result is at most one hour.
    """
    given = headers.get("Retry-After", "").strip()
    try:
        wait_s = float(given) if given[:1].isdigit() else _seconds_until(given, now)
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(wait_s, 0.0), RETRY_AFTER_S_MAX) if math.isfinite(wait_s) else None


def _seconds_until(date: str, now: datetime) -> float:
    then = parsedate_to_datetime(date)
    return (then.replace(tzinfo=then.tzinfo or UTC) - now).total_seconds()
