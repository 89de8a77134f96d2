import io
from collections.abc import AsyncIterator

import pytest

from api.edge.multipart import MAX_FIELD_BYTES, MAX_FIELDS, Form, read
from fettle.errors import InvalidRequest

TYPE = "multipart/form-data; boundary=b"
END = b"--b--\r\n"
TRICKY = b"\r\n-\r\n--\r\n--x\r\r\n\n--b--" + bytes(range(256))  # much of a boundary, but none


def text(name: str, value: bytes) -> bytes:
    return b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode(), value)


def file(content: bytes, disposition: bytes = b'name="file"; filename="a.jsonl"') -> bytes:
    return b"--b\r\nContent-Disposition: form-data; %s\r\nContent-Type: text/plain\r\n\r\n%s\r\n" % (
        disposition,
        content,
    )


async def parse(body: bytes, content_type: str = TYPE, size: int = 1 << 16) -> tuple[Form, bytes]:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), size):
            yield body[start : start + size]

    sink = io.BytesIO()
    form = await read(content_type, chunks(), sink)
    return form, sink.getvalue()


async def refused(body: bytes, content_type: str = TYPE) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        await parse(body, content_type)
    return caught.value


class TestWhatIsRead:
    @pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
    async def test_chunks_may_end_anywhere(self, size: int) -> None:
        form, content = await parse(text("purpose", b"fine-tune") + file(TRICKY) + text("x", b"y") + END, size=size)
        assert form.fields == {"purpose": "fine-tune", "x": "y"}
        assert form.filename == "a.jsonl"
        assert content == TRICKY

    async def test_the_last_line_may_lack_its_end(self) -> None:
        form, _ = await parse(file(b"x") + b"--b--")
        assert form.filename == "a.jsonl"

    async def test_what_follows_the_end_is_not_content(self) -> None:
        _, content = await parse(file(b"x") + END + b"an epilogue")
        assert content == b"x"

    async def test_a_form_without_a_file_has_no_filename(self) -> None:
        form, content = await parse(text("purpose", b"fine-tune") + END)
        assert (form.filename, content) == (None, b"")

    async def test_an_empty_file_is_a_file(self) -> None:
        form, content = await parse(file(b"") + END)
        assert (form.filename, content) == ("a.jsonl", b"")

    @pytest.mark.parametrize(
        ("disposition", "name"),
        [
            (b'name="file"', "upload"),
            ('name="file"; filename="Zähler.jsonl"'.encode(), "Zähler.jsonl"),
            (b'filename="with;semicolon.jsonl"; name="file"', "with;semicolon.jsonl"),
            (rb'name="file"; filename="C:\data\a.jsonl"', "a.jsonl"),
            (b'name="file"; filename="../../etc/passwd"', "../../etc/passwd"),
            (b'name="file"; filename="\xff.jsonl"', "\ufffd.jsonl"),
        ],
    )
    async def test_the_filename_is_the_clients_word(self, disposition: bytes, name: str) -> None:
        form, _ = await parse(file(b"x", disposition) + END)
        assert form.filename == name

    @pytest.mark.parametrize("content_type", ["Multipart/Form-Data; boundary=b", 'multipart/form-data;boundary="b"'])
    async def test_the_content_type_may_be_spelled_otherwise(self, content_type: str) -> None:
        form, _ = await parse(file(b"x") + END, content_type)
        assert form.filename == "a.jsonl"


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        "content_type",
        ["", "application/json", "multipart/form-data", "multipart/mixed; boundary=b", "text/plain; boundary=b"],
    )
    async def test_another_content_type(self, content_type: str) -> None:
        error = await refused(file(b"x") + END, content_type)
        assert error.param == "file"
        assert repr(content_type) in error.message

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"--b",
            file(b"x"),
            file(b"x") + b"--b",
            file(b"x") + b"--b-",
            file(b"x" * 100)[:-50],
            text("purpose", b"fine-tune"),
        ],
    )
    async def test_a_body_that_ends_early(self, body: bytes) -> None:
        error = await refused(body)
        assert error.param == "file"
        assert "closing boundary" in error.message

    @pytest.mark.parametrize(
        "body",
        [
            b"garbage",
            b"--other\r\n",
            b"--b\r\nno colon\r\n\r\n",
            b"--b\r\nX: " + b"y" * 10_000 + b"\r\n\r\n",
            b"--b\r\n" + b"X: y\r\n" * 100 + b"\r\n",
        ],
    )
    async def test_what_is_no_multipart(self, body: bytes) -> None:
        error = await refused(body)
        assert error.param == "file"
        assert "not valid multipart" in error.message

    async def test_a_boundary_that_is_too_long(self) -> None:
        error = await refused(file(b"x") + END, "multipart/form-data; boundary=" + "b" * 300)
        assert "300" in error.message

    async def test_a_second_file(self) -> None:
        assert "two parts" in (await refused(file(b"x") + file(b"y") + END)).message

    async def test_a_field_that_comes_twice(self) -> None:
        error = await refused(text("purpose", b"fine-tune") + text("purpose", b"batch") + END)
        assert error.param == "purpose"

    async def test_a_field_that_is_too_long(self) -> None:
        await parse(text("purpose", b"x" * MAX_FIELD_BYTES) + END)
        assert (await refused(text("purpose", b"x" * (MAX_FIELD_BYTES + 1)) + END)).param == "purpose"

    async def test_too_many_fields(self) -> None:
        fields = [text(f"f{n}", b"") for n in range(MAX_FIELDS + 1)]
        await parse(b"".join(fields[:-1]) + END)
        assert str(MAX_FIELDS) in (await refused(b"".join(fields) + END)).message

    async def test_a_filename_that_no_database_can_hold(self) -> None:
        assert "U+0000" in (await refused(file(b"x", b'name="file"; filename="a\0b"') + END)).message
