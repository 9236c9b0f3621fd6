"""How full the file systems are, each asked apart: one that hangs loses its own values only."""

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
"""They live in memory, are images that are full by nature, or hold no files at all."""

SKIPPED_PLACES = ("/dev/", "/etc/", "/proc/", "/sys/", "/var/lib/containers/", "/var/lib/docker/")
"""What container engines mount there belongs to a disk that is listed elsewhere."""


class Usage(Protocol):
    """Bytes; `free` is what users may still fill."""

    @property
    def total(self) -> int: ...
    @property
    def used(self) -> int: ...
    @property
    def free(self) -> int: ...


def mounts() -> list[str]:
    """Return where the real file systems are mounted: each device once, and `/` in any case."""
    paths: dict[str, str] = {}
    for part in psutil.disk_partitions(all=True):
        path = part.mountpoint
        real = part.fstype not in SKIPPED_TYPES and not path.startswith(SKIPPED_PLACES)
        if real or path == "/":
            paths.setdefault(part.device or path, path)
    return list(paths.values())[:MOUNTS_MAX]


class Disks:
    """Asks every mount in a thread of its own, because the kernel may never answer for a remote."""

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
        # A path is bytes, and need not be text in any encoding.
        labels = labels_of({"mount": clean(path)})
        try:
            async with asyncio.timeout(DEADLINE_S):
                usage = await self._threads[path].run(partial(self._ask, path))
        except (BusyError, TimeoutError):
            return [Reading("server_disk_up", 0.0, labels)]
        except OSError:
            # Not ours to look at, or unmounted since it was listed.
            return []
        if usage.total == 0:
            return []
        return [
            Reading("server_disk_up", 1.0, labels),
            Reading("server_disk_total_bytes", usage.total, labels),
            Reading("server_disk_used_bytes", usage.used, labels),
            # Of what users may fill: the system keeps some blocks for itself.
            Reading("server_disk_percent", 100.0 * usage.used / (usage.used + usage.free), labels),
        ]
