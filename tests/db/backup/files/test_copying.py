"""After the last pass, the copy equals the folder."""

import os
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db.backup.files.copying import FolderCopy

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["write", "append", "delete", "copy"]),
        st.sampled_from(["a", "b", "base/1", "base/deep/2"]),
        st.binary(max_size=8),
    ),
    max_size=20,
)


def everything(_: Path) -> bool:
    return True


def content_of(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_the_last_pass_copies_every_change_between_the_passes(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, bytes]]
) -> None:
    place = tmp_path_factory.mktemp("copying")
    source = place / "source"
    (source / "base" / "deep").mkdir(parents=True)
    copy = FolderCopy(source, place / "copy")
    for step, name, data in steps:
        path = source / name
        if step == "write":
            path.write_bytes(data)
        elif step == "append":
            with path.open("ab") as file:
                file.write(data)
        elif step == "delete":
            path.unlink(missing_ok=True)
        else:
            copy.update(everything, time.time_ns())
    copy.update(everything, time.time_ns())

    assert content_of(place / "copy") == content_of(source)
    assert [str(file) for file in copy.files] == sorted(
        name for name, data in content_of(source).items() if data is not None
    )


def test_an_unchanged_file_is_copied_once(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "old").write_bytes(b"old")
    (source / "new").write_bytes(b"new!")
    os.utime(source / "old", ns=(0, time.time_ns() - 10**10))
    copy = FolderCopy(source, tmp_path / "copy")
    now_ns = (source / "new").stat().st_mtime_ns

    assert copy.update(everything, now_ns) == 7
    assert copy.update(everything, now_ns) == 4  # It may have changed again within its second.
    assert copy.update(everything, now_ns + 2 * 10**9) == 4
    assert copy.update(everything, now_ns + 2 * 10**9) == 0


def test_a_file_that_is_no_longer_wanted_is_removed_from_the_copy(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("kept", "dropped"):
        (source / name).touch()
    copy = FolderCopy(source, tmp_path / "copy")
    copy.update(everything, time.time_ns())
    copy.update(lambda file: file.name == "kept", time.time_ns())

    assert list(content_of(tmp_path / "copy")) == ["kept"]
