"""Composes the API: routes, dependencies, middleware and the error table."""

from collections.abc import Sequence

from litestar import Litestar, Router
from litestar.di import Provide
from litestar.types import ControllerRouterHandler

from api import live, probes
from api.accounts import audit, sessions
from api.admin import config, retention, status
from api.alerts import acts, alerts, analytics, maintenance, pending, rules, silences
from api.exposition import routes as openmetrics
from api.health import dashboard, health, hosts
from api.http import errors, headers
from api.http.access import OPEN, AccessMiddleware
from api.http.compression import Compression
from api.http.context import AppContext, JsonRequest
from api.http.limits import LimitMiddleware
from api.ingest import otlp_routes as otlp
from api.ingest import remote_write
from api.metrics import catalogue, history
from api.notifications import (
    actions,
    calendars,
    channels,
    contacts,
    deliveries,
    inbound,
    links,
    oncall,
    overrides,
    pause,
    schedules,
    verification,
)
from api.pages import docs, pages
from api.push import browsers
from api.routing import policies, previews, range_evaluation
from api.routing import routes as alert_routes

BODY_BYTES_MAX = 64 * 1024

OPEN_ROUTES: Sequence[ControllerRouterHandler] = (
    probes.livez,
    probes.readyz,
    sessions.sign_in,
    pages.sign_in_page,
    pages.asset,
    pages.service_worker,
    docs.docs_script,
    docs.docs_asset,
    *links.ROUTES,
    *inbound.ROUTES,
    *calendars.OPEN_ROUTES,
)
"""All routes that need no authentication; there is no other list."""

ROUTES: Sequence[ControllerRouterHandler] = (
    pages.first_page,
    probes.base_map,
    live.stream,
    sessions.sign_out,
    catalogue.catalogue,
    catalogue.newest,
    catalogue.ingest,
    otlp.receive,
    remote_write.receive,
    openmetrics.export,
    history.read,
    health.read,
    *hosts.ROUTES,
    alerts.active,
    alerts.past,
    analytics.summarize,
    pending.read,
    alerts.one,
    *acts.ROUTES,
    rules.every,
    rules.one,
    rules.create,
    rules.replace,
    rules.remove,
    rules.preview_rule,
    *silences.ROUTES,
    *maintenance.ROUTES,
    *channels.ROUTES,
    *browsers.ROUTES,
    *deliveries.ROUTES,
    *pause.ROUTES,
    *actions.ROUTES,
    *contacts.ROUTES,
    *verification.ROUTES,
    *schedules.ROUTES,
    *overrides.ROUTES,
    *oncall.ROUTES,
    *calendars.REVOCABLE,
    *alert_routes.ROUTES,
    *policies.ROUTES,
    *previews.ROUTES,
    *range_evaluation.ROUTES,
    config.every,
    config.history,
    config.one,
    config.change,
    retention.preview,
    audit.events,
    retention.storage,
    dashboard.dashboard,
    status.raise_alert,
    status.status,
    docs.docs_page,
)


def create_app(context: AppContext, routes: Sequence[ControllerRouterHandler] = ()) -> Litestar:
    """Build the application; `routes` are additional handlers."""
    access = AccessMiddleware(context.auth)
    open_routes = Router("/", route_handlers=OPEN_ROUTES, opt=OPEN, security=[{}])
    allow = headers.Allow()
    app = Litestar(
        [open_routes, *ROUTES, *routes],
        dependencies={"context": Provide(lambda: context, sync_to_thread=False)},
        middleware=[Compression(), access, LimitMiddleware(context.limiters)],
        exception_handlers=errors.table(access),
        before_send=[headers.add_headers, allow],
        request_class=JsonRequest,
        request_max_body_size=BODY_BYTES_MAX,
        openapi_config=docs.config(context.auth.cookie_name),
        logging_config=None,
        debug=False,
    )
    allow.learn(app.routes)
    return app
