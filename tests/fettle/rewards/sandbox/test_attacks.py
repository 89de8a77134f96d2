import os
import shutil
import socket
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fettle.rewards.sandbox import Limits, Sandbox, Walls, walls_of
from tests.fettle.rewards.sandbox.attacks import BY_LANGUAGE, FAIR, HARMLESS, NAMES

pytestmark = pytest.mark.slow  # many wait for a limit of time

LIMITS = Limits(seconds=1.5, memory_bytes=1 << 30)
CASES = [(language, name) for language, attacks in BY_LANGUAGE.items() for name in attacks]


@pytest.fixture
def targets(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """What the attacks would reach if nothing held them: every one is real."""
    secret = tmp_path / "secret"
    secret.write_text("canary")
    secret.chmod(0o644)
    tmp_path.chmod(0o777)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield {
            "port": listener.getsockname()[1],
            "secret": str(secret),
            "target": str(tmp_path / "target"),
            "folder": str(tmp_path),
            "parent": os.getpid(),
            "ours": str(Path(__file__).parents[4]),
            "installed": sysconfig.get_path("platlib"),
        }


@pytest.fixture(params=["the minimum", "all that works here"])
def everywhere(request: pytest.FixtureRequest) -> dict[str, Walls]:
    """The walls around each language."""
    if request.param == "the minimum":
        return dict.fromkeys(BY_LANGUAGE, Walls())
    if walls_of() == Walls():
        pytest.skip("neither bubblewrap nor a memory group can be had here")
    return {language: walls_of(language) for language in BY_LANGUAGE if language == "python" or shutil.which("node")}


@pytest.mark.parametrize(("language", "name"), CASES)
def test_the_attack_gets_nothing_and_the_next_sample_is_graded(
    language: str, name: str, everywhere: dict[str, Walls], targets: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    if language == "javascript" and shutil.which("node") is None:
        pytest.skip("there is no Node.js here")
    monkeypatch.setenv("FETTLE_CANARY", "canary")
    attack = BY_LANGUAGE[language][name] + FAIR[language]
    before = set(Path(targets["folder"]).iterdir())
    with Sandbox(attack, LIMITS, NAMES[language], language=language, walls=everywhere[language]) as sandbox:
        attacked, after = sandbox.grade([({}, targets), ({}, None)])
    assert attacked.value in (None, 0.0, HARMLESS.get(name)), attacked
    assert attacked.value is not None or attacked.error
    assert after.value == 0.25, after
    assert set(Path(targets["folder"]).iterdir()) == before
    assert len(attacked.printed) < 5000
