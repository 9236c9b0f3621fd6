"""The names that are most like a wrong one are suggested."""

import pytest

from model.validation.nearest import did_you_mean, nearest

KNOWN = ["levels", "recovery", "server_cpu_percent", "server_cpu_count", "time", "avg"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("levles", ["levels"]),
        ("LEVELS", ["levels"]),
        ("server_cpu", ["server_cpu_count", "server_cpu_percent"]),
        ("server_cpu_percnt", ["server_cpu_percent", "server_cpu_count"]),
        ("mean", ["avg"]),
        ("at", ["time"]),
        ("nope", []),
        ("", []),
        ("levels" * 1000, []),
    ],
)
def test_the_nearest_names_come_first(name: str, meant: list[str]) -> None:
    assert nearest(name, KNOWN) == meant


def test_the_suggestion_ends_a_sentence() -> None:
    assert did_you_mean("levles", KNOWN) == "; did you mean 'levels'?"
    assert did_you_mean("nope", KNOWN) == ""
