"""Apprise: a hundred other services, through an optional library.

Docs: docs/reference/notifications/apprise.md. The library opens its own connections, which do not
go through the egress client. So the hosts are checked before each message, and only administrators
can set its URLs.
"""

import asyncio
import importlib.util
import logging
import re
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from msgspec import Struct

from model.errors import InvalidError
from model.severity import Level
from notifications.delivery import (
    ANSWER_CHARS_MAX,
    TIMEOUT_S,
    Channel,
    ChannelType,
    PermanentError,
    Receipt,
    TemporaryError,
)
from notifications.message import Message
from notifications.posting import FIXED_FAILURES, refusal
from runtime.network.connection import check as check_host
from runtime.network.egress import Egress, EgressError
from runtime.threads import DaemonThreads, ThreadDiedError

if TYPE_CHECKING:
    from apprise import NotifyBase

THREADS = DaemonThreads("apprise", 2)
DEADLINE_S = 2 * TIMEOUT_S
"""Twice the usual deadline, because some services need several requests."""
HOSTS_TIMEOUT_S = 5.0
URL = re.compile(r"[a-zA-Z][a-zA-Z0-9]*://\S+")
STATUS = re.compile(r"\berror=(\d{3})\b")
PART_LENGTH_MIN = 4
"""Shorter parts of a URL are not secret, and may appear in a log by chance."""
TYPES = {
    None: "info",
    Level.INFO: "info",
    Level.WARNING: "warning",
    Level.CRITICAL: "failure",
    Level.EMERGENCY: "failure",
}
NOT_INSTALLED = (
    "apprise is not installed; run `pip install 'vigia[apprise]'` where Vigia is installed, "
    "then start Vigia again"
)


class AppriseSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """No settings: the URL contains everything."""


class Outcome(NamedTuple):
    """The library's result for one message."""

    is_sent: bool
    log: str


def check(channel: Channel) -> None:
    """Raise InvalidError if the library is missing or the text is not a URL of Apprise.

    It does not check that the service exists, because loading all services takes a second. The test
    of a channel does.
    """
    if importlib.util.find_spec("apprise") is None:
        raise InvalidError(NOT_INSTALLED)
    if not URL.fullmatch(channel.url):
        raise InvalidError(f"url: write a URL of Apprise, such as {TYPE.url_example}")


async def send(egress: Egress, channel: Channel, message: Message, now: datetime) -> Receipt:
    """Send in a thread, within `DEADLINE_S`.

    The thread cannot be cancelled. If it succeeds after the deadline, the next try sends the
    message a second time.
    """
    try:
        async with asyncio.timeout(DEADLINE_S):
            service = await THREADS.run(_service_of, channel.url)
            if isinstance(service, str):
                raise PermanentError(service)
            await _check_hosts(egress, service)
            outcome = await THREADS.run(_notify, service, message)
    except TimeoutError as error:
        raise TemporaryError(f"no answer within {DEADLINE_S:g} s") from error
    except ThreadDiedError as error:
        raise TemporaryError(
            "apprise failed; the standard error output has its traceback"
        ) from error
    log = _without_parts(outcome.log, channel.url)[:ANSWER_CHARS_MAX]
    if outcome.is_sent:
        return Receipt(answer=log)
    if status := STATUS.search(log):
        raise refusal(int(status[1]), log, {}, now)
    raise TemporaryError("apprise could not send the message", answer=log)


def _service_of(url: str) -> "NotifyBase | str":
    """Return the service of a URL, or the reason why there is none."""
    try:
        from apprise import Apprise, AppriseAsset, OverflowMode  # noqa: PLC0415 (an extra)
    except ModuleNotFoundError:
        return NOT_INSTALLED
    # The result of each message contains the library's log. Keep it out of our log, because it has
    # URLs with secrets.
    logging.getLogger("apprise").propagate = False
    asset = AppriseAsset(
        app_id="Vigia",
        app_desc="Vigia",
        app_url="",
        async_mode=False,
        http_redirects=False,
        secure_logging=True,
        storage_mode="memory",
    )
    service = Apprise.instantiate(url, asset=asset)
    if service is None:
        return "apprise does not know this url; see https://appriseit.com/services/"
    if "overflow=" not in url:
        service.overflow_mode = OverflowMode.TRUNCATE
    return service


async def _check_hosts(egress: Egress, service: "NotifyBase") -> None:
    for host, port in hosts_of(service):
        try:
            await check_host(egress, host, port, timeout_s=HOSTS_TIMEOUT_S)
        except EgressError as error:
            kind = PermanentError if error.failure in FIXED_FAILURES else TemporaryError
            raise kind(str(error)) from error


def hosts_of(service: "NotifyBase") -> Iterator[tuple[str, int]]:
    """Yield the host and port that a service connects to, if its URL contains a host.

    For services such as Slack, the library has a fixed host, and that part of the URL is a token.
    """
    host = getattr(service, "smtp_host", "") or getattr(service, "host", "")
    if host and "host" in service.template_tokens:
        port = int(service.port or (443 if service.secure else 80))
        yield host.strip("[]"), port


def _notify(service: "NotifyBase", message: Message) -> Outcome:
    from apprise import Apprise, NotifyFormat  # noqa: PLC0415 (an extra)

    kind = "success" if message.is_resolved else TYPES[message.level]
    result = Apprise(service).notify(
        title=message.title,
        body=_body(message),
        notify_type=kind,
        body_format=NotifyFormat.TEXT,
    )
    return Outcome(bool(result), "\n".join(entry.message for entry in result.logs()))


def _body(message: Message) -> str:
    """Return the text with its links below, because the library has no buttons."""
    links = (message.links.acknowledge, message.links.alert)
    return "\n".join([message.text, *(link for link in links if link)])


def _without_parts(log: str, url: str) -> str:
    """Return the library's log with every part of the URL removed, both encoded and decoded."""
    pieces = re.split(r"[:/?&=#@,+]+", url.partition("://")[2])
    parts = {piece for piece in pieces if len(piece) >= PART_LENGTH_MIN}
    for part in sorted(parts | {unquote(part) for part in parts}, key=len, reverse=True):
        log = log.replace(part, "…")
    return log


TYPE = ChannelType(
    name="apprise",
    title="Apprise",
    send=send,
    settings=AppriseSettings,
    url_example="gotify://gotify.example.org/AbCdEfGhIjKlMnO",
    about="A hundred other services, by the Apprise library.",
    url_label="Apprise URL",
    url_hint="See appriseit.com/services for the URL of each service.",
    check=check,
)
