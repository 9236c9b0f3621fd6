"""The limit of open files of this process. Child processes inherit it."""

import resource
from contextlib import suppress

FILES_WANTED = 1 << 20
FILES_ADVISED = 4096
ADVICE = (
    f"raise the hard limit: ulimit -Hn {FILES_ADVISED}; for a service of systemd "
    f"LimitNOFILE={FILES_ADVISED}, for a container --ulimit nofile={FILES_ADVISED}"
)


def raise_file_limit() -> int:
    """Raise the soft limit of open files to the hard limit, and return the soft limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_WANTED if hard == resource.RLIM_INFINITY else min(hard, FILES_WANTED)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return FILES_WANTED if soft == resource.RLIM_INFINITY else soft
