import tempfile
from typing import Any

from fastapi import APIRouter, Request
from pydantic import ValidationError

from api import audit, isolation
from api.deps import ProjectId, Services
from api.edge import multipart
from api.schemas.comparison import ImportForm, import_object
from fettle.comparisons import store
from fettle.comparisons.imports import reader
from fettle.comparisons.imports import store as imports
from fettle.errors import InvalidRequest, TooLarge, from_schema

router = APIRouter(prefix="/v1/comparisons", tags=["comparisons"])


@router.post("/{comparison_id}/import")
async def create(comparison_id: str, request: Request, project_id: ProjectId, services: Services) -> dict[str, Any]:
    """Import votes that were made elsewhere (multipart: `file`, `annotator`), as rows or exports of other tools."""
    async with services.db.snapshot() as snapshot:
        await store.get(snapshot, project_id, comparison_id)  # before the work of reading the file
    with tempfile.NamedTemporaryFile(dir=services.uploads, prefix="votes-") as aside:
        sink = Sink(aside)
        form = await multipart.read(request.headers.get("content-type", ""), request.stream(), sink)
        if form.filename is None:
            raise InvalidRequest("The upload has no part named 'file'.", param="file")
        try:
            wanted = ImportForm.model_validate(form.fields)
        except ValidationError as error:
            raise from_schema(error.errors()) from error
        aside.flush()
        argument = {"path": aside.name, "format": wanted.format, "prompt_key": wanted.prompt_key}
        found = await isolation.run(
            services.pool,
            "comparison_votes",
            project_id,
            "file",
            argument,
            seconds=reader.SECONDS,
            memory=reader.MEMORY,
        )
    async with audit.transaction(services.db) as session:
        comparison = await store.get(session, project_id, comparison_id, locked=True)
        done = await imports.keep(session, comparison, wanted.annotator, found)
    return import_object(comparison.id, done)


class Sink:
    """Takes the file as it comes, up to its limit."""

    def __init__(self, file: Any) -> None:
        self.file, self.size = file, 0

    def write(self, data: bytes) -> int:
        """Raises TooLarge."""
        self.size += len(data)
        if self.size > reader.BYTES_AT_MOST:
            raise TooLarge(
                f"The file has more than {reader.BYTES_AT_MOST >> 20} MiB, which is the limit of an import. Send it in "
                "parts."
            )
        written: int = self.file.write(data)
        return written
