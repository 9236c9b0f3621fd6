"""A spool opens after any damage to its files, and keeps all records before the damage."""

import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from model.errors import UnavailableError
from runtime import spool
from runtime.spool import HEADER, Damage, Spool
from tests.runtime.spools import BUDGET_BYTES, PAYLOADS, kept_aside, read, record, written

FIRST = "0000000000000001.spool"


def test_a_segment_is_what_the_format_says(tmp_path: Path) -> None:
    [path] = written(tmp_path, PAYLOADS)

    assert path.name == FIRST
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_bytes() == b"".join(map(record, PAYLOADS))


def test_a_spool_cut_at_every_byte_of_its_last_record_keeps_all_the_others(tmp_path: Path) -> None:
    whole = b"".join(map(record, PAYLOADS))
    start = len(whole) - len(record(PAYLOADS[-1]))
    for at in range(start, len(whole)):
        folder = tmp_path / str(at)
        [path] = written(folder, PAYLOADS)
        os.truncate(path, at)

        opened = Spool(folder, BUDGET_BYTES)

        lost = [] if at == start else [Damage(FIRST, start, at - start)]
        assert opened.damage == lost
        assert kept_aside(folder) == ([whole[:at]] if lost else [])
        assert read(opened) == PAYLOADS[:-1]
        opened.append([b"after it"])
        assert read(Spool(folder, BUDGET_BYTES)) == [*PAYLOADS[:-1], b"after it"]


def flipped(offset: int) -> Callable[[bytes], bytes]:
    """Flip a bit of the second record."""
    at = len(record(PAYLOADS[0])) + offset

    def change(data: bytes) -> bytes:
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]

    return change


def length_of_second(length: int) -> Callable[[bytes], bytes]:
    at = len(record(PAYLOADS[0]))
    return lambda data: data[:at] + struct.pack("<I", length) + data[at + 4 :]


def torn_in_the_middle(data: bytes) -> bytes:
    """Disk blocks were written out of order: the second record's is missing, the third's is not."""
    at = len(record(PAYLOADS[0])) + HEADER.size
    return data[:at] + bytes(len(PAYLOADS[1])) + data[at + len(PAYLOADS[1]) :]


ALL, OTHERS, ONE, NONE = PAYLOADS, [PAYLOADS[0], PAYLOADS[2]], PAYLOADS[:1], list[bytes]()
CORRUPTIONS: dict[str, tuple[Callable[[bytes], bytes], list[bytes]]] = {
    "a bit of a length": (flipped(0), ONE),
    "a high bit of a length": (flipped(3), ONE),
    "a bit of a checksum": (flipped(4), OTHERS),
    "a bit of a payload": (flipped(20), OTHERS),
    "a length of zero": (length_of_second(0), ONE),
    "a length up to the end": (length_of_second(10**6), ONE),
    "a huge length": (length_of_second(2**32 - 1), ONE),
    "a block that was never written": (torn_in_the_middle, OTHERS),
    "zeros at the tail": (lambda data: data + bytes(4096), ALL),
    "garbage at the tail": (lambda data: data + b"\xff" * 100, ALL),
    "text at the tail": (lambda data: data + b"what is this?", ALL),
    "a header cut short": (lambda data: data + record(b"x")[:3], ALL),
    "a header alone": (lambda data: data + record(b"x")[: HEADER.size], ALL),
    "zeros from the start": (lambda data: bytes(len(data)), NONE),
    "ones from the start": (lambda data: b"\xff" * len(data), NONE),
    "another format": (lambda data: b"\x1f\x8b\x08" + data, NONE),
    "a byte inserted": (lambda data: data[:50] + b"x" + data[50:], NONE),
    "the first record cut": (lambda data: data[:5], NONE),
}


@pytest.mark.parametrize(("change", "kept"), CORRUPTIONS.values(), ids=CORRUPTIONS.keys())
def test_valid_records_survive_a_corruption_that_is_reported_and_quarantined(
    tmp_path: Path, change: Callable[[bytes], bytes], kept: list[bytes]
) -> None:
    [before, path, after] = written(tmp_path, [b"before"], PAYLOADS, [b"after"])
    damaged = change(path.read_bytes())
    path.write_bytes(damaged)

    opened = Spool(tmp_path, BUDGET_BYTES)

    good = sum(len(record(payload)) for payload in kept)
    [lost] = opened.damage
    assert (lost.segment, lost.bytes) == (path.name, len(damaged) - good)
    assert lost.offset == sum(len(record(payload)) for payload in kept[: 1 if kept != ALL else 3])
    assert kept_aside(tmp_path) == [damaged]
    assert opened.segments() == [before, path, after]
    assert read(opened) == [b"before", *kept, b"after"]
    assert opened.size_bytes == sum(file.stat().st_size for file in opened.segments())


def test_damage_is_reported_once(tmp_path: Path) -> None:
    [path] = written(tmp_path, PAYLOADS)
    path.write_bytes(path.read_bytes()[:-1])
    assert len(Spool(tmp_path, BUDGET_BYTES).damage) == 1

    again = Spool(tmp_path, BUDGET_BYTES)

    assert again.damage == []
    assert read(again) == PAYLOADS[:-1]


def test_each_of_many_damaged_records_costs_only_itself(tmp_path: Path) -> None:
    payloads = [bytes([65 + number]) * 50 for number in range(20)]
    [path] = written(tmp_path, payloads)
    data = bytearray(path.read_bytes())
    broken = {2, 3, 4, 10, 19}
    for number in broken:
        data[number * len(record(payloads[0])) + HEADER.size] ^= 0x80
    path.write_bytes(data)

    opened = Spool(tmp_path, BUDGET_BYTES)

    assert read(opened) == [each for number, each in enumerate(payloads) if number not in broken]
    [lost] = opened.damage
    assert lost.bytes == len(broken) * len(record(payloads[0]))


def test_damage_after_the_start_is_reported_when_the_segment_is_read(tmp_path: Path) -> None:
    opened = Spool(tmp_path, BUDGET_BYTES)
    for payload in PAYLOADS:
        opened.append([payload])
    [path] = opened.segments()
    path.write_bytes(CORRUPTIONS["a bit of a payload"][0](path.read_bytes()))

    assert list(opened.read(path)) == OTHERS
    assert list(opened.read(path)) == OTHERS
    [lost] = opened.damage
    assert lost.bytes == len(record(PAYLOADS[1]))


def test_a_quarantined_segment_is_not_overwritten_by_one_of_the_same_name(tmp_path: Path) -> None:
    """The numbers begin again when everything has been removed."""
    for damaged in (b"once", b"twice", b"and again"):
        written(tmp_path, PAYLOADS)[0].write_bytes(damaged)
        opened = Spool(tmp_path, BUDGET_BYTES)
        opened.remove(opened.segments()[0])

    assert sorted(kept_aside(tmp_path)) == [b"and again", b"once", b"twice"]


def test_a_missing_segment_is_reported_and_the_others_are_read_in_order(tmp_path: Path) -> None:
    _, second, third, *_ = written(tmp_path, *([payload] for payload in (*PAYLOADS, b"x", b"y")))
    second.unlink()
    third.unlink()

    opened = Spool(tmp_path, BUDGET_BYTES)

    assert opened.damage == [Damage(second.name, 0, 0)]
    assert read(opened) == [PAYLOADS[0], b"x", b"y"]


def test_a_deleted_segment_is_reported_and_the_others_are_still_read(tmp_path: Path) -> None:
    opened = Spool(tmp_path, BUDGET_BYTES)
    opened.append([b"deleted"])
    [first] = opened.segments()
    opened.append([b"there"])
    first.unlink()

    assert read(opened) == [b"there"]
    assert opened.damage == [Damage(first.name, 0, 0)]
    opened.remove(first)
    assert len(opened.segments()) == 1


def test_an_empty_segment_is_no_damage(tmp_path: Path) -> None:
    """A kill between the creation and the first write leaves an empty segment."""
    _, last = written(tmp_path, PAYLOADS, [b"last"])
    last.write_bytes(b"")

    opened = Spool(tmp_path, BUDGET_BYTES)

    assert opened.damage == []
    assert read(opened) == PAYLOADS
    opened.append([b"more"])
    assert read(opened) == [*PAYLOADS, b"more"]


def test_a_segment_that_is_there_twice_is_read_twice(tmp_path: Path) -> None:
    """Samples are identified by series and time, so that reading one twice changes nothing."""
    [path] = written(tmp_path, PAYLOADS)
    (tmp_path / "0000000000000002.spool").write_bytes(path.read_bytes())

    opened = Spool(tmp_path, BUDGET_BYTES)

    assert read(opened) == PAYLOADS * 2
    assert opened.damage == []


def test_other_files_in_the_folder_are_ignored(tmp_path: Path) -> None:
    written(tmp_path, PAYLOADS)
    foreign = ["0000000000000001 (copy).spool", "notes.spool", "1.spool", "lock", "old.txt"]
    for name in foreign:
        (tmp_path / name).write_bytes(b"not mine")
    (tmp_path / "0000000000000002.spool").mkdir()
    (tmp_path / "0000000000000001.new").write_bytes(b"left by a kill while mending")

    opened = Spool(tmp_path, BUDGET_BYTES)
    opened.append([b"more"])

    assert opened.damage == []
    assert read(opened) == [*PAYLOADS, b"more"]
    assert all((tmp_path / name).read_bytes() == b"not mine" for name in foreign)
    assert not list(tmp_path.glob("*.new"))


def test_a_full_budget_refuses_the_newest_and_keeps_the_rest(tmp_path: Path) -> None:
    size = len(record(b"x" * 92))
    opened = Spool(tmp_path, 10 * size)
    for _ in range(10):
        opened.append([b"x" * 92])

    with pytest.raises(UnavailableError, match=f"full.*{10 * size} bytes"):
        opened.append([b"y"])
    assert opened.size_bytes == 10 * size
    opened.remove(opened.segments()[0])
    opened.append([b"y"])
    assert read(opened) == [b"y"]


def test_empty_and_huge_records_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "RECORD_BYTES_MAX", 10)
    opened = Spool(tmp_path, BUDGET_BYTES)
    for payloads in ([b""], [b"fine", b"x" * 11]):
        with pytest.raises(ValueError, match="1 to 10 bytes"):
            opened.append(payloads)

    opened.append([b"x" * 10])
    assert read(opened) == [b"x" * 10]


def test_segments_are_kept_to_their_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "SEGMENT_BYTES", 100)
    opened = Spool(tmp_path, BUDGET_BYTES)
    for number in range(10):
        opened.append([bytes([65 + number]) * 42])

    assert [path.stat().st_size for path in opened.segments()] == [100] * 5
    assert read(opened) == [bytes([65 + number]) * 42 for number in range(10)]
