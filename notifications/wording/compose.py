"""Composes the message about an event in the reader's language."""

from msgspec import structs

from model.series import COMPONENT_UP, HOST, HOST_SILENT_SECONDS
from model.severity import Level
from notifications.message import Event, Kind, Links, Message, thread_of
from notifications.rendering.buttons import web_address
from notifications.wording.digest import digest
from notifications.wording.facts import facts
from notifications.wording.lines import lines
from notifications.wording.situation import (
    NAME_LENGTH_MAX,
    TITLE_LENGTH_MAX,
    Reader,
    ShownAlert,
    Situation,
    one_line,
    shown,
)
from notifications.wording.templates import Words, words


def compose(
    situation: Situation,
    reader: Reader,
    links: Links | None = None,
    *,
    picture: bytes | None = None,
    earlier: str = "",
) -> Message:
    """Return the message. With a picture of the last hour, the text has no row of blocks.

    The message is not escaped, and nothing that others wrote is interpreted. In such texts, control
    characters and line breaks become spaces, and a text that is too long ends with an ellipsis.
    """
    if picture is not None:
        reader = structs.replace(reader, has_text_chart=False)
    own = words(reader.language)
    title, text, level, table, thread = _text_parts(situation, reader, own)
    return Message(
        key=situation.key,
        kind=Kind.TEST if situation.event is Event.TEST else Kind.ALERT,
        event=situation.event,
        time=situation.now,
        title=title,
        text="\n".join(text),
        level=level,
        facts=table,
        alerts=tuple(situation.alerts),
        links=_with_runbook(links or Links(), situation.runbook),
        picture=picture,
        language=reader.language,
        thread=thread,
        step=situation.step.number if situation.step else 0,
        earlier=earlier,
    )


TextParts = tuple[str, list[str], Level | None, tuple[tuple[str, str], ...], str]
"""Title, lines, level, facts and thread."""


def _text_parts(situation: Situation, reader: Reader, own: Words) -> TextParts:
    if not situation.alerts:
        return own("title.test_channel"), [own("line.test")], None, (), ""
    if situation.event is Event.GROUP:
        group = digest(situation, reader, own)
        return group.title, list(group.lines), group.level, (), ""
    alert = shown(situation.alerts[0])
    title, text = _title(situation, alert, own), list(lines(situation, alert, reader, own))
    table = facts(situation, alert, reader, own)
    return title, text, alert.level, table, thread_of(alert.id)


def _title(situation: Situation, alert: ShownAlert, own: Words) -> str:
    step, previous = situation.step, situation.previous_level
    title = one_line(alert.title, TITLE_LENGTH_MAX)
    if situation.measure is not None and situation.measure.metric == COMPONENT_UP:
        title = own("title.down", where=one_line(alert.component, NAME_LENGTH_MAX))
    if situation.measure is not None and situation.measure.metric == HOST_SILENT_SECONDS:
        name = alert.labels.get(HOST, alert.component)
        title = own("title.silent", where=one_line(name, NAME_LENGTH_MAX))
    values = {"title": title, "level": own(f"level.{alert.level}")}
    match situation.event:
        case Event.ESCALATED | Event.LOWERED if previous is not None:
            return own("title.changed", previous=own(f"level.{previous}"), **values)
        case Event.OPENED if step is not None and step.number > 1:
            return own("title.step", step=str(step.number), steps=str(step.of), **values)
        case Event.ACKNOWLEDGED | Event.RESOLVED | Event.REMINDER | Event.TEST:
            return own(f"title.{situation.event}", **values)
        case _:
            return own("title.opened", **values)


def _with_runbook(links: Links, runbook: str) -> Links:
    """Return the links with the link to the runbook, if the runbook is a URL."""
    address = "" if links.runbook else web_address(runbook)
    return structs.replace(links, runbook=address) if address else links
