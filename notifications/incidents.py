"""Splits groups for providers that keep one incident for each alert, such as PagerDuty."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import structs

from model.severity import Level
from notifications.delivery import Receipt, TemporaryError
from notifications.message import Event, Links, Message, thread_of

SEPARATE_ALERTS_MAX = 20
"""A larger group stays one message, so that an alert storm does not page people for each alert."""
SEPARATE_TIMEOUT_S = 30.0
"""The deadline for all messages of a group. It must be shorter than the lease of an address."""

SendOne = Callable[[Message], Awaitable[Receipt]]


async def send_separately(message: Message, send_one: SendOne) -> Receipt:
    """Send a small group as one message for each alert, and any other message unchanged.

    The first failure ends the sending, and the next try sends all messages again. That is safe:
    each incident has its own idempotency key. Raises DeliveryError.
    """
    receipt = Receipt()
    try:
        async with asyncio.timeout(SEPARATE_TIMEOUT_S):
            for one in separate(message):
                receipt = await send_one(one)
    except TimeoutError as error:
        raise TemporaryError(f"sending the group took over {SEPARATE_TIMEOUT_S:g} s") from error
    return receipt


def separate(message: Message) -> list[Message]:
    """Return one message for each alert of a small group, or the message itself."""
    if message.event is not Event.GROUP or len(message.alerts) > SEPARATE_ALERTS_MAX:
        return [message]
    return [_about(alert, message) for alert in message.alerts]


def _about(alert: dict[str, Any], group: Message) -> Message:
    return structs.replace(
        group,
        key=f"{group.key}-{alert['id']}",
        event=_event_of(alert),
        title=alert["title"],
        text=alert["message"],
        level=Level(alert["level"]),
        facts=(),
        alerts=(alert,),
        links=Links(alert=group.links.alert),
        picture=None,
        thread=thread_of(alert["id"]),
        earlier="",
    )


def _event_of(alert: dict[str, Any]) -> Event:
    """Return the event that describes the current state of an alert."""
    if alert["resolved_at"] is not None:
        return Event.RESOLVED
    return Event.OPENED if alert["acknowledged_at"] is None else Event.ACKNOWLEDGED
