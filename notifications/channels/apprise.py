"""Apprise: a hundred other services, by a library that is installed only where it is wanted.

Docs: docs/reference/notifications/apprise.md. The library makes its own connections, past the
egress client: its hosts are checked before it does, and only an administrator can enter its URLs.
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
"""Some services take several requests."""
HOSTS_TIMEOUT_S = 5.0
URL = re.compile(r"[a-zA-Z][a-zA-Z0-9]*://\S+")
STATUS = re.compile(r"\berror=(\d{3})\b")
PART_LENGTH_MIN = 4
"""Shorter parts of a URL are no secret, and words of a log hold them by chance."""
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
    """The URL says everything."""


class Outcome(NamedTuple):
    """What the library says of one message."""

    is_sent: bool
    log: str


def check(channel: Channel) -> None:
    """Raise InvalidError where the library is missing, or the url is none of its own.

    Which services there are shows a test of the channel: to load them all takes a second.
    """
    if importlib.util.find_spec("apprise") is None:
        raise InvalidError(NOT_INSTALLED)
    if not URL.fullmatch(channel.url):
        raise InvalidError(f"url: write one of Apprise's, such as {TYPE.url_example}")


async def send(egress: Egress, channel: Channel, message: Message, now: datetime) -> Receipt:
    """Send in a thread, within `DEADLINE_S`. A message that comes later may come twice."""
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
    """Return the service of a URL, or why there is none."""
    try:
        from apprise import Apprise, AppriseAsset, OverflowMode  # noqa: PLC0415 (an extra)
    except ModuleNotFoundError:
        return NOT_INSTALLED
    # What it logs is in the result of each message; our own log gets none of its URLs.
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
        return "apprise knows no such url; see https://appriseit.com/services/"
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
    """Yield the host that a service connects to, where its URL names one.

    The host of others, such as Slack, is fixed in the library, and that part of the URL is a token.
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
    """Return the text with its links: the library has no buttons."""
    links = (message.links.acknowledge, message.links.alert)
    return "\n".join([message.text, *(link for link in links if link)])


def _without_parts(log: str, url: str) -> str:
    """Return what the library logged without any part of the URL, as it is and decoded."""
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
