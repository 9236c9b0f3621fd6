"""The pages of the documentation: lines fit a terminal, links lead somewhere, lists are whole."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[2]
OLD_DECISIONS = ROOT / "docs" / "decisions.md"
PAGES = sorted({*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")} - {OLD_DECISIONS})
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"^```.*?^```$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
NOT_IN_ANCHORS = re.compile(r"[^\w\- ]")
COLUMNS_MAX = 100
UNBREAKABLE = re.compile(r'\||.*\]\(\S+\)\S*$|\s*"\w+": ".*",?$')
"""The rows of a table, a line that ends with a link, and a text in JSON."""
DECISIONS = ROOT / "docs" / "decisions"


def anchors_of(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    return {
        NOT_IN_ANCHORS.sub("", heading.lower()).replace(" ", "-")
        for heading in HEADING.findall(text)
    }


def links_in(page: Path) -> list[str]:
    """Return the addresses of a page's links that stay within the repository."""
    text = CODE.sub("", page.read_text(encoding="utf-8"))
    return [link for link in LINK.findall(text) if not re.match(r"\w+:", link)]


def is_good(link: str, page: Path) -> bool:
    path, _, anchor = unquote(link).partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.is_relative_to(ROOT) or not target.exists():
        return False
    return not anchor or (target.suffix == ".md" and anchor in anchors_of(target))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    assert [link for link in links_in(page) if not is_good(link, page)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_line_fits_a_terminal(page: Path) -> None:
    wide = [line for line in page.read_text("utf-8").splitlines() if len(line) > COLUMNS_MAX]
    assert [line for line in wide if not UNBREAKABLE.match(line)] == []


def test_the_index_names_every_page() -> None:
    index = ROOT / "docs" / "README.md"
    named = {(index.parent / link.partition("#")[0]).resolve() for link in links_in(index)}
    pages = {page for page in PAGES if page.is_relative_to(index.parent)} - {index}
    assert pages - named - set(DECISIONS.glob("*.md")) == set()


def test_the_list_of_decisions_names_each_record_with_its_title() -> None:
    listed = (DECISIONS / "README.md").read_text("utf-8")
    for record in sorted(DECISIONS.glob("2*.md")):
        title, _, about, *_ = record.read_text("utf-8").splitlines()
        date, _, area = about.partition(" · ")
        assert record.name.startswith(date), record.name
        assert f"- {date} [{title.removeprefix('# ')}]({record.name})" in listed
        assert f"## {area.capitalize()}\n" in listed


def test_the_old_list_of_decisions_only_points_to_the_new_one() -> None:
    lines = OLD_DECISIONS.read_text("utf-8").splitlines()
    assert len(lines) == 3, "move the record to a file in docs/decisions"
    assert "(decisions/README.md)" in lines[2]
