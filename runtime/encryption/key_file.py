"""Where the secret keys are: in `VIGIA_SECRET_KEY`, and in a file that is made without one."""

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
"""In the data directory."""


def open_keys(settings: Settings) -> SecretKeys:
    """Return the keys that are given, and the one of the data directory; made where none is there.

    Whoever gives a key later still reads what the made one has encrypted. Raises SettingsError.
    """
    given = secret_key_texts(settings.secret_key)
    file = settings.data_dir / FILE
    try:
        kept = _read(file)
        if not given and not kept:
            kept = _make(file)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"VIGIA_SECRET_KEY: cannot keep a key in {file}: {error}; give one"
        ) from None
    return SecretKeys([*given, *kept])


def _read(file: Path) -> list[str]:
    """Return the keys of a file that only its owner may read; none where there is no file."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    if stat.S_IMODE(file.stat().st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
        # A copy or a restore may have opened it to everybody.
        file.chmod(stat.S_IRUSR | stat.S_IWUSR)
    kept = Secret(text)
    check_secret_key(str(file), kept)
    return secret_key_texts(kept)


def _make(file: Path) -> list[str]:
    """Make a key and keep it. Of several processes that do so at once, all return the same."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = file.with_name(f"{uuid4().hex}{FRESH}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as opened:
            opened.write(f"{secrets.token_hex(KEY_BYTES)}\n")
            opened.flush()
            os.fsync(opened.fileno())
        with suppress(FileExistsError):
            # Unlike a rename, a link never replaces the key that another process has just made.
            file.hardlink_to(fresh)
    finally:
        fresh.unlink()
    sync_folder(file.parent)
    return _read(file)
