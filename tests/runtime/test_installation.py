"""Advice and pages depend on how Vigia was installed."""

from pathlib import Path

from runtime.installation import repair, web_folder
from runtime.version import __version__


def test_a_checkout_is_set_up_and_a_wheel_is_installed_again(tmp_path: Path) -> None:
    assert repair() == "make setup"
    assert f"vigia-{__version__}-" in repair(tmp_path)


def test_a_wheel_has_the_pages_beside_the_code_that_serves_them(tmp_path: Path) -> None:
    assert web_folder(tmp_path) == tmp_path / "web"

    (tmp_path / "api" / "web").mkdir(parents=True)
    assert web_folder(tmp_path) == tmp_path / "api" / "web"
