"""Cuts text into SQL statements where PostgreSQL's own lexer would."""

import re

TOKEN = re.compile(
    r"""
      (?P<end>;)
    | (?P<comment>/\*)
    | --[^\n]*
    | \b[eE]'(?:[^'\\]|\\.|'')*(?:'|\Z)
    | '[^']*(?:'|\Z)
    | "[^"]*(?:"|\Z)
    | (?<![\w$])\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?(?:\$(?P=tag)\$|\Z)
    """,
    re.VERBOSE | re.DOTALL,
)
COMMENT = re.compile(r"/\*|\*/")
BLANK = re.compile(r"(?:\s|--[^\n]*(?:\n|\Z)|/\*.*?\*/)*", re.DOTALL)


def split(text: str) -> tuple[list[str], str]:
    """Return the statements that a semicolon ends, without it, and what is left behind the last.

    A quote or comment that is still open goes on to the end of the text.
    """
    statements = []
    start = place = 0
    while token := TOKEN.search(text, place):
        place = _end_of_comment(text, token.end()) if token["comment"] else token.end()
        if token["end"]:
            statements.append(text[start : token.start()])
            start = place
    return statements, text[start:]


def is_blank(text: str) -> bool:
    """Whether there is nothing to run: only comments, if anything."""
    return BLANK.fullmatch(text) is not None


def _end_of_comment(text: str, place: int) -> int:
    """Comments may hold others."""
    depth = 1
    while depth and (mark := COMMENT.search(text, place)):
        depth += 1 if mark[0] == "/*" else -1
        place = mark.end()
    return len(text) if depth else place
