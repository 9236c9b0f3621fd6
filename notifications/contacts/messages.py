"""Messages to a person about themselves: a shift began or ended, or a code for an address."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from notifications.message import Event, Kind, Links, Message
from notifications.wording.moments import clock_text, moment_text
from notifications.wording.numbers import duration_text
from notifications.wording.situation import TITLE_LENGTH_MAX, Reader, one_line
from notifications.wording.templates import Words, words

PEOPLE_SHOWN_MAX = 20


class HandoverPayload(Struct, frozen=True, kw_only=True):
    """The payload of a notification about a hand-over."""

    schedule: str
    title: str
    at: datetime
    people: Sequence[str]
    """The people who are on call from then on."""
    leaving: Sequence[str]
    until: datetime | None


def handover_message(
    event: Event, payload: dict[str, Any], person: str, reader: Reader, key: str, links: Links
) -> Message:
    """Return the message to a person who comes on call or leaves, in the reader's language."""
    handover = msgspec.convert(payload, HandoverPayload)
    own = words(reader.language)
    is_start = event is Event.SHIFT_STARTED
    schedule = one_line(handover.title or handover.schedule, TITLE_LENGTH_MAX)
    lines = _started(handover, person, reader, own) if is_start else _ended(handover, reader, own)
    return Message(
        key=key,
        kind=Kind.ON_CALL,
        event=event,
        time=handover.at,
        title=own("on_call.started" if is_start else "on_call.ended", schedule=schedule),
        text="\n".join(lines),
        links=links,
        language=reader.language,
    )


def code_message(code: str, life_s: float, reader: Reader, key: str, time: datetime) -> Message:
    """Return the message with the code that verifies an address. The code is valid for `life_s`."""
    own = words(reader.language)
    use = own("account.code_use", duration=duration_text(life_s, reader.language))
    return Message(
        key=key,
        kind=Kind.ACCOUNT,
        event=Event.CODE,
        time=time,
        title=own("account.code", code=code),
        text=f"{use}\n{own('account.code_unwanted')}",
        language=reader.language,
    )


def _started(handover: HandoverPayload, person: str, reader: Reader, own: Words) -> Iterator[str]:
    if handover.until is None:
        yield own("on_call.from_on", time=moment_text(handover.at, handover.at, reader.zone, own))
    else:
        yield own(
            "on_call.from_until",
            time=clock_text(handover.at, handover.at, reader.zone, own),
            until=moment_text(handover.until, handover.at, reader.zone, own),
        )
    if others := [each for each in handover.people if each != person]:
        yield own("on_call.with", people=_names(others))
    if handover.leaving:
        yield own("on_call.after", people=_names(handover.leaving))


def _ended(handover: HandoverPayload, reader: Reader, own: Words) -> Iterator[str]:
    yield own("on_call.from_on", time=moment_text(handover.at, handover.at, reader.zone, own))
    if handover.people:
        yield own("on_call.now", people=_names(handover.people))
    else:
        yield own("on_call.nobody")


def _names(people: Sequence[str]) -> str:
    shown = people[:PEOPLE_SHOWN_MAX]
    return ", ".join([*shown, *(["…"] if len(people) > len(shown) else [])])
