"""A zip file made while it is sent: nothing is held in memory but a chunk."""

import io
import zipfile
from collections.abc import AsyncIterator, Sequence

from fettle.storage import Storage


class Outlet(io.RawIOBase):
    """Takes what zipfile writes until it is collected; not seekable, as a response is not."""

    def __init__(self) -> None:
        self.pending = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]  # zipfile gives bytes
        self.pending += data
        return len(data)

    def collect(self) -> bytes:
        out = bytes(self.pending)
        self.pending.clear()
        return out


async def stream(storage: Storage, prefix: str, names: Sequence[str]) -> AsyncIterator[bytes]:
    outlet = Outlet()
    with zipfile.ZipFile(outlet, "w", zipfile.ZIP_STORED) as archive:
        for name in names:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o644 << 16
            entry.extract_version = zipfile.ZIP64_VERSION  # Python before 3.11.4 does not say so by itself
            with archive.open(entry, "w", force_zip64=True) as target:
                async for chunk in storage.stream(f"{prefix}/{name}"):
                    target.write(chunk)
                    yield outlet.collect()
    yield outlet.collect()
