"""Object storage: datasets, checkpoints, adapters. One protocol, a local folder and S3 behind it."""

from fettle.settings import Settings
from fettle.storage.local import LocalStorage
from fettle.storage.protocol import Away, Missing, Refused, Storage

__all__ = ["Away", "LocalStorage", "Missing", "Refused", "Storage", "open_storage"]


def open_storage(settings: Settings) -> Storage:
    """The storage that the settings name."""
    if settings.storage.startswith("s3://"):
        from fettle.storage.s3 import S3Storage  # boto3 takes a quarter of the API's start

        return S3Storage(settings)
    return LocalStorage(settings.storage)
