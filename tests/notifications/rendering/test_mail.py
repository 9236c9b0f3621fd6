"""A mail says all of a message, in text and in HTML, and no text of it becomes a header."""

import re
from email import message_from_bytes, policy
from email.message import EmailMessage
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.severity import Level
from notifications.message import Event, Language, Links, Message
from notifications.rendering.mail import bytes_of, mail_of, one_line
from tests.notifications.hostile import HOSTILE
from tests.notifications.messages import NOW, message

SENDER, TO = "vigia@example.org", ("ana@example.org", "ops@example.org")
PICTURE = b"\x89PNG\r\n\x1a\n.\r\n\x00\xff"
LINE_BYTES_MAX = 998
"""RFC 5322, 2.1.1."""
TAGS = {"html", "head", "meta", "title", "body", "h1", "p", "table", "tr", "th", "td", "a"}
HEADERS = [
    "Subject",
    "From",
    "To",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "Auto-Submitted",
    "X-Auto-Response-Suppress",
    "Importance",
    "MIME-Version",
    "Content-Type",
]


def read(sent: Message, sender: str = SENDER) -> EmailMessage:
    """Return the mail as a mail program reads it."""
    data = bytes_of(mail_of(sent, sender=sender, to=TO, now=NOW))
    assert all(len(line) <= LINE_BYTES_MAX for line in data.split(b"\r\n"))
    assert data.isascii()
    assert not re.search(rb"^[\w-]+:\r\n ", data, re.MULTILINE)
    parsed = message_from_bytes(data, policy=policy.default)
    assert isinstance(parsed, EmailMessage)
    return parsed


def text_of(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    assert isinstance(part, EmailMessage)
    return str(part.get_content())


class Page(HTMLParser):
    """What a page shows and links to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "a":
            self.links.append(dict(attrs)["href"] or "")
        if tag == "img":
            self.images.append(dict(attrs))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def test_text_and_page_say_the_same() -> None:
    mail = read(message(picture=PICTURE))
    page = Page(text_of(mail, "html"))

    assert lines(text_of(mail, "plain")) == [
        "CPU at 97.7 % (limit 80 %), average of 1 min",
        "Since 03:00 UTC",
        "Component: server",
        "host: web-1",
        "Acknowledge: https://vigia.example/l/abc",
        "Open: https://vigia.example/alerts/41",
    ]
    shown = lines("\n".join(page.texts))
    assert shown[1:5] == [
        "[critical] CPU high on web-1",
        "CPU at 97.7 % (limit 80 %), average of 1 min",
        "Since 03:00 UTC",
        "Component",
    ]
    assert page.links == ["https://vigia.example/l/abc", "https://vigia.example/alerts/41"]


def test_the_picture_is_inside() -> None:
    mail = read(message(picture=PICTURE))
    (image,) = Page(text_of(mail, "html")).images
    (part,) = [one for one in mail.walk() if one.get_content_type() == "image/png"]

    assert mail.get_content_type() == "multipart/alternative"
    assert f"cid:{str(part['Content-ID']).strip('<>')}" == image["src"]
    assert image["alt"] == "[critical] CPU high on web-1"
    assert part.get_content_disposition() == "inline"
    assert part.get_payload(decode=True) == PICTURE


def test_without_a_picture_there_is_none() -> None:
    mail = read(message())
    assert Page(text_of(mail, "html")).images == []
    assert [part.get_content_type() for part in mail.walk()] == [
        "multipart/alternative",
        "text/plain",
        "text/html",
    ]


def test_the_mails_about_an_alert_are_a_thread() -> None:
    first = read(message())
    last = read(message(Event.RESOLVED, key="alert-41-resolved-9", earlier=first["Message-ID"]))

    assert (first["Message-ID"], last["Message-ID"]) == (
        "<alert-41-opened-1@example.org>",
        "<alert-41-resolved-9@example.org>",
    )
    assert first["In-Reply-To"] == first["References"] == "<alert-41@example.org>"
    assert last["In-Reply-To"] == first["Message-ID"]
    assert last["References"] == f"<alert-41@example.org> {first['Message-ID']}"
    assert read(message(thread=""))["References"] is None


@pytest.mark.parametrize(
    "sender", ["a@b", f"vigia@{'x' * 63}.{'y' * 63}.example.org", "vigia@example.org"]
)
@pytest.mark.parametrize("word", ["alert-41", "a b", "x" * 200, "é<>@\r\n"])
def test_ids_are_ids_whatever_they_are_made_of(sender: str, word: str) -> None:
    mail = read(message(key=word, thread=word), sender)
    for name in ("Message-ID", "In-Reply-To", "References"):
        local, _, domain = str(mail[name]).removeprefix("<").removesuffix(">").partition("@")
        assert local.replace("-", "").isalnum()
        assert domain
        assert len(f"{name}: {mail[name]}") <= 78


def test_no_robot_answers_and_what_is_urgent_says_so() -> None:
    mail = read(message())
    assert (mail["Auto-Submitted"], mail["X-Auto-Response-Suppress"]) == ("auto-generated", "All")
    assert mail["Importance"] == "high"
    assert read(message(level=Level.WARNING))["Importance"] is None
    assert read(message(Event.RESOLVED))["Importance"] is None


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_arrives_as_it_is(text: str) -> None:
    mail = read(message(title=text, text=text, facts=((text, text),)))
    page = Page(text_of(mail, "html"))

    assert list(mail.keys()) == HEADERS
    assert mail["Subject"] == one_line(text)
    assert lines(text_of(mail, "plain"))[: len(lines(text))] == lines(text)
    assert lines(text)[0] in "\n".join(page.texts)
    assert "".join(page.texts).count("".join(lines(text)[:1])) >= 4
    assert page.tags <= TAGS
    assert len(page.links) == 2


@settings(deadline=None)
@given(text=st.text(max_size=300))
def test_no_text_becomes_a_header(text: str) -> None:
    mail = read(message(title=text, text=text, key=text, thread=text or "-"))
    assert list(mail.keys()) == HEADERS
    assert str(mail["To"]) == "ana@example.org, ops@example.org"
    assert "".join(str(mail["Subject"]).split()) in "".join(one_line(text).split()) + "…"


def test_a_long_subject_is_cut() -> None:
    assert len(str(read(message(title="é" * 1000))["Subject"])) == 250


def test_the_page_is_in_the_readers_language() -> None:
    portuguese = message(
        language=Language.BRAZILIAN_PORTUGUESE, links=Links(alert="https://v.example/")
    )
    page = text_of(read(portuguese), "html")
    assert '<html lang="pt-BR">' in page
    assert ">Abrir</a>" in page
