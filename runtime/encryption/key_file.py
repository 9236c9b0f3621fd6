"""Loads the secret keys from `VIGIA_SECRET_KEY` and from the key file in the data directory."""

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from runtime.disk import FRESH, sync_folder
from runtime.encryption.secret_keys import KEY_BYTES, SecretKeys
from runtime.settings import Secret, Settings, SettingsError, check_secret_key, secret_key_texts

FILE = "secret_key"
"""The name of the key file in the data directory."""


def open_keys(settings: Settings) -> SecretKeys:
    """Return the keys of the setting, followed by the keys of the key file. Raises SettingsError.

    Without any key, one is generated and stored in the key file. The file's keys are always
    included, so that secrets encrypted before `VIGIA_SECRET_KEY` was set stay readable.
    """
    given = secret_key_texts(settings.secret_key)
    file = settings.data_dir / FILE
    try:
        kept = _read(file)
        if not given and not kept:
            kept = _make(file)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"VIGIA_SECRET_KEY: cannot read or create the key file {file}: {error}; set the "
            "variable, or make the data directory readable and writable"
        ) from None
    return SecretKeys([*given, *kept])


def _read(file: Path) -> list[str]:
    """Return the keys of the key file, or none without a file. Its mode becomes 0600."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    if stat.S_IMODE(file.stat().st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
        # A copy or a restore can have made the file readable for others.
        file.chmod(stat.S_IRUSR | stat.S_IWUSR)
    kept = Secret(text)
    check_secret_key(str(file), kept)
    return secret_key_texts(kept)


def _make(file: Path) -> list[str]:
    """Generate a key and store it. Processes that do so at the same time all return one key.

    1. Write a new key to a temporary file, and sync it.
    2. Link it to the final name. The link fails if another process was first; its key then wins.
    3. Read the key back from the final name.
    """
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = file.with_name(f"{uuid4().hex}{FRESH}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as opened:
            opened.write(f"{secrets.token_hex(KEY_BYTES)}\n")
            opened.flush()
            os.fsync(opened.fileno())
        with suppress(FileExistsError):
            # Not a rename: it would replace the key that another process has just stored.
            file.hardlink_to(fresh)
    finally:
        fresh.unlink()
    sync_folder(file.parent)
    return _read(file)
