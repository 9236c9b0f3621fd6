"""Disk usage, where one mount may hang and the others must not."""

import threading
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from collectors.host import disks
from collectors.host.disks import Disks, mounts
from collectors.metrics import Reading


class Bytes(NamedTuple):
    total: int
    used: int
    free: int


def values_at(readings: list[Reading], mount: str) -> dict[str, float]:
    labels = (("mount", mount),)
    return {reading.metric: reading.value for reading in readings if reading.labels == labels}


async def test_the_root_is_as_full_as_psutil_says() -> None:
    values = values_at(await Disks().read(["/"]), "/")

    usage = psutil.disk_usage("/")
    assert values["server_disk_up"] == 1
    assert values["server_disk_total_bytes"] == usage.total
    assert values["server_disk_used_bytes"] == pytest.approx(usage.used, rel=0.02)
    assert values["server_disk_percent"] == pytest.approx(usage.percent, abs=1)


def test_mounts_are_real_places_and_each_device_comes_once() -> None:
    paths = mounts()

    devices = [Path(path).stat().st_dev for path in paths]
    assert "/" in paths
    assert len(set(devices)) == len(devices)
    assert not {"/proc", "/sys", "/dev", "/dev/shm"} & set(paths)


async def test_a_hanging_mount_loses_only_its_own_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disks, "DEADLINE_S", 0.05)
    release = threading.Event()

    def ask(path: str) -> Bytes:
        if path == "/hung":
            release.wait()
        return Bytes(total=100, used=30, free=60)

    asked = Disks(ask)
    readings = [await asked.read(["/hung", "/fine"]) for _ in range(3)]
    threads = [thread.name for thread in threading.enumerate()]
    release.set()

    for run in readings:
        assert values_at(run, "/hung") == {"server_disk_up": 0}
        assert values_at(run, "/fine")["server_disk_percent"] == pytest.approx(100 * 30 / 90)
    assert threads.count("disk /hung") == 1


async def test_a_mount_that_is_gone_or_holds_nothing_is_left_out() -> None:
    def ask(path: str) -> Bytes:
        if path == "/gone":
            raise FileNotFoundError(path)
        return Bytes(0, 0, 0)

    assert await Disks(ask).read(["/gone", "/empty"]) == []


async def test_no_more_than_the_limit_of_mounts_is_asked() -> None:
    readings = await Disks(lambda _: Bytes(2, 1, 1)).read(f"/{number}" for number in range(100))

    assert len({reading.labels for reading in readings}) == disks.MOUNTS_MAX


async def test_a_mount_with_a_name_that_is_not_utf8_is_measured_under_a_clean_name() -> None:
    readings = await Disks(lambda _: Bytes(100, 30, 60)).read(["/mnt/\udcff"])
    assert {reading.labels for reading in readings} == {(("mount", "/mnt/ "),)}
