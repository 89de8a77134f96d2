"""Which objects a database names: what a backup needs of storage."""

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import select

from fettle.backups.database import reader
from fettle.datasets import uploads
from models import Checkpoint, ChunkedUpload, File, RolloutChunk, TunedModel, UploadPart, UploadStatus

ROWS = 500  # in memory at once


def objects(dump: Path, at: float) -> Iterator[str]:
    """Keys of files, rollouts and parts. at: seconds since 1970; an upload that has expired by then has no parts."""
    going = (ChunkedUpload.status == UploadStatus.PENDING) & (ChunkedUpload.expires_at > at)
    parts = select(ChunkedUpload.project_id, ChunkedUpload.id, UploadPart.id).join_from(
        UploadPart, ChunkedUpload, UploadPart.upload_id == ChunkedUpload.id
    )
    with reader(dump).connect() as connection:
        single = select(File.storage_key).union(select(RolloutChunk.storage_key))
        yield from connection.execute(single.execution_options(yield_per=ROWS)).scalars()
        for project_id, upload_id, part_id in connection.execute(parts.where(going).execution_options(yield_per=ROWS)):
            yield uploads.part_key(ChunkedUpload(id=upload_id, project_id=project_id), part_id)


def folders(dump: Path) -> Iterator[str]:
    """Prefixes of checkpoints and adapters, which have manifests."""
    with reader(dump).connect() as connection:
        named = select(Checkpoint.prefix).union(select(TunedModel.prefix))
        yield from connection.execute(named.execution_options(yield_per=ROWS)).scalars()
