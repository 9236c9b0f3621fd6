"""The page's copies of limits equal those of the service."""

import re
from pathlib import Path

from api import live
from api.server import server
from health import status
from history import query

LIMITS = Path(__file__).parents[2] / "web" / "src" / "limits.ts"
LIMIT = re.compile(r"^export const (\w+) = ([\d_]+);$", re.MULTILINE)


def test_the_page_has_the_limits_of_the_service() -> None:
    found = {name: int(number) for name, number in LIMIT.findall(LIMITS.read_text())}

    assert found == {
        "SILENT_S": status.STALE_MIN.total_seconds(),
        "SUBSCRIBED_SERIES_MAX": live.SERIES_MAX,
        "MESSAGE_BYTES_MAX": server.MESSAGE_BYTES_MAX,
        "CONDITIONS_MAX": query.SELECTORS_MAX,
    }
