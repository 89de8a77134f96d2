from pathlib import Path

import pytest

from fettle.cli.client import Client
from tests.fettle.cli.conftest import Shell


class TestDryRun:
    FOUND: dict[str, object] = {  # noqa: RUF012
        "object": "fine_tuning.dry_run",
        "model": "starter",
        "prompts": 2,
        "samples": 2,
        "refused": 0,
        "unfinished": 1,
        "completions": 3,
        "groups": 1,
        "rewards": {"mean": 0.0, "std": 0.0, "min": 0.0, "max": 0.0},
        "scores": {"mine": {"mean": 0.0, "std": 0.0, "min": 0.0, "max": 0.0}},
        "dead_groups": 1.0,
        "errors": 0.25,
        "cut_off": 0.25,
        "completion_length_mean": 12.4,
        "warnings": [{"code": "nothing_earned", "message": "No completion earned anything: take easier prompts."}],
        "seconds": {"generation": 2, "generation_per_sample": 0.9, "scoring": 0.1, "scoring_per_sample": 0.033},
        "failures": [{"grader": "mine", "message": "line 2, in reward\nZeroDivisionError", "count": 1}],
        "examples": [
            {
                "prompt": [{"role": "user", "content": "1 + 1 ="}],
                "completion": "three \x1b[2J",
                "reward": 0.0,
                "scores": {"mine": 0.0},
                "stop_reason": "length",
            }
        ],
    }

    def test_it_shows_the_finding_and_exits_with_1_when_nothing_would_be_learned(
        self, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[object] = []

        def post(self: Client, path: str, body: object) -> object:
            asked.append((path, body))
            return TestDryRun.FOUND

        monkeypatch.setattr(Client, "post", post)
        monkeypatch.setenv("FETTLE_API_KEY", "fk_x")
        job = tmp_path / "job.json"
        job.write_text('{"model": "starter"}')
        code, out, _ = shell.run("dry-run", str(job), "--prompts", "2")
        assert asked == [("/v1/fine_tuning/dry_runs", {"model": "starter", "prompts": 2})]
        assert code == 1
        for shown in (
            "starter: 2 prompts × 2 completions of 12 tokens on average. Written in 2.0 s (0.90 s each, several at a",
            "100% of 1 groups are dead: all their rewards are equal. 1 completions were not done in time.",
            "0.00  mine 0.00, cut off\n1 + 1 =\nthree �[2J\n",
            "1 × mine: line 2, in reward\nZeroDivisionError",
            "! No completion earned anything: take easier prompts.",
        ):
            assert shown in out

    def test_a_file_that_is_no_job_is_named(self, shell: Shell, tmp_path: Path) -> None:
        job = tmp_path / "job.json"
        job.write_text("{")
        assert "is not JSON" in shell.refused("dry-run", str(job))
        assert "cannot be read: No such file" in shell.refused("dry-run", str(job) + "x")
        job.write_text("[]")
        assert "does not contain a JSON object" in shell.refused("dry-run", str(job))
