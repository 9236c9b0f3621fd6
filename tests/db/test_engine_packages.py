"""The engine's packages: found, linked, or fetched by npm from a registry that may be anything."""

import asyncio
import base64
import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from db import engine_packages
from db.engine_packages import EMBEDDED, EnginePackagesError, install, is_installed

NAME, VERSION = "some-engine", "1.2.3"
MODULE = f"node_modules/{NAME}/package.json"


def tarball() -> bytes:
    """Return the package as npm packs it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        scripts = {"postinstall": "touch ../../it-ran"}
        text = json.dumps({"name": NAME, "version": VERSION, "scripts": scripts}).encode()
        entry = tarfile.TarInfo("package/package.json")
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))
    return packed.getvalue()


def integrity_of(data: bytes) -> str:
    return f"sha512-{base64.b64encode(hashlib.sha512(data).digest()).decode()}"


class Registry:
    """A registry with one package; what it sends may be changed, or never come."""

    def __init__(self) -> None:
        self.sends = tarball()
        self.asked = asyncio.Event()
        self.is_silent = False
        self.url = ""

    async def describe(self, _: web.Request) -> web.Response:
        dist = {"tarball": f"{self.url}/some.tgz", "integrity": integrity_of(self.sends)}
        versions = {VERSION: {"name": NAME, "version": VERSION, "dist": dist}}
        return web.json_response({"name": NAME, "versions": versions, "dist-tags": {}})

    async def send(self, _: web.Request) -> web.Response:
        self.asked.set()
        while self.is_silent:
            await asyncio.sleep(0.05)
        return web.Response(body=self.sends, content_type="application/octet-stream")


@pytest.fixture
async def registry(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Registry]:
    made = Registry()
    app = web.Application()
    app.router.add_get(f"/{NAME}", made.describe)
    app.router.add_get("/some.tgz", made.send)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0]
    made.url = f"http://{host}:{port}"
    monkeypatch.setenv("npm_config_registry", made.url)
    yield made
    made.is_silent = False
    await runner.cleanup()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """What a wheel holds: a bridge, and the lock of the packages that it imports."""
    folder = tmp_path / "wheel"
    folder.mkdir()
    dependencies = {NAME: VERSION}
    own = {"name": "ours", "dependencies": dependencies}
    integrity = integrity_of(tarball())
    package = {"version": VERSION, "integrity": integrity, "hasInstallScript": True}
    packages = {"": own, f"node_modules/{NAME}": package}
    lock = {"name": "ours", "lockfileVersion": 3, "requires": True, "packages": packages}
    (folder / "package.json").write_text(json.dumps(own))
    (folder / "package-lock.json").write_text(json.dumps(lock))
    (folder / "bridge.mjs").write_text("// the first one")
    return folder


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


def found(data_dir: Path, pattern: str) -> list[Path]:
    return list(data_dir.rglob(pattern))


async def test_packages_are_fetched_once_and_their_scripts_do_not_run(
    registry: Registry, files: Path, data_dir: Path
) -> None:
    assert not is_installed(data_dir, files)
    home = await install(data_dir, files=files)

    assert json.loads((home / MODULE).read_text())["version"] == VERSION
    assert found(data_dir, "it-ran") == []
    assert found(data_dir, "fetching-*") == []
    assert is_installed(data_dir, files)
    registry.asked.clear()
    (files / "bridge.mjs").write_text("// another one")
    assert await install(data_dir, files=files) == home
    assert (home / "bridge.mjs").read_text() == "// another one"
    assert not registry.asked.is_set()


async def test_another_lock_has_another_folder_and_the_first_goes(
    registry: Registry, files: Path, data_dir: Path
) -> None:
    first = await install(data_dir, files=files)
    lock = files / "package-lock.json"
    lock.write_text(lock.read_text() + "\n")
    second = await install(data_dir, files=files)

    assert first != second
    assert [path.name for path in (data_dir / "engine").iterdir()] == [second.name]
    assert registry.asked.is_set()


async def test_what_a_registry_sends_instead_is_not_installed(
    registry: Registry, files: Path, data_dir: Path
) -> None:
    registry.sends += b"and something else"

    with pytest.raises(EnginePackagesError, match="checksums differ"):
        await install(data_dir, files=files)
    assert not is_installed(data_dir, files)
    assert found(data_dir, "fetching-*") == []


async def test_without_a_network_it_says_what_to_do(
    files: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{unused_tcp_port}")

    with pytest.raises(EnginePackagesError) as raised:
        await install(data_dir, files=files)
    words = str(raised.value)
    assert "\n" not in words
    assert "ECONNREFUSED" in words
    assert "VIGIA_ENGINE_DIR" in words
    assert "VIGIA_DATABASE_URL" in words
    assert found(data_dir, "fetching-*") == []


async def test_npm_ends_with_the_start_that_waits_for_it(
    registry: Registry, files: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.is_silent = True
    monkeypatch.setattr(engine_packages, "REPORT_EVERY_S", 0.05)
    start = asyncio.create_task(install(data_dir, files=files))
    await asyncio.wait_for(registry.asked.wait(), 30)
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert found(data_dir, "fetching-*") == []

    registry.is_silent = False
    (data_dir / "engine" / "fetching-of-a-killed-one").mkdir()
    await install(data_dir, files=files)
    assert found(data_dir, "fetching-*") == []


async def test_a_silent_registry_is_not_waited_for_longer_than_the_limit(
    registry: Registry, files: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.is_silent = True
    monkeypatch.setattr(engine_packages, "FETCH_S_MAX", 1.0)

    with pytest.raises(EnginePackagesError, match="npm took over 1 s"):
        await install(data_dir, files=files)


async def test_a_prepared_folder_is_used_in_place_of_a_network(
    files: Path, data_dir: Path, tmp_path: Path
) -> None:
    prepared = tmp_path / "prepared"
    (prepared / MODULE).parent.mkdir(parents=True)
    with pytest.raises(EnginePackagesError, match="VIGIA_ENGINE_DIR"):
        await install(data_dir, prepared, files)

    (prepared / MODULE).write_text(json.dumps({"version": VERSION}))
    home = await install(data_dir, prepared, files)
    assert (home / "node_modules").resolve() == prepared / "node_modules"
    assert await install(data_dir, prepared, files) == home
    assert is_installed(data_dir, files)


async def test_a_checkout_uses_its_own_packages(data_dir: Path, files: Path) -> None:
    shutil.copytree(EMBEDDED / "node_modules", files / "node_modules")
    shutil.copyfile(EMBEDDED / "package-lock.json", files / "package-lock.json")

    assert await install(data_dir, files=files) == files
    assert found(data_dir, "*") == []
