"""Links become buttons that are named in the reader's language and break no markup."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifications.message import Language, Links
from notifications.rendering.buttons import ORDER, buttons, web_address
from tests.notifications.messages import message

HOSTILE = [
    "javascript:alert(1)",
    "docs/reference/runbook.md#cpu",
    "",
    "//example.org",
    "ftp://example.org",
]


@pytest.mark.parametrize("language", Language)
def test_each_link_becomes_a_button_with_a_label(language: Language) -> None:
    links = Links(**{name: f"https://vigia.example/{name}" for name in ORDER})
    made = list(buttons(message(links=links, language=language)))

    assert set(ORDER) == set(Links.__struct_fields__)
    assert [one.url for one in made] == [getattr(links, name) for name in ORDER]
    assert len({one.label for one in made}) == len(ORDER)


def test_empty_links_make_no_buttons() -> None:
    portuguese = message(language=Language.BRAZILIAN_PORTUGUESE)
    assert [(one.name, one.label, one.url) for one in buttons(portuguese)] == [
        ("acknowledge", "Reconhecer", "https://vigia.example/l/abc"),
        ("alert", "Abrir", "https://vigia.example/alerts/41"),
    ]


@pytest.mark.parametrize("text", HOSTILE)
def test_only_web_addresses_are_links(text: str) -> None:
    assert list(buttons(message(links=Links(runbook=text)))) == []


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_an_address_holds_nothing_that_ends_a_link(text: str) -> None:
    url = web_address("https://wiki.example/" + text)
    assert set(url) <= set(string.ascii_letters + string.digits + "-._~:/?#[]@!$&'()*+,;=%")
    assert not set('<>|"\\` \r\n') & set(url)


def test_a_good_address_stays_as_it_is() -> None:
    url = "https://wiki.example/a%20b/(c)?q=1&r=%C3%A9#top"
    assert web_address(url) == url


def test_an_endless_address_is_left_out() -> None:
    assert web_address("https://wiki.example/" + "x" * 2000) == ""
