"""Structured logs on stderr: readable lines on a terminal, JSON lines elsewhere."""

import logging
import os
import sys
from typing import TextIO

import structlog
from msgspec import Struct

from model.text import clean, clean_lines

TEXT_CHARS_MAX = 2048


class Lost(Struct):
    """The count of log lines that could not be written."""

    lines: int = 0


lost = Lost()
"""The lost lines of this process."""


def configure() -> None:
    """Configure structlog, and send the warnings of libraries to the same stream."""
    terminal = sys.stderr is not None and sys.stderr.isatty()
    renderer = structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _one_line,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        # sys.stderr is looked up for each line: a replaced stream can be closed before the process
        # ends.
        logger_factory=lambda *_: _Printer(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.WARNING, handlers=[_Forward()], force=True)


def write(stream: TextIO | None, text: str) -> bool:
    """Write a line; return whether it was written. A line that was not is counted in `lost`.

    It never raises for a full disk, a broken pipe or a closed stream: logging must not stop the
    caller.
    """
    try:
        print(text, file=stream, flush=True)
    except (OSError, ValueError):
        lost.lines += 1
        return False
    # With stream None, `print` succeeds and prints nothing.
    lost.lines += stream is None
    return stream is not None


def close() -> None:
    """Flush the standard streams, and discard buffered lines that cannot be written.

    The interpreter flushes them at exit, and would replace the exit status when that fails.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            _discard(stream)


def _discard(stream: TextIO) -> None:
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
    except (OSError, ValueError):
        return


def _one_line(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Replace control characters in the event's texts, and limit their length."""
    for key, value in event.items():
        if isinstance(value, str):
            is_one = key != "exception"
            event[key] = clean(value)[:TEXT_CHARS_MAX] if is_one else clean_lines(value)
    return event


class _Printer:
    """The logger that structlog passes finished lines to."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def msg(self, message: str) -> None:
        write(self._stream, message)

    debug = info = warning = error = critical = fatal = exception = log = msg


class _Forward(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger()
        log.log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info)
