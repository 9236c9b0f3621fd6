"""The built wheel starts the service and the agent where there is no checkout."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import AsyncIterator, Iterator
from email import message_from_bytes
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from db.engine_packages import EMBEDDED
from runtime.version import __version__
from tests.system.conftest import Program, run

ROOT = Path(__file__).parents[2]
PACKAGES = Path(distribution("click").locate_file(""))
PREBUILT = ("web/dist", "web/node_modules/swagger-ui-dist")
"""What `make setup` has made, and a build makes where it is missing."""
ROOMS = sorted({path.parent.name for path in ROOT.glob("*/__init__.py")} - {"bench"})
SDIST = "from setuptools import build_meta; print(build_meta.build_sdist('dist'))"
WHERE = f"import json, {', '.join(ROOMS)}; print(json.dumps([{{m}}]))".replace(
    "{m}", ", ".join(f"{room}.__file__" for room in ROOMS)
)


def tracked() -> list[str]:
    """Return the files that belong to the project, as they are now."""
    listed = ("git", "ls-files", "-co", "--exclude-standard", "-z")
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True).stdout.decode()
    return [name for name in names.split("\0") if name and (ROOT / name).is_file()]


def ask(*command: str | Path, folder: Path) -> str:
    done = subprocess.run(
        command, check=False, cwd=folder, env=bare(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def bare() -> dict[str, str]:
    """Return an environment in which nothing leads back to the checkout."""
    return {"PATH": "/usr/bin:/bin", "HOME": os.environ.get("HOME", "/"), "LANG": "C.UTF-8"}


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built of the archive of sources that is built of the checkout."""
    folder = tmp_path_factory.mktemp("build")
    for name in tracked():
        (folder / "sources" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / "sources" / name)
    for name in PREBUILT:
        shutil.copytree(ROOT / name, folder / "sources" / name)
    ask(sys.executable, "-c", SDIST, folder=folder / "sources")
    [archive] = (folder / "sources" / "dist").glob("*.tar.gz")
    options = ("--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", "made")
    ask(sys.executable, "-m", "pip", "wheel", *options, archive, folder=folder)
    [made] = (folder / "made").glob("*.whl")
    return made


def environment_with(wheel: Path, folder: Path) -> Path:
    """Make an environment with nothing but the wheel, and return its folder of packages."""
    venv.create(folder)
    options = ("--no-deps", "--no-index", "--disable-pip-version-check")
    python = ("--python", folder / "bin" / "python")
    ask(sys.executable, "-m", "pip", *python, "install", *options, wheel, folder=folder)
    [packages] = (folder / "lib").glob("python*/site-packages")
    return packages


@pytest.fixture(scope="session")
def whole(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and every package it needs."""
    folder = tmp_path_factory.mktemp("whole")
    packages = environment_with(wheel, folder)
    # The packages of this one are added behind its own, without what makes the checkout importable.
    (packages / "packages.pth").write_text(str(PACKAGES))
    return folder


@pytest.fixture(scope="session")
def slim(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and what `requirements/agent.txt` names."""
    folder = tmp_path_factory.mktemp("slim")
    packages = environment_with(wheel, folder)
    lines = (ROOT / "requirements" / "agent.txt").read_text().splitlines()
    for name in (line.partition("==")[0] for line in lines if "==" in line):
        for file in distribution(name).files or ():
            top = file.parts[0]
            if top != ".." and not (packages / top).exists():
                (packages / top).symlink_to(PACKAGES / top)
    return folder


@pytest.fixture
async def program(
    environment: dict[str, str], whole: Path, tmp_path: Path
) -> AsyncIterator[Program]:
    """The service of the wheel, from a folder that is not the checkout's."""
    ours = {name: text for name, text in environment.items() if name.startswith("VIGIA_")}
    clean = bare() | ours | {"VIGIA_ENGINE_DIR": str(EMBEDDED)}
    made = Program(clean, (str(whole / "bin" / "vigia"),), tmp_path)
    try:
        yield made
    finally:
        await made.close()


def shipped(names: list[str]) -> Iterator[str]:
    """Yield what of the project runs, and so has to be in the wheel."""
    for name in names:
        # What is composed of other statements is there to be read.
        if name.split("/")[0] in ROOMS and not name.endswith(".composed.sql"):
            yield name


def test_the_wheel_has_every_file_that_runs_and_no_other_room(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        names = set(opened.namelist())
        [metadata] = [name for name in names if name.endswith(".dist-info/METADATA")]
        described = message_from_bytes(opened.read(metadata))

    assert set(shipped(tracked())) <= names
    assert {name.split("/")[0] for name in names} == {*ROOMS, metadata.split("/")[0]}
    assert "api/web/dist/index.html" in names
    assert not any("/node_modules/@unni" in name for name in names)
    assert described["Version"] == __version__
    needed = requirements(described.get_all("Requires-Dist", []))
    extras = {one for one in needed if "extra ==" in one}
    assert needed - extras == wanted()
    assert [one.partition("<")[0] for one in extras] == ["apprise"]


def wanted() -> set[str]:
    files = ("agent.in", "service.in")
    lines = "\n".join((ROOT / "requirements" / name).read_text() for name in files).splitlines()
    return requirements([line for line in lines if line and not line.startswith("#")])


def requirements(lines: list[str]) -> set[str]:
    return {str(Requirement(line)) for line in lines}


@pytest.mark.parametrize("folder", ["whole", "slim"])
def test_nothing_of_the_checkout_is_imported(
    folder: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    installed = request.getfixturevalue(folder)
    found = json.loads(ask(installed / "bin" / "python", "-c", WHERE, folder=tmp_path))

    assert all(Path(file).is_relative_to(installed) for file in found)


async def text_of(program: Program, path: str) -> str:
    async with program.http.get(path) as answer:
        assert answer.status == 200, path
        return await answer.text()


async def test_service_and_agent_run_from_the_wheel(
    program: Program, slim: Path, tmp_path: Path
) -> None:
    await program.start()
    page = await text_of(program, "/")
    assert "make setup" not in page
    script = page.partition('src="')[2].partition('"')[0].removeprefix(".")
    assert "Live values" in await text_of(program, script)
    assert "SwaggerUI" in await text_of(program, "/api/v1/docs/swagger-ui-bundle.js")

    arguments = ("--to", program.url, "--host-label", "web1", "--spool", "waiting", "--once")
    key = {"VIGIA_KEY": program.environment["VIGIA_ADMIN_KEY"]}
    agent = (str(slim / "bin" / "vigia"),)
    code, _, err = await run(bare() | key, "agent", *arguments, command=agent, folder=tmp_path)

    assert code == 0, err
    assert await hosts(program) >= {"web1"}
    code, _, err = await run(program.environment, "doctor", command=program.command)
    assert "make setup" not in err


async def hosts(program: Program) -> set[str]:
    """Return the hosts whose samples are there, once there are some."""
    async with asyncio.timeout(30):
        while True:
            current: Any = await program.get("/metrics/current?component=server")
            metrics = current["components"].get("server", {}).get("metrics", {})
            load = metrics.get("server_load1", {}).get("series", [])
            if found := {one["labels"].get("host") for one in load}:
                return found
            await asyncio.sleep(0.2)


async def test_an_agents_environment_says_what_the_service_needs(
    slim: Path, tmp_path: Path
) -> None:
    command = (str(slim / "bin" / "vigia"),)
    code, out, err = await run(bare(), "serve", command=command, folder=tmp_path)

    assert (code, out) == (1, "")
    [line] = err.splitlines()
    assert "pip install vigia" in line
    code, out, _ = await run(bare(), "--help", command=command, folder=tmp_path)
    assert code == 0
    assert "Collect this host" in out


def clean_installation(folder: Path) -> Path:
    """Build a wheel of a clone in which nothing was built, and install it as anybody does."""
    for command in (
        ("git", "clone", "--quiet", ROOT, "sources"),
        (sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", "made", "./sources"),
        (sys.executable, "-m", "venv", "clean"),
    ):
        subprocess.run(command, cwd=folder, check=True)
    [made] = (folder / "made").glob("*.whl")
    subprocess.run((folder / "clean/bin/pip", "install", "--quiet", made), check=True)
    return folder / "clean/bin/vigia"


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_the_registries_give_a_clean_environment_all_it_needs(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """The one test that needs a network: for pip, and for npm at the first start."""
    vigia = await asyncio.to_thread(clean_installation, tmp_path)
    program = Program(environment, (str(vigia),), tmp_path)
    try:
        await program.start()
        assert 'src="' in await text_of(program, "/")
    finally:
        await program.close()
