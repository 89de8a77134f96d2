import os
import socket
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fettle.rewards.sandbox import Limits, Sandbox
from tests.fettle.rewards.sandbox.attacks import ATTACKS, HARMLESS

LIMITS = Limits(seconds=1.5, memory_bytes=1 << 30)


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


@pytest.mark.parametrize("name", ATTACKS)
def test_the_attack_gets_nothing_and_the_next_sample_is_graded(
    name: str, targets: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FETTLE_CANARY", "canary")
    attack = f"{ATTACKS[name]}\nattack = grade\n" + (
        "def grade(sample, item):\n    return 0.25 if item is None else attack(sample, item)\n"
    )
    before = set(Path(targets["folder"]).iterdir())
    with Sandbox(attack, LIMITS) as sandbox:
        attacked, after = sandbox.grade([({}, targets), ({}, None)])
    assert attacked.value in (None, 0.0, HARMLESS.get(name)), attacked
    assert attacked.value is not None or attacked.error
    assert after.value == 0.25, after
    assert set(Path(targets["folder"]).iterdir()) == before
    assert len(attacked.printed) < 5000
