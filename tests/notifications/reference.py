"""The reference of the channels, and the examples in it."""

import json
import re
from pathlib import Path
from typing import Any

PAGES = Path(__file__).parents[2] / "docs" / "reference" / "notifications"
EXAMPLE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def examples_in(name: str) -> list[tuple[str, str]]:
    """Return the fenced blocks of a page: their language, and their text."""
    page = (PAGES / f"{name}.md").read_text()
    return [(found[1], found[2]) for found in EXAMPLE.finditer(page)]


def json_in(name: str, number: int = 0) -> Any:
    """Return one of a page's examples in JSON, decoded."""
    texts = [text for language, text in examples_in(name) if language == "json"]
    return json.loads(texts[number])
