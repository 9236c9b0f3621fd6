"""The key is given or made, and nobody but its owner reads the one that is made."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runtime.encryption.key_file import FILE, open_keys
from runtime.encryption.secret_keys import SecretKeys
from runtime.settings import Secret, Settings, SettingsError, load

OLD, NEW = "o" * 31 + "1", "n" * 31 + "2"
SECRET = "xoxb-CANARY"


def settings(folder: Path, *keys: str) -> Settings:
    return Settings(data_dir=folder, secret_key=Secret(",".join(keys)) if keys else None)


def test_without_a_key_one_is_generated_that_only_its_owner_can_read(tmp_path: Path) -> None:
    folder = tmp_path / "some" / "data"
    umask = os.umask(0)
    try:
        first = open_keys(settings(folder))
    finally:
        os.umask(umask)

    assert stat.S_IMODE((folder / FILE).stat().st_mode) == 0o600
    assert [file.name for file in folder.iterdir()] == [FILE]
    assert open_keys(settings(folder)).current_id == first.current_id


def test_two_data_directories_have_different_keys(tmp_path: Path) -> None:
    keys = [open_keys(settings(tmp_path / name)) for name in ("a", "b")]
    assert keys[0].current_id != keys[1].current_id


def test_processes_that_start_together_make_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: open_keys(settings(tmp_path)).current_id, range(32)))
    assert len(set(made)) == 1


def test_a_key_file_that_others_may_read_is_closed_to_them(tmp_path: Path) -> None:
    open_keys(settings(tmp_path))
    (tmp_path / FILE).chmod(0o644)
    open_keys(settings(tmp_path))
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


def test_a_given_key_makes_no_file(tmp_path: Path) -> None:
    open_keys(settings(tmp_path, NEW))
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_is_set_later_keeps_older_secrets_readable(tmp_path: Path) -> None:
    before = open_keys(settings(tmp_path)).encrypt(SECRET, "channel:7")
    after = open_keys(settings(tmp_path, NEW))

    assert after.decrypt(before, "channel:7") == SECRET
    assert after.current_id == SecretKeys([NEW]).current_id


@pytest.mark.parametrize("content", ["", "\n", "short", "k" * 31 + "\x07", "\N{SNOWMAN}"])
def test_a_key_file_that_holds_no_key_is_named_and_not_replaced(
    content: str, tmp_path: Path
) -> None:
    (tmp_path / FILE).write_text(content, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        open_keys(settings(tmp_path))
    assert str(caught.value).startswith(f"{tmp_path / FILE}: needs 1 to 10 keys")
    assert (tmp_path / FILE).read_text(encoding="utf-8") == content


def test_a_data_directory_that_cannot_hold_a_key_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    with pytest.raises(SettingsError, match="VIGIA_SECRET_KEY: cannot read or create the key"):
        open_keys(settings(tmp_path))


def test_several_keys_may_come_from_the_environment_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"{NEW}\n{OLD}\n")
    for environment in (
        {"VIGIA_SECRET_KEY": f"{NEW}, {OLD}"},
        {"VIGIA_SECRET_KEY_FILE": str(file)},
    ):
        read = load({**environment, "VIGIA_DATA_DIR": str(tmp_path)}, tmp_path / "no.toml")
        assert open_keys(read).derive("x") == SecretKeys([NEW, OLD]).derive("x")


@pytest.mark.parametrize("given", ["CANARY", f"{NEW},CANARY", ",", ",".join([NEW] * 11)])
def test_a_key_that_is_too_short_is_refused_and_not_shown(given: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load({"VIGIA_SECRET_KEY": given}, tmp_path / "no.toml")
    assert str(caught.value) == (
        "VIGIA_SECRET_KEY: needs 1 to 10 keys, separated by commas, each of at least 32 printable "
        "characters without spaces and commas; make one with: openssl rand -hex 32"
    )
