"""The documentation's example of a subscriber, installed and run as it stands there."""

import asyncio
import json
import re
from pathlib import Path

from tests.system.conftest import Program

PAGE = Path(__file__).parent.parent.parent / "docs" / "reference" / "events.md"


def install_example(folder: Path) -> None:
    """What an installer leaves behind: the module, and the metadata with its entry point."""
    page = PAGE.read_text()
    [module] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    [group, point] = re.findall(r'entry-points\."(.+)"\]\n(.+)', page)[0]
    metadata = folder / "pager-1.0.dist-info"
    metadata.mkdir(parents=True)
    (folder / "pager.py").write_text(module)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: pager\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{group}]\n{point.replace(chr(34), '')}\n")


async def test_the_example_hears_critical_alerts_and_no_others(
    program: Program, tmp_path: Path
) -> None:
    install_example(tmp_path / "site")
    file = tmp_path / "pages.jsonl"
    program.environment |= {"PYTHONPATH": str(tmp_path / "site"), "PAGER_FILE": str(file)}
    await program.start()

    for level in ("info", "critical"):
        await program.send("/dev/test-alert", {"level": level, "title": f"a {level} test"})
    async with asyncio.timeout(5):
        while not file.exists() or not file.read_text():
            await asyncio.sleep(0.05)

    assert [json.loads(line)["title"] for line in file.read_text().splitlines()] == [
        "a critical test"
    ]
