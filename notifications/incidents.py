"""For providers that keep an incident of each alert, such as PagerDuty: a group, alert by alert."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import structs

from model.severity import Level
from notifications.delivery import Receipt, TemporaryError
from notifications.message import Event, Links, Message, thread_of

SEPARATE_ALERTS_MAX = 20
"""Larger groups stay one message: nobody must be paged for each alert of a storm."""
SEPARATE_TIMEOUT_S = 30.0
"""For all messages of a group; less than the lease of an address."""

SendOne = Callable[[Message], Awaitable[Receipt]]


async def send_separately(message: Message, send_one: SendOne) -> Receipt:
    """Send a small group as a message for each alert, anything else as it is.

    The first message that fails ends it, and all are sent again: an incident has a key of its own,
    so that a repetition changes nothing. Raises DeliveryError.
    """
    receipt = Receipt()
    try:
        async with asyncio.timeout(SEPARATE_TIMEOUT_S):
            for one in separate(message):
                receipt = await send_one(one)
    except TimeoutError as error:
        raise TemporaryError(f"the group took over {SEPARATE_TIMEOUT_S:g} s") from error
    return receipt


def separate(message: Message) -> list[Message]:
    """Return a message for each alert of a small group; of any other message, itself."""
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
    """Return what is to be told of an alert as it is now."""
    if alert["resolved_at"] is not None:
        return Event.RESOLVED
    return Event.OPENED if alert["acknowledged_at"] is None else Event.ACKNOWLEDGED
