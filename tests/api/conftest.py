"""A real server on a free port, with a key for every role, and an HTTP client for it."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import aiohttp
import pytest
from jsonschema import Draft202012Validator, FormatChecker
from msgspec import Struct

from accounts import keys
from api.accounts.authenticator import Authenticator
from api.app import create_app
from api.http.context import AppContext
from api.ingest.admission.series_quota import SeriesQuota
from api.server import server
from config.model import Config
from config.store import read
from db.engine import Engine
from db.queries import Pool
from hosts.watch import HostWatch
from live.client import Limits
from live.hub import Live
from model.principal import Role
from model.series import Sample
from model.times import utc_now
from notifications.outbox.pool_share import PoolShare
from retention.usage import Disk
from runtime.encryption.secret_keys import SecretKeys
from runtime.network.egress import Egress, open_egress
from runtime.settings import Secret, Settings
from samples.database.readiness import Readiness
from samples.write_batch import Stored, WriteBatch, write_batch_of
from samples.writer import Writer
from vigia.transitions import ON_TRANSITIONS

BASE = "/api/v1/monitoring"
ADMIN_KEY = "an-admin-key-of-more-than-32-characters"


class Answer(Struct):
    """What came back; `body` is the decoded JSON, or the text of anything else."""

    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def detail(self) -> str:
        detail: str = self.body["detail"]
        return detail


def check_conforms(
    document: dict[str, Any], method: str, path: str, answer: aiohttp.ClientResponse, body: Any
) -> None:
    """Compare an answer with what OpenAPI says of its operation, where it says anything."""
    template = re.sub(r"/alerts/\d+", "/alerts/{alert_id}", path)
    template = re.sub(r"/alerts/rules/(?!preview)[^/]+", "/alerts/rules/{name}", template)
    template = re.sub(r"/silences/\d+", "/silences/{silence_id}", template)
    template = re.sub(r"/maintenance/\d+", "/maintenance/{window_id}", template)
    template = re.sub(r"/channels/\d+", "/channels/{channel_id}", template)
    template = re.sub(r"/push/browsers/[^/]+", "/push/browsers/{browser_id}", template)
    template = re.sub(r"/deliveries/\d+", "/deliveries/{delivery_id}", template)
    template = re.sub(r"/contacts/[^/]+", "/contacts/{name}", template)
    template = re.sub(r"/schedules/[^/]+", "/schedules/{name}", template)
    template = re.sub(r"/(routes|policies)/(?!preview)[^/]+", r"/\1/{name}", template)
    template = re.sub(r"/overrides/\d+", "/overrides/{override_id}", template)
    template = re.sub(r"/config/(?!history|retention/preview)[^/]+", "/config/{key}", template)
    operation = document["paths"].get(template, {}).get(method.lower())
    if operation is not None and answer.status != HTTPStatus.METHOD_NOT_ALLOWED:
        content = operation["responses"][str(answer.status)]["content"]
        schema = content[answer.headers["Content-Type"]]["schema"]
        whole = {**schema, "components": document["components"]}
        Draft202012Validator(whole, format_checker=FormatChecker()).validate(body)


class Service:
    """A running API, and the hands to ask it."""

    def __init__(
        self, pool: Pool, port: int, http: aiohttp.ClientSession, egress: Egress, *, can_copy: bool
    ) -> None:
        self.can_copy = can_copy
        self.egress = egress
        self.url = f"http://127.0.0.1:{port}"
        self.http = http
        # Tests write to the database in every way: no answer is from memory alone.
        self.live = Live(pool, Limits(fresh_s=0, stale_s=0))
        self.context = self._context(pool, Settings(port=port, admin_key=Secret(ADMIN_KEY)))
        self.document: dict[str, Any] = {}

    async def begin(self, pool: Pool) -> None:
        """Forget the test before."""
        self.writer = Writer(pool, self.live.publish, can_copy=self.can_copy)
        self.hosts = HostWatch(pool=pool, put=self.writer.put)
        self.live.forget()
        self.context.receivers.accepted_times.forget()
        self.context.receivers.series_quota = SeriesQuota()
        self.context.auth.throttle.forget()
        self.rings = 0
        self.is_ready = True
        self.config = Config()
        self.disk: Disk | None = None
        self.keys = {role: await self.new_key(role.value, role) for role in Role}
        self.document = self.document or (await self.ask("/api/v1/openapi.json")).body

    async def ask(
        self,
        path: str,
        role: Role | None = Role.ADMIN,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Answer:
        """Send a request with the key of a role; None: with none."""
        given = dict(headers or {})
        if role is not None:
            given["Authorization"] = f"Bearer {self.keys[role]}"
        options.setdefault("allow_redirects", False)
        async with self.http.request(method, self.url + path, headers=given, **options) as answer:
            text = await answer.text(errors="replace")
            is_json = "json" in answer.headers.get("Content-Type", "")
            body = json.loads(text, parse_constant=pytest.fail) if is_json else text
            if is_json and self.document:
                check_conforms(self.document, method, path, answer, body)
            return Answer(answer.status, answer.headers, body)

    async def get(self, path: str, role: Role | None = Role.VIEWER, **query: Any) -> Answer:
        """Ask for something below the API's base."""
        return await self.ask(BASE + path, role, params=query)

    async def post(self, path: str, body: Any = None, role: Role | None = Role.ADMIN) -> Answer:
        return await self.ask(BASE + path, role, method="POST", json=body)

    async def new_key(self, name: str, role: Role) -> str:
        async with self.context.pool.connection() as connection:
            _, secret = await keys.create(connection, name, role, utc_now(), "test")
        return secret.reveal()

    async def declare(self, *metrics: str) -> None:
        """Create a series of each metric, without samples."""
        async with self.context.pool.connection() as connection:
            for metric in metrics:
                await connection.execute(
                    "INSERT INTO series (metric, component, category, labels, unit, kind)"
                    " VALUES (%s, 'app', 'system', '{}', '', 'gauge') ON CONFLICT DO NOTHING",
                    [metric],
                )

    def wake(self) -> None:
        self.rings += 1

    async def write(self, samples: Sequence[Sample]) -> Stored:
        return await self.writer.store(write_batch_of(samples))

    async def renew_config(self) -> None:
        async with self.context.pool.connection() as connection:
            self.config = await read(connection)

    async def store(self, load: WriteBatch, series_max: int | None) -> Stored:
        return await self.writer.store(load, series_max)

    async def note_hosts(self, batch: WriteBatch, stored: Stored) -> None:
        await self.hosts.note(batch, stored.refused, utc_now(), self.config.measured)

    def _context(self, pool: Pool, settings: Settings) -> AppContext:
        return AppContext(
            pool=pool,
            own_pool=pool,
            reader=pool,
            settings=settings,
            auth=Authenticator(pool, settings),
            live=self.live,
            write=self.store,
            note_hosts=self.note_hosts,
            is_away=lambda: self.writer.is_away,
            announce=self.wake,
            on_transitions=ON_TRANSITIONS,
            few_connections=PoolShare(pool, 2),
            egress=self.egress,
            secret_keys=SecretKeys(["k" * 32]),
            config=lambda: self.config,
            renew_config=self.renew_config,
            status=lambda: {"writer": {"stored": self.writer.stored}},
            ready=lambda: self.is_ready,
            unready=Readiness(pool, str).cause,
            disk=lambda: self.disk,
        )


@pytest.fixture(scope="session")
async def running_service(engine: Engine, migrated_pool: Pool) -> AsyncIterator[Service]:
    timeout = aiohttp.ClientTimeout(total=20)
    connector = aiohttp.TCPConnector(keepalive_timeout=2)
    cookies = aiohttp.DummyCookieJar()
    async with (
        aiohttp.ClientSession(connector=connector, cookie_jar=cookies, timeout=timeout) as http,
        open_egress(["127.0.0.0/8"]) as egress,
    ):
        listener = server.listen("127.0.0.1", 0)
        port, can_copy = listener.getsockname()[1], not engine.embedded
        made = Service(migrated_pool, port, http, egress, can_copy=can_copy)
        running = [
            asyncio.create_task(
                server.serve(create_app(made.context), listener, made.context.connections)
            ),
            asyncio.create_task(made.live.run()),
        ]
        try:
            yield made
        finally:
            for task in running:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


@pytest.fixture
async def service(running_service: Service, pool: Pool) -> Service:
    """A service on a database that holds nothing but its keys."""
    await running_service.begin(pool)
    return running_service
