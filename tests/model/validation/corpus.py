"""What no message to a person may contain: words of libraries, types and patterns."""

import re

CORPUS = {
    "a regular expression": r"\(\?[!:=<]|\[\^?[A-Za-z0-9]-[A-Za-z0-9]|\\[dwsxnZ]|regex|\{0,\d+\}",
    "a type of Python": r"`\w*(?:str|int|float|bool|dict|array|object|null|datetime|set|tuple)\b",
    "a class of Python": r"\bNoneType\b|<class|<function|\bobject at 0x|\bDict\[|\b[a-z]\w*\[str\b",
    "an exception": r"\b[A-Z]\w+Error\b|Traceback|\bErrno\b|\bException\b",
    "msgspec": r"Expected `|Object (?:contains|missing)|Invalid (?:enum )?value|is malformed"
    r"|Input data was|at `\$|\$\[|\$\.|of length [<>]|RFC3339 encoded|unknown field|Number out of",
    "psycopg": r"psycopg|consuming input failed|server closed the connection|LINE \d+:|SQLSTATE"
    r"|SELECT |INSERT |invalid input syntax|violates \w+ constraint|relation \"",
    "Litestar": r"litestar|Validation failed for|Missing required|Unsupported media type"
    r"|Unexpected|^'?data'?\b|\bkwargs?\b|\bdata: ",
    "pydantic": r"pydantic|Input should be|Field required|Extra inputs|value_error|type_error",
    "states of the program": r"cannot become",
    "the operating system": r"\[Errno|No such file or directory|codec can't decode",
}

OLD_MESSAGES = [
    r"name: Expected `str` matching regex '^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}(?!\\n)$'",
    "the name must match [a-zA-Z_][a-zA-Z0-9_.:-]{0,127}",
    r"window: Expected `str` matching regex '^\\d{1,9}[smhd]?(?!\\n)$'",
    r"targets: Expected `str` matching regex '^[a-z][a-z0-9_-]{0,62}(?!\\n)$' - at `$[0].name`",
    "agg: Invalid enum value 'mean'",
    "data: 'data'",
    "data: Object contains unknown field `levles`",
    "data: Object contains unknown field `collect_s`",
    "points: Expected `int`, got `str`",
    "thresholds: Expected `object`, got `int` - at `$[...]`",
    "this is not JSON: JSON is malformed: invalid character (byte 0)",
    "[Errno 2] No such file or directory: '7'",
    "alert 1 is acknowledged; it cannot become acknowledged",
]
"""Messages of the first version."""


def kinds_in(text: str) -> list[str]:
    """Return which kinds of words a text holds that it may not."""
    return [kind for kind, pattern in CORPUS.items() if re.search(pattern, text, re.MULTILINE)]
