"""A log that cannot be written never stops the process."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from runtime import log


@pytest.fixture(autouse=True)
def configured() -> Iterator[None]:
    log.configure()
    yield
    structlog.reset_defaults()


def test_a_line_that_a_full_disk_refuses_is_counted_and_the_next_is_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = log.lost.lines
    stderr = sys.stderr
    with Path("/dev/full").open("w", buffering=1) as full:
        monkeypatch.setattr(sys, "stderr", full)
        for number in range(3):
            structlog.get_logger().error("refused", number=number)
        log.close()
    monkeypatch.setattr(sys, "stderr", stderr)
    structlog.get_logger().info("written")

    assert log.lost.lines == before + 3
    assert json.loads(capsys.readouterr().err)["event"] == "written"


def test_a_pipe_whose_reader_has_ended_and_no_stream_at_all_are_survived(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = log.lost.lines
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        for stream in (pipe, None):
            monkeypatch.setattr(sys, "stderr", stream)
            log.configure()
            structlog.get_logger().warning("refused")
        monkeypatch.setattr(sys, "stderr", pipe)
        log.close()

    assert log.lost.lines == before + 2


@given(st.text())
def test_a_line_contains_no_control_characters(text: str) -> None:
    event = log._one_line(None, "info", {"event": "x", "text": text, "exception": text})

    unsafe = {
        *map(chr, (*range(0x20), *range(0x7F, 0xA0))),
        *"\u2028\u2029\u202e\u2066\u200f\u061c",
    }
    assert not unsafe & set(str(event["text"]))
    assert not (unsafe - set("\t\n")) & set(str(event["exception"]))
