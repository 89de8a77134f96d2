import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """One that every user of the machine may enter: pytest's own lie under a folder that only we may."""
    folder = Path(tempfile.mkdtemp(prefix="fettle-public-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
