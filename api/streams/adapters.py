"""An adapter on its way out: its files with their hashes, or all of them in a zip."""

import time
from typing import Any

from fastapi.responses import StreamingResponse

from api.deps import Services
from api.streams import zips
from api.streams.chunks import start_reading
from fettle.storage import artifacts

PRESIGNED_SECONDS = 3600  # AWS allows seven days, but not past the end of a role's own credentials


async def files_of(services: Services, prefix: str) -> dict[str, artifacts.Entry]:
    """Of a checkpoint only what serves: the rest, with an optimizer's pickles, is for its own job."""
    manifest = await artifacts.manifest(services.storage, prefix)
    return {name: entry for name, entry in manifest.files.items() if name in artifacts.ADAPTER_FILES}


async def listed(services: Services, prefix: str) -> list[dict[str, Any]]:
    """Its files. Where storage signs URLs each has one, past this server and in parallel; elsewhere `url` is null."""
    files = await files_of(services, prefix)
    until = int(time.time()) + PRESIGNED_SECONDS
    found = []
    for name, entry in files.items():
        url = await services.storage.presign(f"{prefix}/{name}", PRESIGNED_SECONDS)
        found.append({"name": name, **entry.model_dump(), "url": url, "expires_at": until if url else None})
    return found


async def zipped(services: Services, prefix: str, name: str) -> StreamingResponse:
    """The zip is made while it is sent: one GET with a key is what curl and browsers do.

    A presigned zip would have to lie in storage beside the files, twice the bytes of every adapter.
    """
    files = await files_of(services, prefix)
    headers = {"content-disposition": f'attachment; filename="{name}.zip"'}
    chunks = await start_reading(zips.stream(services.storage, prefix, list(files)))
    return StreamingResponse(chunks, media_type="application/zip", headers=headers)
