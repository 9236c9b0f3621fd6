"""Puts the API together: routes, what they are given, and the error table."""

from collections.abc import Sequence

from litestar import Litestar, Router
from litestar.di import Provide
from litestar.types import ControllerRouterHandler

from api import (
    alerts,
    analytics,
    config,
    dashboard,
    dev,
    docs,
    errors,
    headers,
    health,
    history,
    maintenance,
    metrics,
    openmetrics,
    otlp,
    pages,
    pending,
    probes,
    remote_write,
    retention,
    rules,
    security,
    sessions,
    silences,
    storage,
)
from api.compression import Compression
from api.door import OPEN, Door
from api.json_request import JsonRequest
from api.limits import LimitMiddleware
from api.parts import Parts

BODY_BYTES_MAX = 64 * 1024

OPEN_ROUTES: Sequence[ControllerRouterHandler] = (
    probes.livez,
    probes.readyz,
    sessions.sign_in,
    pages.sign_in_page,
    pages.asset,
    docs.docs_script,
    docs.docs_asset,
)
"""Everything that a stranger may ask; there is no other list."""

ROUTES: Sequence[ControllerRouterHandler] = (
    pages.first_page,
    probes.base_map,
    sessions.sign_out,
    metrics.catalogue,
    metrics.newest,
    metrics.ingest,
    otlp.receive,
    remote_write.receive,
    openmetrics.export,
    history.read,
    health.read,
    alerts.active,
    alerts.past,
    analytics.summarize,
    pending.read,
    alerts.one,
    alerts.resolve,
    alerts.acknowledge,
    alerts.reopen,
    alerts.comment,
    rules.every,
    rules.one,
    rules.create,
    rules.replace,
    rules.remove,
    rules.preview,
    silences.every,
    silences.one,
    silences.create,
    silences.replace,
    silences.finish,
    maintenance.every,
    maintenance.one,
    maintenance.create,
    maintenance.replace,
    maintenance.remove,
    config.every,
    config.history,
    config.one,
    config.change,
    retention.preview,
    security.events,
    storage.storage,
    dashboard.dashboard,
    dev.raise_alert,
    dev.status,
    docs.docs_page,
)


def create_app(parts: Parts, routes: Sequence[ControllerRouterHandler] = ()) -> Litestar:
    """Build the application; `routes` are handlers of others, such as the live feed's."""
    door = Door(parts.auth)
    open_routes = Router("/", route_handlers=OPEN_ROUTES, opt=OPEN, security=[{}])
    allow = headers.Allow()
    app = Litestar(
        [open_routes, *ROUTES, *routes],
        dependencies={"parts": Provide(lambda: parts, sync_to_thread=False)},
        middleware=[Compression(), door, LimitMiddleware(parts.limiters)],
        exception_handlers=errors.table(door),
        before_send=[headers.add_headers, allow],
        request_class=JsonRequest,
        request_max_body_size=BODY_BYTES_MAX,
        openapi_config=docs.config(parts.auth.cookie_name),
        logging_config=None,
        debug=False,
    )
    allow.learn(app.routes)
    return app
