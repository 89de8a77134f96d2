"""The evaluation's limits, and what its failure costs. What it says of a whole run: `test_run`."""

from dataclasses import dataclass, field
from typing import Any, NoReturn, cast

import pytest
from peft import PeftModel

from fettle.datasets.formats.render import Renderer
from tests.worker.training.children import Line, contents, of, rows, work_folder
from worker.training import loop
from worker.training.evaluation import base_against_tuned
from worker.training.evaluation.token_loss import HeldOut
from worker.training.methods import supervised
from worker.training.process.channel import SocketChannel, Stopped
from worker.training.process.job_spec import Work
from worker.training.trainer import Tuner

pytestmark = pytest.mark.slow

VALID_ROWS = 16


class Recorder(SocketChannel):
    def __init__(self) -> None:
        super().__init__(None)
        self.lines: list[Line] = []

    def send(self, type: str, **fields: Any) -> None:
        self.lines.append({"type": type, **fields})


@dataclass
class Run:
    """A whole run in this process, whose evaluation failed."""

    work: Work
    channel: Recorder = field(default_factory=Recorder)
    trainers: list[Any] = field(default_factory=list)

    @property
    def trainer(self) -> Any:
        return self.trainers[0]

    @property
    def held_out(self) -> HeldOut:
        return cast(HeldOut, self.trainer.held_out)

    @property
    def network(self) -> PeftModel:
        return cast(PeftModel, self.trainer.model).eval()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("evaluation") / "work"
    run = Run(Work.read(work_folder(folder, rows(8), rows(VALID_ROWS, "held_out"))))

    def fail(trainer: Tuner, *_: object) -> NoReturn:
        run.trainers.append(trainer)
        raise RuntimeError("no kernel")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(supervised.SupervisedTrainer, "compare", fail)
        loop.run(run.work, run.channel)
    return run


def test_an_evaluation_that_fails_costs_a_warning_and_not_the_adapter(run: Run) -> None:
    warning, done = run.channel.lines[-2:]
    assert (warning["type"], warning["level"]) == ("event", "warn")
    assert warning["message"] == "The tuned model could not be evaluated (RuntimeError); the adapter is not affected."
    assert (done["type"], done["path"], done["step"]) == ("done", "out/adapter", 1)
    assert "adapter_model.safetensors" in contents(run.work.adapter)
    assert of("evaluation", run.channel.lines) == []


class TestTime:
    def test_without_a_limit_all_rows_are_scored_and_every_sample_answered(self, run: Run) -> None:
        channel = Recorder()
        base_against_tuned.evaluate(run.network, run.held_out, run.work, channel, step=1)
        (line,) = channel.lines
        assert line["data"]["rows"] == line["data"]["rows_in_file"] == VALID_ROWS
        assert all({"base", "tuned"} <= sample.keys() for sample in line["data"]["samples"])

    def test_when_scoring_takes_too_long_both_are_scored_on_the_same_rows(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(base_against_tuned, "SCORING_SECONDS", -1.0)
        assert len(run.held_out.groups) > 1
        base, tuned = base_against_tuned.scores(run.network, run.held_out, Recorder(), seed=7)
        assert 0 < tuned.rows < VALID_ROWS
        assert (base.rows, base.tokens) == (tuned.rows, tuned.tokens)

    def test_when_decoding_takes_too_long_there_are_losses_and_no_answers(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(base_against_tuned, "SAMPLING_SECONDS", -1.0)
        channel = Recorder()
        base_against_tuned.evaluate(run.network, run.held_out, run.work, channel, step=1)
        (line,) = channel.lines
        assert line["data"]["tuned"]["loss"] > 0
        assert line["data"]["tuned"]["exact_match"] is None
        assert [sample.keys() for sample in line["data"]["samples"]] == [
            {"prompt", "expected"}
        ] * base_against_tuned.SAMPLES


class TestStop:
    def test_a_stop_is_heard_between_the_parts(self, run: Run) -> None:
        channel = Recorder()
        channel.stop.set()
        with pytest.raises(Stopped):
            base_against_tuned.evaluate(run.network, run.held_out, run.work, channel, step=1)
        assert channel.lines == []

    def test_a_stop_ends_decoding_after_a_token(self, run: Run) -> None:
        channel = Recorder()
        channel.stop.set()
        renderer = Renderer(run.work.base_path)
        prompts = [renderer.prompt([{"role": "user", "content": "1 + 1 ="}])]
        halt = base_against_tuned.Halt(channel, deadline=float("inf"))
        (said,) = base_against_tuned.greedy(run.network, renderer, prompts, room=64, halt=halt)
        assert len(renderer.tokenizer.encode(said).ids) <= 1

    def test_a_stop_is_no_failure_of_the_evaluation(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        channel = Recorder()
        channel.stop.set()
        monkeypatch.setattr(run.trainer, "channel", channel)
        with pytest.raises(Stopped):
            loop.evaluate(run.trainer, run.work, channel, step=1)
        assert channel.lines == []
