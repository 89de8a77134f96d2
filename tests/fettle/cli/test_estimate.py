from pathlib import Path
from typing import Any, ClassVar

import pytest

from fettle.cli.client import Client
from tests.fettle.cli.conftest import Shell


class TestEstimate:
    FOUND: ClassVar[dict[str, Any]] = {
        "steps": 1200,
        "tokens": 35_000,
        "tokens_from": "sample",
        "seconds": {"likely": 240.0, "low": 80.0, "high": 7200.0},
        "basis": "The speed of 'supervised' is from 1 earlier job on 'starter'.",
        "cost": {"likely": 1.5, "low": 1.0, "high": 2.0, "currency": "EUR"},
        "queue": {"seconds": 0.0, "message": "A slot is free. The job would start at once."},
        "memory": {"fits": True, "message": "About 0.67 GiB are needed, and the CPU has 23.54 GiB."},
    }

    def asked(self, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **changed: Any) -> tuple[int, str]:
        monkeypatch.setattr(Client, "post", lambda *_: {**self.FOUND, **changed})
        monkeypatch.setenv("FETTLE_API_KEY", "fk_x")
        job = tmp_path / "job.json"
        job.write_text('{"model": "starter"}')
        code, out, _ = shell.run("estimate", str(job))
        return code, out

    def test_it_says_what_the_job_would_take(
        self, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        code, out = self.asked(shell, tmp_path, monkeypatch)
        assert code == 0
        for shown in (
            "1,200",
            "35,000 (counted in a sample)",
            "4 min (between 80 s and 2.0 h).",
            "A slot is free.",
            "About 0.67 GiB are needed",
            "1.50 EUR (between 1.00 and 2.00)",
        ):
            assert shown in out

    def test_it_exits_with_1_when_the_job_does_not_fit(
        self, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        memory = {"fits": False, "message": "Too much."}
        unknown = "No job has finished on these workers yet, so the time is not known."
        code, out = self.asked(
            shell, tmp_path, monkeypatch, memory=memory, seconds=None, basis=unknown, cost=None, tokens_from="file_size"
        )
        assert code == 1
        assert "Too much." in out and "cost" not in out
        assert "from the file's size" in out and "the time is not known" in " ".join(out.split())
