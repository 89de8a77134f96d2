from pathlib import Path

import pytest

from fettle.storage.local import LocalStorage
from tests.fettle.rollouts.chunks import STEPS, Stored, store


@pytest.fixture
async def stored(tmp_path: Path) -> Stored:
    storage = LocalStorage(tmp_path)
    return storage, [await store(storage, step, found) for step, found in STEPS.items()]
