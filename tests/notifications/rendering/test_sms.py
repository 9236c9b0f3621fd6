"""An SMS holds what a person reads, in the alphabet that costs least."""

import unicodedata
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifications.cutting import utf16_length
from notifications.rendering.sms import LENGTH_MAX, fitting, plain
from tests.notifications.hostile import HOSTILE, UNSEEN

GSM = set(
    "@£$¥èéùìòÇ\nØøÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    "ÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà^{}\\[~]|€"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("“CPU” \u2013 it\u2019s…", '"CPU" - it\'s...'),
        ("CPU ≥ 80\u202f% → page", "CPU >= 80 % -> page"),
        ("one\r\ntwo\rthree\u2028four", "one\ntwo\nthree\nfour"),
        ("\x1b[31mred\x1b[0m\x00\x07", "[31mred[0m"),
        ("\u202egnp.exe\ufeff\u200b", "gnp.exe"),
        ("a\tb", "a b"),
        ("ação 🔥 👩\u200d🚀", "ação 🔥 👩\u200d🚀"),
    ],
)
def test_what_has_a_plain_form_is_written_plainly(text: str, expected: str) -> None:
    assert plain(text) == expected


@settings(deadline=None)
@given(st.text())
def test_no_control_character_is_left_and_nothing_changes_twice(text: str) -> None:
    written = plain(text)
    assert plain(written) == written
    assert [c for c in written if unicodedata.category(c) == "Cc" and c != "\n"] == []
    as_xml = "".join(f"&#{ord(character)};" for character in written)
    assert (ET.fromstring(f"<a>{as_xml}</a>").text or "") == written


@settings(deadline=None)
@given(st.text(alphabet=[*sorted(GSM - {"\n"}), "…", "\u2013", "“", "\x1b"], max_size=3000))
def test_a_text_in_the_gsm_alphabet_stays_in_it_when_it_is_cut(text: str) -> None:
    assert set(fitting(text, "\n…end")) <= GSM


@settings(deadline=None)
@given(st.text(min_size=1, max_size=3000), st.text(max_size=200))
def test_the_ending_is_never_cut(text: str, ending: str) -> None:
    fitted = fitting(text, ending)
    assert utf16_length(fitted) <= LENGTH_MAX
    assert fitted.endswith(plain(ending))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_stay_text(text: str) -> None:
    assert plain(text) == text.replace("\r\n", "\n").translate(UNSEEN)
