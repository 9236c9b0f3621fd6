"""Stand-in until the embedded engine is there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct

from vigia.settings import Settings


class EngineError(Exception):
    """The database engine cannot be had; the message says why."""


class Engine(Struct):
    dsn: str
    embedded: bool
    restarts: int = 0


@asynccontextmanager
async def open_engine(settings: Settings, *, share: bool = False) -> AsyncIterator[Engine]:
    assert settings.database_url is not None
    yield Engine(settings.database_url.reveal(), False)
