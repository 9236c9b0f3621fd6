"""The Bot API as its documentation describes it: methods, limits, markup, and updates."""

import asyncio
import json
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from tests.notifications.forms import read_form

TOKEN = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"
CHAT = -1001234567890
TAGS = {"b", "i", "u", "s", "a", "code", "pre", "blockquote"}
TEXT_LENGTH_MAX, CAPTION_LENGTH_MAX, TOAST_LENGTH_MAX = 4096, 1024, 200
PNG = b"\x89PNG\r\n\x1a\n"
STRUCTURED = {"reply_markup", "reply_parameters", "link_preview_options"}


class RefusedError(Exception):
    """Answered as Telegram words it."""

    def __init__(self, status: int, description: str, **parameters: int) -> None:
        super().__init__(description)
        self.body = {"ok": False, "error_code": status, "description": description}
        self.status = status
        if parameters:
            self.body["parameters"] = parameters


class Markup(HTMLParser):
    """Reads Telegram's HTML: the text as a reader sees it, and which tags there were."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text, self.tags, self._open = "", list[str](), list[str]()
        self.feed(text)
        self.close()
        if self._open:
            raise RefusedError(400, f"Bad Request: can't parse entities: no end of {self._open}")

    def handle_starttag(self, tag: str, _: list[tuple[str, str | None]]) -> None:
        if tag not in TAGS:
            raise RefusedError(400, f'Bad Request: can\'t parse entities: Unsupported tag "{tag}"')
        self.tags.append(tag)
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            raise RefusedError(400, f'Bad Request: can\'t parse entities: unexpected "{tag}"')

    def handle_data(self, data: str) -> None:
        self.text += data


class Telegram:
    """One bot in one chat: what it said, and what people do."""

    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []
        """Messages of the bot: `text` is what a reader sees."""
        self.toasts: list[tuple[str, str]] = []
        self.updates: list[dict[str, Any]] = []
        self.polls: list[dict[str, Any]] = []
        self.refusal: RefusedError | None = None
        """Answers the next call."""
        self._changed = asyncio.Event()

    async def __call__(self, request: web.Request) -> web.Response:
        try:
            result = await self._do(request)
        except RefusedError as refused:
            return web.json_response(refused.body, status=refused.status)
        return web.json_response({"ok": True, "result": result})

    async def _do(self, request: web.Request) -> Any:
        if request.path.split("/")[1] != f"bot{TOKEN}":
            raise RefusedError(401, "Unauthorized")
        if self.refusal:
            refusal, self.refusal = self.refusal, None
            raise refusal
        fields = await fields_of(request)
        match request.path.split("/")[2]:
            case "sendMessage":
                return self._send(fields, fields.get("text", ""), TEXT_LENGTH_MAX)
            case "sendPhoto":
                if not fields["photo"].startswith(PNG):
                    raise RefusedError(400, "Bad Request: IMAGE_PROCESS_FAILED")
                return self._send(fields, fields.get("caption", ""), CAPTION_LENGTH_MAX)
            case "answerCallbackQuery":
                assert len(fields["text"]) <= TOAST_LENGTH_MAX
                self.toasts.append((fields["callback_query_id"], fields["text"]))
                return True
            case "getUpdates":
                return await self._poll(fields)
        raise RefusedError(404, "Not Found")

    def _send(self, fields: dict[str, Any], text: str, longest: int) -> dict[str, Any]:
        if int(fields["chat_id"]) != CHAT:
            raise RefusedError(400, "Bad Request: chat not found")
        markup = Markup(text) if fields.get("parse_mode") == "HTML" else None
        shown = markup.text if markup else text
        if not shown.strip():
            raise RefusedError(400, "Bad Request: message text is empty")
        if len(shown.encode("utf-16-le")) // 2 > longest:
            raise RefusedError(400, "Bad Request: message is too long")
        for row in fields.get("reply_markup", {}).get("inline_keyboard", []):
            for button in row:
                check_button(button)
        number = len(self.said) + 1
        said = fields | {"message_id": number, "text": shown, "tags": markup.tags if markup else []}
        self.said.append(said)
        chat = {"id": CHAT, "type": "supergroup"}
        # The text comes first: whoever reads the beginning only finds no number.
        return {"text": text, "chat": chat, "date": 1772334030, "message_id": number}

    async def _poll(self, fields: dict[str, Any]) -> list[dict[str, Any]]:
        self.polls.append(fields)
        self.updates = [one for one in self.updates if one["update_id"] >= fields["offset"]]
        if not self.updates and fields["timeout"]:
            self._changed.clear()
            try:
                async with asyncio.timeout(fields["timeout"]):
                    await self._changed.wait()
            except TimeoutError:
                return []
        return self.updates[: fields["limit"]]

    def press(self, data: str, chat: int = CHAT, **user: Any) -> None:
        """Press a button below a message of the bot."""
        message = {"message_id": 1, "date": 0, "chat": {"id": chat, "type": "supergroup"}}
        query = {"id": f"q{len(self.updates)}", "from": alice(**user), "message": message}
        self._happen({"callback_query": query | {"data": data, "chat_instance": "1"}})

    def write(self, text: str, chat: int = CHAT, **user: Any) -> None:
        """Write a message into a chat that the bot is in."""
        message = {"message_id": 99, "date": 0, "chat": {"id": chat, "type": "supergroup"}}
        self._happen({"message": message | {"from": alice(**user), "text": text}})

    def happen(self, update: Mapping[str, Any]) -> None:
        """Have anything else happen."""
        self._happen(dict(update))

    def _happen(self, update: dict[str, Any]) -> None:
        last = self.updates[-1]["update_id"] if self.updates else 1000
        self.updates.append({"update_id": last + 1} | update)
        self._changed.set()


def alice(**changed: Any) -> dict[str, Any]:
    return {"id": 7, "is_bot": False, "first_name": "Alice", "username": "alice"} | changed


def check_button(button: dict[str, str]) -> None:
    if "url" in button:
        parts = urlsplit(button["url"])
        if parts.scheme not in {"http", "https"} or "." not in (parts.hostname or ""):
            raise RefusedError(400, "Bad Request: inline keyboard button URL is invalid")
    elif not 1 <= len(button["callback_data"].encode()) <= 64:
        raise RefusedError(400, "Bad Request: BUTTON_DATA_INVALID")


async def fields_of(request: web.Request) -> dict[str, Any]:
    """Return the fields of a call, by JSON or by a form whose structures are JSON."""
    if request.content_type == "application/json":
        return dict(await request.json())
    form = read_form(request.headers["Content-Type"], await request.read())
    fields: dict[str, Any] = {}
    for name, value in form.items():
        if isinstance(value, tuple):
            fields[name] = value[2]
        else:
            fields[name] = json.loads(value) if name in STRUCTURED else value
    return fields
