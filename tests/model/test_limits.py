"""The limits fit together, and the documentation names the real ones."""

import sys
from pathlib import Path

import pytest

from model.limits import (
    IDENTITY_BYTES_MAX,
    LABEL_NAME_BYTES_MAX,
    LABEL_VALUE_BYTES_MAX,
    LABELS_MAX,
    NAME_CHARS_MAX,
    NEW_SERIES_A_MINUTE_MAX,
    REQUEST_SAMPLES_MAX,
    REQUEST_SERIES_MAX,
    TEXT_CHARS_MAX,
    VALUE_MAX,
    VALUE_MIN,
)

DOCS = Path(__file__).parents[2] / "docs"
LABEL_VALUE = f"{LABEL_VALUE_BYTES_MAX >> 10} KiB"
IDENTITY = f"{IDENTITY_BYTES_MAX:,} bytes"


def power(value: float) -> str:
    """A power of ten as the pages write it."""
    return f"{value:.0e}".replace("e+", "e")


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (
            "reference/ingest.md",
            f"{REQUEST_SAMPLES_MAX:,} samples of {REQUEST_SERIES_MAX:,} series a request",
        ),
        ("reference/ingest.md", f"names of {NAME_CHARS_MAX} characters, {LABELS_MAX} labels"),
        (
            "reference/ingest.md",
            f"their names of {LABEL_NAME_BYTES_MAX} bytes and values of {LABEL_VALUE}",
        ),
        ("reference/ingest.md", f"{IDENTITY} of component and labels together"),
        ("reference/ingest.md", f"values up to {power(VALUE_MAX)}"),
        ("reference/ingest.md", f"closer to zero than {power(VALUE_MIN)}"),
        ("reference/ingest.md", f"{NEW_SERIES_A_MINUTE_MAX:,} new ones a minute"),
        ("reference/ingest.md", f"A request holds {REQUEST_SAMPLES_MAX:,} points"),
        ("reference/ingest.md", f"beyond {power(VALUE_MAX)}"),
        ("reference/ingest.md", f"more than {LABELS_MAX} labels"),
        ("reference/ingest.md", f"a label name over {LABEL_NAME_BYTES_MAX} bytes"),
        ("reference/ingest.md", f"a label value over {LABEL_VALUE}"),
        ("reference/ingest.md", f"labels of over {IDENTITY} together"),
        ("reference/ingest.md", f"a metric's name over {NAME_CHARS_MAX} characters"),
        ("decisions/2026-11-23-values-are-bounded.md", f"Values are bounded at {power(VALUE_MAX)}"),
    ],
)
def test_the_documentation_names_the_real_limits(page: str, said: str) -> None:
    assert said in " ".join((DOCS / page).read_text().split())


def test_the_longest_label_and_the_longest_component_fit_into_one_series() -> None:
    longest_label = LABEL_NAME_BYTES_MAX + LABEL_VALUE_BYTES_MAX
    assert longest_label + max(NAME_CHARS_MAX, TEXT_CHARS_MAX) <= IDENTITY_BYTES_MAX


def test_the_sum_of_squares_of_all_possible_samples_fits_into_a_double() -> None:
    assert sys.float_info.max > VALUE_MAX**2 * 2**63
