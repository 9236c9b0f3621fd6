"""Structured logs on stderr: lines for people at a terminal, JSON for machines elsewhere."""

import logging
import os
import sys
from typing import TextIO

import structlog
from msgspec import Struct

from model.text import clean, clean_lines

TEXT_CHARS_MAX = 2048


class Lost(Struct):
    """Lines that were meant for a stream that could not take them."""

    lines: int = 0


lost = Lost()
"""Of this process."""


def configure() -> None:
    """Set structlog up, and bring warnings of libraries into the same stream."""
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
        # Looked up each time: what stands in for stderr may be gone before the process is.
        logger_factory=lambda *_: _Printer(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.WARNING, handlers=[_Forward()], force=True)


def write(stream: TextIO | None, text: str) -> bool:
    """Write a line; return whether the stream took it. What it cannot take is counted.

    A full disk, a pipe whose reader has ended and a closed stream must not end who writes.
    """
    try:
        print(text, file=stream, flush=True)
    except (OSError, ValueError):
        lost.lines += 1
        return False
    # Without a stream, `print` succeeds and prints nothing.
    lost.lines += stream is None
    return stream is not None


def close() -> None:
    """Drop what the standard streams still hold and cannot write.

    The interpreter flushes them at its end, and would turn a failure into another exit status.
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
    """Keep control characters of foreign texts out of the log, and their length in bounds."""
    for key, value in event.items():
        if isinstance(value, str):
            is_one = key != "exception"
            event[key] = clean(value)[:TEXT_CHARS_MAX] if is_one else clean_lines(value)
    return event


class _Printer:
    """What structlog hands its lines to."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def msg(self, message: str) -> None:
        write(self._stream, message)

    debug = info = warning = error = critical = fatal = exception = log = msg


class _Forward(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger()
        log.log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info)
