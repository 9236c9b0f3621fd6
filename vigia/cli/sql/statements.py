"""Splits text into SQL statements by the lexical rules of PostgreSQL."""

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
    """Return the statements that end with a semicolon, without it, and the rest of the text.

    An open quote or comment extends to the end of the text.
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
    """Return whether a text has no statement, only white space and comments."""
    return BLANK.fullmatch(text) is not None


def _end_of_comment(text: str, place: int) -> int:
    """Return the end of a comment. PostgreSQL's comments nest."""
    depth = 1
    while depth and (mark := COMMENT.search(text, place)):
        depth += 1 if mark[0] == "/*" else -1
        place = mark.end()
    return len(text) if depth else place
