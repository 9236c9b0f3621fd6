"""Any truncated or changed backup file is refused with the reason."""

import gzip
import subprocess
import tarfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db.backup.archive import (
    ArchiveWriter,
    DamagedError,
    fresh_file,
    glance,
    new_archive,
    open_archive,
)
from db.backup.progress import Silent

TEXT = b"1\t2\t\\N\n" * 1000


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of each kind of member."""
    folder = tmp_path_factory.mktemp("archive")
    (folder / "raw").write_bytes(TEXT * 10)
    path = folder / "whole.backup"
    with new_archive(path) as writer:
        writer.add("as-it-is", b"abc")
        writer.add_compressed("rows/000001-t.copy", TEXT)
        writer.add_folder("postgres/pg_tblspc")
        writer.add_file("postgres/base/1/2", folder / "raw")
        writer.add("empty", b"")
    return path


def refusal_of(path: Path) -> str:
    with pytest.raises(DamagedError) as raised, open_archive(path, Silent()):
        pass
    return str(raised.value)


def test_members_are_read_in_the_order_in_which_they_were_added(whole: Path) -> None:
    with open_archive(whole, Silent()) as archive:
        assert archive.names == [
            "as-it-is",
            "rows/000001-t.copy.gz",
            "postgres/base/1/2.gz",
            "empty",
        ]
        assert archive.folders == ["postgres/pg_tblspc"]
        assert archive.read("as-it-is") == b"abc"
        assert b"".join(archive.pieces("rows/000001-t.copy.gz")) == TEXT
        assert b"".join(archive.pieces("postgres/base/1/2.gz")) == TEXT * 10


def test_a_backup_can_be_unpacked_with_tar_and_gunzip(whole: Path, tmp_path: Path) -> None:
    subprocess.run(["tar", "-xf", whole, "-C", tmp_path], check=True)

    assert gzip.decompress((tmp_path / "postgres/base/1/2.gz").read_bytes()) == TEXT * 10
    assert (tmp_path / "postgres/pg_tblspc").is_dir()
    digest = (tmp_path / "SHA256").read_text().strip()
    before_it = whole.read_bytes()[: -4 * tarfile.BLOCKSIZE]
    (tmp_path / "before").write_bytes(before_it)
    said = subprocess.run(
        ["sha256sum", tmp_path / "before"], check=True, capture_output=True, text=True
    ).stdout
    assert said.split()[0] == digest


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_flipped_bit_is_detected(whole: Path, tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(whole.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= 1 << data.draw(st.integers(0, 7))
    changed = tmp_path / "changed.backup"
    changed.write_bytes(content)

    assert "changed" in refusal_of(changed)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_truncation_is_detected(whole: Path, tmp_path: Path, data: st.DataObject) -> None:
    content = whole.read_bytes()
    blocks = len(content) // tarfile.BLOCKSIZE
    at = data.draw(
        st.integers(0, len(content) - 1)
        | st.integers(0, blocks - 1).map(lambda block: block * tarfile.BLOCKSIZE)
    )
    short = tmp_path / "short.backup"
    short.write_bytes(content[:at])

    assert "the file was truncated" in refusal_of(short)


def test_another_file_is_not_a_backup(tmp_path: Path) -> None:
    other = tmp_path / "other.backup"
    other.write_bytes(b"\0" * 10240)

    assert "or is not a backup" in refusal_of(other)
    with pytest.raises(DamagedError, match="the file is not a backup of Vigia"), glance(other):
        pass


@pytest.mark.parametrize("name", ["/etc/passwd", "../outside", "a/../../outside"])
def test_names_that_lead_outside_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "hostile.backup"
    with new_archive(path) as writer:
        writer.add(name, b"x")

    assert name in refusal_of(path)


def test_a_file_gets_its_name_only_when_it_is_right(tmp_path: Path) -> None:
    path = tmp_path / "a.backup"
    with suppress(ZeroDivisionError), fresh_file(path) as fresh:
        fresh.touch()
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []

    with fresh_file(path) as fresh, fresh.open("xb") as file:
        ArchiveWriter(file).close()
    assert list(tmp_path.iterdir()) == [path]
