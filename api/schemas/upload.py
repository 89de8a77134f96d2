from typing import Annotated, Any, Literal

from pydantic import Field

from api.schemas.file import file_object
from fettle.datasets import uploads
from fettle.schemas.strict import Strict
from models import ChunkedUpload, File, UploadPart

NAME = r"^[^\x00-\x1f\x7f]*$"
Purpose = Literal["fine-tune", "evals", "batch", "user_data"]


class ExpiresAfter(Strict):
    anchor: Literal["created_at"]
    seconds: Annotated[int, Field(ge=3600, le=2_592_000)]


class UploadCreate(Strict):
    """The body of POST /v1/uploads."""

    bytes: Annotated[int, Field(ge=1)]
    filename: Annotated[str, Field(min_length=1, max_length=500, pattern=NAME)]
    mime_type: Annotated[str, Field(min_length=1, max_length=200, pattern=NAME)]
    purpose: Purpose
    expires_after: ExpiresAfter | None = None


class UploadComplete(Strict):
    """The body of POST /v1/uploads/{upload_id}/complete."""

    part_ids: Annotated[
        list[Annotated[str, Field(max_length=100)]], Field(min_length=1, max_length=uploads.PARTS_AT_MOST)
    ]
    md5: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{32}$")] | None = None


def part_object(part: UploadPart) -> dict[str, Any]:
    return {
        "id": part.id,
        "object": "upload.part",
        "created_at": int(part.created_at),
        "upload_id": part.upload_id,
        "bytes": part.bytes,  # ours: with the upload's list of parts it says where to go on
    }


def upload_object(upload: ChunkedUpload, file: File | None = None) -> dict[str, Any]:
    return {
        "id": upload.id,
        "object": "upload",
        "bytes": upload.bytes,
        "created_at": int(upload.created_at),
        "expires_at": int(upload.expires_at),
        "filename": upload.filename,
        "purpose": upload.purpose,
        "status": uploads.status(upload),
        "file": None if file is None else file_object(file),
    }
