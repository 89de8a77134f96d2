"""The trainings that a job is made of: one, but for `rlhf`, whose policy follows on its reward model."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from fettle.datasets.formats.render import Renderer
from worker.training.distributed import ranks
from worker.training.methods import METHODS, ppo, rlhf, rloo
from worker.training.model.reward_adapter import Files
from worker.training.process.channel import Channel
from worker.training.process.job_spec import Work, with_defaults
from worker.training.rl.reward_model_judge import STATE, Before
from worker.training.trainer import Tuner

REWARD_MODEL, POLICY = "reward_model", "policy"
ALGORITHMS: dict[str, Callable[..., Tuner]] = {"ppo": ppo.build, "rloo": rloo.build}
TITLES = {REWARD_MODEL: "Reward model", POLICY: "Policy"}


@dataclass(frozen=True)
class Outcome:
    """step: that it ended with. kept_step: whose adapter is published. proof: what it can show for itself."""

    step: int
    kept_step: int
    trained_tokens: int
    proof: dict[str, Any]


@dataclass(frozen=True)
class Phase:
    """then: what follows; the last one says that the job is done."""

    work: Work
    channel: Channel
    build: Callable[[Work, Channel], Tuner]
    then: Callable[[Outcome], "Phase | None"]


class PhaseChannel(Channel):
    """The channel of one phase: its steps are counted after those before it, and every line names the phase.

    steps_after: of the phases to come.
    """

    def __init__(self, channel: Channel, name: str, before: Before, steps_after: int) -> None:
        super().__init__(channel.stop, channel.answers)
        self.channel, self.name, self.before, self.steps_after = channel, name, before, steps_after

    def send(self, type: str, **fields: Any) -> None:
        self.channel.send(type, **self.placed(type, fields))

    def conclude(self, type: str, **fields: Any) -> None:
        self.channel.conclude(type, **self.placed(type, fields))

    def placed(self, type: str, fields: dict[str, Any]) -> dict[str, Any]:
        placed = self.after_before(fields)
        if "total_steps" in placed:
            placed["total_steps"] += self.before.steps + self.steps_after
        if type == "event":
            placed["message"] = f"{TITLES[self.name]}: {placed['message']}"
        if (shown := SHOWN_FIELDS.get(type)) is not None:
            placed[shown] = {**self.after_before(placed[shown]), "phase": self.name}
        return placed

    def after_before(self, fields: dict[str, Any]) -> dict[str, Any]:
        earlier = {"step": self.before.steps, "kept_step": self.before.steps}
        earlier |= {"tokens": self.before.tokens, "trained_tokens": self.before.tokens}
        return {name: value + earlier[name] if name in earlier else value for name, value in fields.items()}


# A line's type → the field that users see
SHOWN_FIELDS = {"event": "data", "metrics": "data", "evaluation": "data", "checkpoint": "metrics"}


def first(work: Work, channel: Channel) -> Phase:
    """The phase that the job begins with, or continues in. Raises TrainingFailed for files that none could train on."""
    return SEVERAL[work.method](work, channel) if work.method in SEVERAL else only(work, channel)


def only(work: Work, channel: Channel) -> Phase:
    return Phase(work, channel, METHODS[work.method], partial(done, work, channel))


def of_rlhf(work: Work, channel: Channel) -> Phase:
    if work.resume and (work.resume / STATE).exists():
        known = json.loads((work.resume / STATE).read_text())
        before = Before(**known["before"])
        files = Files.carried(work.resume) if before.steps else given(work)
        return policy(work, channel, files, before, goes_on=True)
    if work.reward_model:
        return policy(work, channel, given(work), Before(0, 0), goes_on=False)
    return reward_model(work, channel)


def given(work: Work) -> Files:
    assert work.reward_model is not None  # noqa: S101 — a job without one trains its own
    return Files.published(work.reward_model)


def reward_model(work: Work, channel: Channel) -> Phase:
    """From the job's comparisons; its adapter is new whatever the policy goes on from."""
    asked = with_defaults(work.options["reward_model_hyperparameters"])
    own = replace(work, method=REWARD_MODEL, hyperparameters=asked, phase=REWARD_MODEL, fresh=True)
    channel.event("Phase 1 of 2: the reward model learns from the comparisons.", {"phase": REWARD_MODEL})
    steps_after = rlhf.steps(work, Renderer(work.base_path))

    def then(outcome: Outcome) -> Phase:
        path = own.adapter.relative_to(work.folder).as_posix()
        channel.send("reward_model", path=path, step=outcome.step, proof=outcome.proof)
        ranks.replicate(own.adapter)  # once the first has published it
        before = Before(outcome.step, outcome.trained_tokens)
        return policy(work, channel, Files.published(own.adapter), before, goes_on=False)

    return Phase(own, PhaseChannel(channel, REWARD_MODEL, Before(0, 0), steps_after), METHODS[REWARD_MODEL], then)


def policy(work: Work, channel: Channel, files: Files, before: Before, *, goes_on: bool) -> Phase:
    """goes_on: from a checkpoint of the policy."""
    algorithm = work.options["algorithm"]
    number = "Phase 2 of 2: the" if before.steps else "The"
    channel.event(f"{number} policy learns from the reward model, by {algorithm.upper()}.", {"phase": POLICY})
    own = replace(work, phase=POLICY, goes_on=goes_on)
    spoken = PhaseChannel(channel, POLICY, before, 0)
    build = partial(ALGORITHMS[algorithm], files=files, before=before)
    return Phase(own, spoken, build, partial(done, own, spoken))


def done(work: Work, channel: Channel, outcome: Outcome) -> None:
    channel.conclude(
        "done",
        path=work.adapter.relative_to(work.folder).as_posix(),
        step=outcome.step,
        kept_step=outcome.kept_step,
        trained_tokens=outcome.trained_tokens,
        proof=outcome.proof,
    )


# Methods of more than one phase → their first one
SEVERAL: dict[str, Callable[[Work, Channel], Phase]] = {"rlhf": of_rlhf}
