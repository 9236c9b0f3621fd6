"""No garbage collection runs while a large body is read."""

import gc
from typing import Any

import pytest

from api.ingest.formats.garbage import uncollected


def test_no_collection_runs_in_the_block_and_they_go_on_after_it() -> None:
    found: list[str] = []

    def note(phase: str, _: dict[str, Any]) -> None:
        found.append(phase)

    gc.callbacks.append(note)
    try:
        with uncollected():
            found.clear()
            kept = [[number] for number in range(10 * gc.get_threshold()[0])]
            assert not found
        kept += [[number] for number in range(10 * gc.get_threshold()[0])]
        assert found
    finally:
        gc.callbacks.remove(note)


def test_collections_go_on_after_an_error() -> None:
    with pytest.raises(ValueError, match="x"), uncollected():
        raise ValueError("x")
    assert gc.isenabled()
