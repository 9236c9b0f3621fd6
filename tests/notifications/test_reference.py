"""The reference has a page for each type of channel, which is easy to read."""

import pytest

from tests.notifications.channels.samples import SAMPLES
from tests.notifications.reference import PAGES


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_a_page_says_what_to_enter_and_what_is_tried_again(name: str) -> None:
    page = (PAGES / f"{name}.md").read_text()
    for heading in ("What you enter", "What is sent", "Limits", "What is tried again"):
        assert f"\n## {heading}\n" in page
    assert f"| `type` | `{name}` |" in page
