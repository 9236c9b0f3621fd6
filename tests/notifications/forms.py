"""Reads forms as servers do, with a library that Vigia does not write them with."""

from io import BytesIO

from multipart import MultipartParser, parse_options_header


def read_form(content_type: str, body: bytes) -> dict[str, str | tuple[str, str, bytes]]:
    """Return the fields of a form: texts, and files as name, type and content."""
    kind, options = parse_options_header(content_type)
    assert kind == "multipart/form-data"
    parser = MultipartParser(BytesIO(body), options["boundary"], strict=True)
    return {
        part.name: (part.filename, part.content_type, part.raw) if part.filename else part.value
        for part in parser.parts()
    }
