from typing import Any

from models import File, FileStatus


def file_object(file: File) -> dict[str, Any]:
    report = file.report or {}
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": int(file.created_at),
        "expires_at": None if file.expires_at is None else int(file.expires_at),
        "filename": file.filename,
        "purpose": file.purpose,
        "status": str(file.status),
        "status_details": report.get("summary") if file.status == FileStatus.ERROR else None,
        "created_by": file.created_by,  # ours: the API key
        "validation": file.report,  # ours: shape, rows, and every error with line, path, code and fix
    }
