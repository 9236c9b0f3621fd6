"""`vigia config` reads, changes, exports and imports, with the running service or without it."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.system.conftest import Program, run


async def test_settings_are_changed_in_part_and_come_back_from_a_file(
    environment: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "settings.json"
    assert (await run(environment, "config", "set", "intervals.collect_s", "5"))[0] == 0
    assert (await run(environment, "config", "export", str(file)))[0] == 0
    assert (await run(environment, "config", "set", "intervals", '{"collect_s": 7}'))[0] == 0

    code, out, _ = await run(environment, "config", "import", str(file))
    assert (code, out.strip()) == (0, "changed intervals")
    code, out, _ = await run(environment, "config", "get", "intervals", "--json")
    found = json.loads(out)
    assert found["value"] == {"collect_s": 5, "health_s": 30}
    assert found["updated_by"] == "cli"
    assert (await run(environment, "config", "get"))[0] == 0


async def test_bad_values_are_one_line_and_change_nothing(
    environment: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "settings.json"
    file.write_text('{"intervals": {"collect_s": 3}, "retention": {"raw_days": 1}}')
    for arguments in (
        ("set", "nothing", "1"),
        ("set", "intervals.collect_s", "0"),
        ("set", "intervals", "not json"),
        ("import", str(file)),
    ):
        code, _, err = await run(environment, "config", *arguments)
        assert code == 1, arguments
        assert err.splitlines()[-1].startswith("vigia: ")
        assert "Traceback" not in err

    _, out, _ = await run(environment, "config", "get", "intervals", "--json")
    assert json.loads(out)["updated_by"] is None


@pytest.mark.long
async def test_a_threshold_changed_by_api_opens_and_closes_at_the_next_evaluation(
    program: Program,
) -> None:
    """Through the whole program: an ingested minute, a threshold, an alert, its end, the audit."""
    await program.start()
    default = (await program.get("/config/thresholds"))["value"]

    async def active() -> list[str]:
        found = await program.get("/alerts/active?component=server")
        return [alert["rule"] for alert in found["items"]]

    async def set_memory(warning: float) -> None:
        value = {**default, "server_memory_percent": {"warning": warning, "critical": 100}}
        await program.send("/config/thresholds", {"value": value}, "PUT")

    await set_memory(0.001)
    async with asyncio.timeout(150):
        while "memory" not in await active():
            await asyncio.sleep(0.5)
        await set_memory(99.9)
        while "memory" in await active():
            await asyncio.sleep(0.5)

    history = (await program.get("/config/history?key=thresholds"))["items"]
    assert [change["changed_by"] for change in history] == ["admin", "admin"]
    refused = {"value": {"server_memory_percent": {"warning": "much"}}}
    url = "/api/v1/monitoring/config/thresholds"
    async with program.http.put(url, json=refused) as response:
        assert response.status == 400
        assert "warning" in (await response.json())["detail"]
