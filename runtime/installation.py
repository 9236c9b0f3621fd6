"""How this Vigia was installed: from a checkout of its sources, or from a wheel."""

from pathlib import Path

from runtime.version import __version__

ROOT = Path(__file__).parents[1]
IN_WHEEL = ROOT / "api" / "web"
"""Where the build of a wheel puts the pages; a checkout has them where they are built."""


def web_folder(root: Path = ROOT) -> Path:
    """Return the folder with the built pages and the packages that are served as they are."""
    in_wheel = root / IN_WHEEL.relative_to(ROOT)
    return in_wheel if in_wheel.is_dir() else root / "web"


def repair(root: Path = ROOT) -> str:
    """Return the command that installs what is missing."""
    if (root / "Makefile").is_file() and (root / "pyproject.toml").is_file():
        return "make setup"
    return f"pip install --force-reinstall vigia-{__version__}-py3-none-any.whl"
