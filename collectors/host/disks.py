"""Measures how full the file systems are. One that hangs loses only its own values."""

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

import psutil

from collectors.host.thread import BusyError, OneThread
from collectors.metrics import Reading
from model.series import labels_of
from model.text import clean

MOUNTS_MAX = 32
DEADLINE_S = 2.0

SKIPPED_TYPES = frozenset(
    """autofs binfmt_misc bpf cgroup cgroup2 configfs debugfs devfs devpts devtmpfs efivarfs erofs
    fusectl fuse.gvfsd-fuse fuse.lxcfs fuse.portal hugetlbfs iso9660 map mqueue nsfs nullfs overlay
    proc procfs pstore ramfs resctrl rpc_pipefs securityfs selinuxfs squashfs sysfs tmpfs tracefs
    """.split()  # noqa: SIM905 (as a list they take forty lines)
)
"""These file systems are in memory, are read-only images that are always full, or hold no files."""

SKIPPED_PLACES = ("/dev/", "/etc/", "/proc/", "/sys/", "/var/lib/containers/", "/var/lib/docker/")
"""Container engines mount parts of a disk here that is already listed at another path."""


class Usage(Protocol):
    """Sizes in bytes. `free` is the space that ordinary users may still fill."""

    @property
    def total(self) -> int: ...
    @property
    def used(self) -> int: ...
    @property
    def free(self) -> int: ...


def mounts() -> list[str]:
    """Return the mount points of real file systems: each device once, and always `/`."""
    paths: dict[str, str] = {}
    for part in psutil.disk_partitions(all=True):
        path = part.mountpoint
        real = part.fstype not in SKIPPED_TYPES and not path.startswith(SKIPPED_PLACES)
        if real or path == "/":
            paths.setdefault(part.device or path, path)
    return list(paths.values())[:MOUNTS_MAX]


class Disks:
    """Reads each mount in its own thread: the kernel may never answer for a remote file system."""

    def __init__(self, ask: Callable[[str], Usage] = psutil.disk_usage) -> None:
        self._ask = ask
        self._threads: dict[str, OneThread] = {}

    async def read(self, paths: Iterable[str]) -> list[Reading]:
        hanging = {path: thread for path, thread in self._threads.items() if thread.is_busy}
        wanted = {path: self._threads.get(path) or OneThread(f"disk {path}") for path in paths}
        self._threads = dict(list((hanging | wanted).items())[:MOUNTS_MAX])
        asked = [self._usage(path) for path in wanted if path in self._threads]
        return [reading for readings in await asyncio.gather(*asked) for reading in readings]

    async def _usage(self, path: str) -> list[Reading]:
        # A path is bytes, and not always valid UTF-8.
        labels = labels_of({"mount": clean(path)})
        try:
            async with asyncio.timeout(DEADLINE_S):
                usage = await self._threads[path].run(partial(self._ask, path))
        except (BusyError, TimeoutError):
            return [Reading("server_disk_up", 0.0, labels)]
        except OSError:
            # No permission, or unmounted since it was listed.
            return []
        if usage.total == 0:
            return []
        return [
            Reading("server_disk_up", 1.0, labels),
            Reading("server_disk_total_bytes", usage.total, labels),
            Reading("server_disk_used_bytes", usage.used, labels),
            # Percent of the space that users may fill. The system reserves some blocks for root.
            Reading("server_disk_percent", 100.0 * usage.used / (usage.used + usage.free), labels),
        ]
