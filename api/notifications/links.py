"""Links of messages: GET shows the action, and POST performs it, once.

Programs that scan mail open every link, so GET must not change anything.
"""

import html
from http import HTTPStatus

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from api.http.context import AppContext
from api.pages.pages import link_page
from model.errors import ConflictError, NotFoundError
from model.times import utc_now
from notifications import link_store, links
from notifications.link_store import StoredLink
from notifications.links import LinkAction
from notifications.replies.acting import follow

PATH = f"{links.PATH}{{token:str}}"
VERBS = {LinkAction.ACKNOWLEDGE: "Acknowledge", LinkAction.RESOLVE: "Resolve"}
DONE = {LinkAction.ACKNOWLEDGE: "Acknowledged", LinkAction.RESOLVE: "Resolved"}


@get(PATH, include_in_schema=False)
async def show(context: NamedDependency[AppContext], token: FromPath[str]) -> Response[bytes]:
    """Show the alert and a button. This changes nothing."""
    try:
        known = links.read(context.secret_keys.derive(links.PURPOSE), token, utc_now())
        async with context.connect() as connection:
            found = await link_store.find(connection, known)
    except NotFoundError as error:
        return _refusal(HTTPStatus.UNAUTHORIZED, str(error))
    if found.used_at is not None:
        return link_page(_text(f"This link was already used. The alert is {found.state}.", found))
    return link_page(_form(found))


@post(PATH, status_code=200, include_in_schema=False)
async def act(context: NamedDependency[AppContext], token: FromPath[str]) -> Response[bytes]:
    """Perform the action of the link, in the name of the person who got the message."""
    now = utc_now()
    try:
        known = links.read(context.secret_keys.derive(links.PURPOSE), token, now)
        async with context.connect() as connection, connection.transaction():
            found = await link_store.find(connection, known)
            await follow(connection, known, found, now, context.on_transitions)
    except NotFoundError as error:
        return _refusal(HTTPStatus.UNAUTHORIZED, str(error))
    except ConflictError as error:
        return _refusal(HTTPStatus.CONFLICT, str(error))
    context.announce()
    return link_page(_text(f"{DONE[found.action]} in the name of {found.person}.", found))


def _form(found: StoredLink) -> str:
    verb = VERBS[found.action]
    return (
        f"<h1>{html.escape(found.title)}</h1>"
        f'<form method="post" class="panel"><p>{html.escape(found.component)} · '
        f"{html.escape(found.state)}</p>"
        f'<button type="submit" class="primary">{verb}</button>'
        f'<p class="hint">In the name of {html.escape(found.person)}. '
        f'<a href="/?alert={found.alert_id}">Open the alert</a></p></form>'
    )


def _text(sentence: str, found: StoredLink) -> str:
    return (
        f'<h1>{html.escape(found.title)}</h1><p class="notice" role="status">'
        f'{html.escape(sentence)}</p><p><a href="/?alert={found.alert_id}">Open the alert</a></p>'
    )


def _refusal(status: HTTPStatus, reason: str) -> Response[bytes]:
    sentence = html.escape(reason[0].upper() + reason[1:])
    content = f'<p class="notice" role="alert">{sentence}</p><p><a href="/">Open Vigia</a></p>'
    return link_page(content, status)


ROUTES = (show, act)
