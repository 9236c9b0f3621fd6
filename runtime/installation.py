"""Tells an installation from a wheel and a checkout of the sources apart."""

from pathlib import Path

from runtime.version import __version__

ROOT = Path(__file__).parents[1]
IN_WHEEL = ROOT / "api" / "web"
"""The build of a wheel puts the web pages here. In a checkout they are in `web`."""


def web_folder(root: Path = ROOT) -> Path:
    """Return the folder of the built web pages and of the packages that are served unchanged."""
    in_wheel = root / IN_WHEEL.relative_to(ROOT)
    return in_wheel if in_wheel.is_dir() else root / "web"


def repair(root: Path = ROOT) -> str:
    """Return the command that repairs an incomplete installation."""
    if (root / "Makefile").is_file() and (root / "pyproject.toml").is_file():
        return "make setup"
    return f"pip install --force-reinstall vigia-{__version__}-py3-none-any.whl"
