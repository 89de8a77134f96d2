"""Multipart uploads, streamed: file content goes to a sink as it comes and is never held in memory."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email.message import Message
from typing import Protocol

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from fettle.errors import InvalidRequest

MAX_FIELD_BYTES = 16 * 1024
MAX_FIELDS = 16


class Sink(Protocol):
    def write(self, data: bytes, /) -> int: ...


@dataclass
class Form:
    """The text fields, and the name of the file whose content went to the sink (None: no file came)."""

    fields: dict[str, str] = field(default_factory=dict)
    filename: str | None = None
    closed: bool = False

    def close(self) -> None:
        self.closed = True


async def read(content_type: str, chunks: AsyncIterator[bytes], sink: Sink, *, name: str = "file") -> Form:
    """Raises InvalidRequest for anything that is not a form with at most one file, in the part of this name."""
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data" or b"boundary" not in options:
        raise InvalidRequest(
            f"Send uploads as multipart/form-data with a boundary, not as {content_type!r}.", param=name
        )
    form, part = Form(), Part(sink, name)
    try:
        parser = MultipartParser(
            options[b"boundary"],
            {
                "on_part_begin": part.begin,
                "on_header_field": part.header_name,
                "on_header_value": part.header_value,
                "on_header_end": part.header_end,
                "on_headers_finished": lambda: part.headers_finished(form),
                "on_part_data": part.data,
                "on_part_end": lambda: part.end(form),
                "on_end": form.close,
            },
        )
        async for chunk in chunks:
            parser.write(chunk)
    except FormParserError as error:
        raise InvalidRequest(f"The upload is not valid multipart data: {error}.", param=name) from error
    if not form.closed:  # the parser does not look for the end itself
        raise InvalidRequest("The upload ends before its closing boundary. Send it again.", param=name)
    return form


class Part:
    """The part that is being parsed."""

    def __init__(self, sink: Sink, file_name: str) -> None:
        self.sink, self.file_name = sink, file_name
        self.begin()

    def begin(self) -> None:
        self.headers = Message()
        self.name_bytes = self.value_bytes = b""
        self.name = ""
        self.is_file = False
        self.value = bytearray()

    def header_name(self, data: bytes, start: int, end: int) -> None:
        self.name_bytes += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self.value_bytes += data[start:end]

    def header_end(self) -> None:
        self.headers[self.name_bytes.decode("latin-1")] = self.value_bytes.decode("latin-1")
        self.name_bytes = self.value_bytes = b""

    def headers_finished(self, form: Form) -> None:
        _, options = parse_options_header(self.headers.get("content-disposition", ""))
        self.name = options.get(b"name", b"").decode("utf-8", "replace")
        self.is_file = self.name == self.file_name
        if self.is_file:
            if form.filename is not None:
                raise InvalidRequest(
                    f"The upload has two parts named {self.name!r}. Send one file at a time.", param=self.name
                )
            form.filename = options.get(b"filename", b"upload").decode("utf-8", "replace")
            if "\0" in form.filename:
                raise InvalidRequest(
                    f"The filename {form.filename!r} contains the character U+0000. Remove it.", param=self.name
                )

    def data(self, data: bytes, start: int, end: int) -> None:
        if self.is_file:
            self.sink.write(data[start:end])
            return
        self.value += data[start:end]
        if len(self.value) > MAX_FIELD_BYTES:
            raise InvalidRequest(
                f"The form field {self.name!r} is longer than {MAX_FIELD_BYTES} bytes.", param=self.name
            )

    def end(self, form: Form) -> None:
        if self.is_file:
            return
        if self.name in form.fields:
            raise InvalidRequest(f"The form field {self.name!r} appears twice. Send it once.", param=self.name)
        if len(form.fields) == MAX_FIELDS:
            raise InvalidRequest(f"The upload has more than {MAX_FIELDS} form fields.", param=self.name)
        form.fields[self.name] = self.value.decode("utf-8", "replace")
