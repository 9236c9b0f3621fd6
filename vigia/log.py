"""Structured logs on stderr: lines for people at a terminal, JSON for machines elsewhere."""

import logging
import sys

import structlog

TEXT_CHARS_MAX = 2048


def configure() -> None:
    """Set structlog up, and bring warnings of libraries into the same stream."""
    terminal = sys.stderr.isatty()
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
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.WARNING, handlers=[_Forward()], force=True)


def _one_line(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Keep control characters of foreign texts out of the log, and their length in bounds."""
    for key, value in event.items():
        if isinstance(value, str) and key != "exception":
            clean = "".join(char if char.isprintable() else " " for char in value)
            event[key] = clean[:TEXT_CHARS_MAX]
    return event


class _Forward(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger()
        log.log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info)
