"""Which backups stay, and what is never deleted."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.backup.archive import new_archive
from db.backup.folder import Keep, drop_old, new_path, open_folder, read_all, to_keep
from model.errors import ConflictError

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)

moments = st.lists(
    st.integers(0, 200 * 24 * 3600).map(lambda seconds: NOW - timedelta(seconds=seconds)),
    max_size=60,
)
keeps = st.builds(Keep, last=st.integers(0, 5), daily=st.integers(0, 9), weekly=st.integers(0, 9))


@given(moments, keeps)
def test_no_more_stay_than_the_policy_says_and_the_newest_always_does(
    times: list[datetime], keep: Keep
) -> None:
    stay = to_keep(times, keep)

    assert set(stay) <= set(times)
    assert len(stay) <= max(keep.last, 1) + keep.daily + keep.weekly
    assert not times or max(times) in stay


@given(moments, keeps)
def test_the_newest_of_the_last_days_and_weeks_stay(times: list[datetime], keep: Keep) -> None:
    stay = to_keep(times, keep)
    days = sorted({time.date() for time in times}, reverse=True)[: keep.daily]
    weeks = sorted({time.isocalendar()[:2] for time in times}, reverse=True)[: keep.weekly]

    assert {max(t for t in times if t.date() == day) for day in days} <= set(stay)
    assert {max(t for t in times if t.isocalendar()[:2] == week) for week in weeks} <= set(stay)


@given(moments, keeps)
def test_what_stays_once_stays_until_something_newer_comes(
    times: list[datetime], keep: Keep
) -> None:
    stay = to_keep(times, keep)

    assert set(to_keep(stay, keep)) == set(stay)


def test_old_backups_go_and_files_of_others_stay(tmp_path: Path) -> None:
    paths = [new_path(tmp_path, NOW - timedelta(hours=hours)) for hours in range(5)]
    for path in paths:
        path.touch()
    others = [tmp_path / "vigia-old.backup", tmp_path / "notes.txt", tmp_path / "x.backup"]
    for path in others:
        path.touch()

    assert drop_old(tmp_path, Keep(last=2, daily=0, weekly=0)) == sorted(paths[2:])
    assert sorted(tmp_path.iterdir()) == sorted([*paths[:2], *others])


def test_two_backups_of_one_second_have_two_names(tmp_path: Path) -> None:
    first = new_path(tmp_path, NOW)
    first.touch()

    assert first.name == "vigia-20261130T120000Z.backup"
    assert new_path(tmp_path, NOW).name == "vigia-20261130T120000Z-1.backup"


def test_one_backup_at_a_time_is_written_to_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    with open_folder(folder):
        with (
            pytest.raises(ConflictError, match="another backup is being written"),
            open_folder(folder),
        ):
            pass
        (folder / "left.backup.new").touch()
    with open_folder(folder):
        assert [path.name for path in folder.iterdir()] == ["lock"]


def test_a_list_says_which_files_are_damaged(tmp_path: Path) -> None:
    with new_archive(new_path(tmp_path, NOW)) as writer:
        writer.add("x", b"y")
    new_path(tmp_path, NOW - timedelta(days=1)).write_bytes(b"z" * 100)

    newest, oldest = read_all(tmp_path)
    assert newest.damage == "the file is not a backup of Vigia: it has no manifest.json"
    assert oldest.damage == "the file was truncated to 100 bytes"
