"""Renders a message as mail: plain text, HTML, the picture, and the headers of its thread.

The subject is the only header that contains a text of the message. It is reduced to one line first.
"""

import hashlib
import html
import re
from collections.abc import Iterator
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP

from model.severity import Level
from notifications.cutting import cut
from notifications.message import Message
from notifications.rendering.appearance import appearance
from notifications.rendering.buttons import buttons

SENDER_NAME = "Vigia"
SUBJECT_CHARS_MAX = 250
TEXT_CHARS_MAX = 100_000
"""Mail servers limit the size of a mail to some megabytes."""
ID_WORD = re.compile(r"[A-Za-z0-9._-]{1,32}")
ID_DOMAIN_CHARS_MAX = 30
"""With a shorter domain, an id and its header name fit on one line.

Mail programs do not recognize ids that are folded.
"""
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
POLICY = SMTP.clone(cte_type="7bit")
"""Every server accepts 7 bits."""
UNFOLDED = POLICY.clone(max_line_length=998)
"""The longest lines that are allowed (RFC 5322, section 2.1.1)."""
URGENT = {Level.CRITICAL, Level.EMERGENCY}
PICTURE_ID = "chart@vigia.invalid"
BOUNDARIES = ("=_text-or-page", "=_page-and-picture")
"""Neither quoted-printable nor base64 can contain `=_`, so no part can contain a boundary."""

BODY_STYLE = (
    "margin:0;padding:16px;font-size:15px;line-height:1.5;"
    "font-family:Inter,Segoe UI,Roboto,Helvetica,Arial,sans-serif"
)
TITLE_STYLE = "margin:0 0 12px;padding:10px 14px;border-radius:6px;font-size:18px;color:#ffffff"
LINK_STYLE = (
    "display:inline-block;margin:8px 8px 0 0;padding:8px 14px;border-radius:6px;"
    "border:1px solid;text-decoration:none;font-weight:600"
)
LABEL_STYLE = "text-align:left;padding:2px 16px 2px 0;font-weight:600"
"""Inline styles, because mail programs drop style sheets."""


def mail_of(message: Message, *, sender: str, to: tuple[str, ...], now: datetime) -> EmailMessage:
    """Return the mail. The caller must have checked the addresses."""
    mail = EmailMessage(policy=POLICY)
    mail["Subject"] = cut(one_line(message.title), SUBJECT_CHARS_MAX)
    mail["From"] = Address(SENDER_NAME, addr_spec=sender)
    mail["To"] = [Address(addr_spec=one) for one in to]
    mail["Date"] = now
    _add_ids(mail, message, sender.rpartition("@")[2])
    # Prevents automatic answers, such as holiday notices or loops between two programs.
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    if message.level in URGENT and not message.is_resolved:
        mail["Importance"] = "high"
    _add_parts(mail, message)
    return mail


def bytes_of(mail: EmailMessage) -> bytes:
    """Return the mail as bytes to send.

    Python may fold an ASCII subject so that its first line is empty, which filters treat as spam.
    So only other subjects are folded: they are encoded in words of at most 75 bytes, which must be
    folded.
    """
    return mail.as_bytes(policy=UNFOLDED if str(mail["Subject"]).isascii() else POLICY)


def one_line(text: str) -> str:
    """Return a text without line breaks and other control characters."""
    return CONTROL.sub(" ", text).strip()


def _add_ids(mail: EmailMessage, message: Message, domain: str) -> None:
    """Set the Message-ID and the ids of the thread.

    The root of a thread is an id that no mail has. All mails of the thread refer to it, so that
    programs group them even if the first one is missing.
    """
    mail["Message-ID"] = _id(message.key, domain)
    if message.thread:
        thread = _id(message.thread, domain)
        mail["In-Reply-To"] = message.earlier or thread
        mail["References"] = " ".join(filter(None, (thread, message.earlier)))


def _id(word: str, domain: str) -> str:
    if not ID_WORD.fullmatch(word):
        word = _digest(word)
    if len(domain) > ID_DOMAIN_CHARS_MAX:
        domain = f"{_digest(domain)[:20]}.invalid"
    return f"<{word}@{domain}>"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _add_parts(mail: EmailMessage, message: Message) -> None:
    page = EmailMessage(policy=POLICY)
    page.set_content(_page(message), subtype="html", cte="quoted-printable")
    if message.picture is not None:
        page.make_related(boundary=BOUNDARIES[1])
        page.add_related(
            message.picture,
            maintype="image",
            subtype="png",
            cid=f"<{PICTURE_ID}>",
            disposition="inline",
            filename="chart.png",
        )
    mail.set_content(_plain(message), cte="quoted-printable")
    mail.make_alternative(boundary=BOUNDARIES[0])
    del page["MIME-Version"]
    mail.attach(page)


def _plain(message: Message) -> str:
    facts = "\n".join(f"{label}: {value}" for label, value in message.facts)
    links = "\n".join(f"{one.label}: {one.url}" for one in buttons(message))
    text = cut(message.text, TEXT_CHARS_MAX)
    return "\n\n".join(part for part in (text, facts, links) if part) + "\n"


def _page(message: Message) -> str:
    title = html.escape(message.title)
    text = html.escape(cut(message.text, TEXT_CHARS_MAX))
    color = appearance(message).css
    parts = (
        f'<!doctype html>\n<html lang="{message.language}"><head><meta charset="utf-8">',
        f'<title>{title}</title></head><body style="{BODY_STYLE}">',
        f'<h1 style="{TITLE_STYLE};background:{color}">{title}</h1>',
        f'<p style="white-space:pre-line">{text}</p>',
        *_table(message),
        *_picture(message),
        *_links(message, color),
        "</body></html>\n",
    )
    return "\n".join(parts)


def _table(message: Message) -> Iterator[str]:
    if message.facts:
        yield '<table style="border-collapse:collapse">'
        for label, value in message.facts:
            name, shown = html.escape(label), html.escape(value)
            yield f'<tr><th style="{LABEL_STYLE}">{name}</th><td>{shown}</td></tr>'
        yield "</table>"


def _picture(message: Message) -> Iterator[str]:
    if message.picture is not None:
        alt = html.escape(message.title)
        style = "max-width:100%;height:auto"
        yield f'<p><img src="cid:{PICTURE_ID}" alt="{alt}" width="720" style="{style}"></p>'


def _links(message: Message, color: str) -> Iterator[str]:
    for one in buttons(message):
        url, label = html.escape(one.url), html.escape(one.label)
        yield f'<a href="{url}" style="{LINK_STYLE};color:{color}">{label}</a>'
