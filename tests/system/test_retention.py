"""`vigia storage` and `vigia retention preview`, with the running service or without it."""

import json
from pathlib import Path

from tests.system.conftest import run


async def test_storage_and_a_preview_are_told_at_a_terminal(
    environment: dict[str, str], tmp_path: Path
) -> None:
    code, out, _ = await run(environment, "storage")
    assert code == 0
    assert "database" in out
    code, out, _ = await run(environment, "storage", "--json")
    assert code == 0
    found = json.loads(out)
    assert {"raw", "5m", "uptime_1h"} <= {tier["name"] for tier in found["tiers"]}
    assert (found["disk"] is None) == ("VIGIA_DATABASE_URL" in environment)

    file = tmp_path / "retention.json"
    file.write_text('{"raw_days": 10, "metrics": {"m": {"keep_days": 3}}}')
    code, out, _ = await run(environment, "retention", "preview", str(file), "--json")
    assert code == 0
    assert {tier["name"]: tier["keep_days_after"] for tier in json.loads(out)["tiers"]}["raw"] == 10
    code, out, _ = await run(environment, "retention", "preview", '{"raw_days": 10}')
    assert code == 0
    assert "→ 10" in out


async def test_what_is_wrong_is_one_line(environment: dict[str, str]) -> None:
    for value in ('{"raw_days": 1}', "{not json", "no-such-file.json"):
        code, _, err = await run(environment, "retention", "preview", value)
        assert code == 1, value
        assert err.splitlines()[-1].startswith("vigia: ")
        assert "Traceback" not in err
