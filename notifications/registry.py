"""The list of all channel types."""

from collections.abc import Mapping

from model.errors import InvalidError
from model.validation.words import not_one_of
from notifications.channels import (
    apprise,
    discord,
    email,
    ntfy,
    opsgenie,
    pagerduty,
    slack,
    teams,
    telegram,
    twilio,
    webhook,
    webpush,
)
from notifications.delivery import Channel, ChannelType
from notifications.event_feed import channel as events

TYPES: Mapping[str, ChannelType] = {
    one.name: one
    for one in (
        apprise.TYPE,
        discord.TYPE,
        email.TYPE,
        events.TYPE,
        ntfy.TYPE,
        opsgenie.TYPE,
        pagerduty.TYPE,
        slack.TYPE,
        teams.TYPE,
        telegram.TYPE,
        twilio.TYPE,
        webhook.TYPE,
        webpush.TYPE,
    )
}


def type_of(name: str) -> ChannelType:
    """Return a channel type. Raises InvalidError, which lists the existing types."""
    try:
        return TYPES[name]
    except KeyError:
        raise InvalidError(f"type: {not_one_of(name, sorted(TYPES))}") from None


def channel_to(channel: Channel, address: str) -> Channel:
    """Return a channel set to an address. An empty address is the channel's own.

    Raises InvalidError if the address is not valid for the type, or if the type has only the
    channel's own address.
    """
    kind = type_of(channel.type)
    if not address:
        return channel
    if kind.readdress is None:
        several = ", ".join(sorted(one.name for one in TYPES.values() if one.readdress))
        raise InvalidError(
            f"the {kind.title} channel {channel.name!r} sends to one place only; leave the address "
            f"empty, or use a channel of one of these types: {several}"
        )
    return kind.readdress(channel, address)
