"""GRPO (Shao et al. 2024, DeepSeekMath, section 4.1): what a completion's reward is above its group's mean, it gains.

The scorer, outside, gives the rewards.
"""

import json
import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from peft import PeftModel
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from fettle.datasets.formats.render import Renderer
from worker.training.data import prompts, remaining_rows
from worker.training.distributed import ranks
from worker.training.process.channel import Channel
from worker.training.process.job_spec import Work
from worker.training.rl import group_setup, tools
from worker.training.rl.episodes import Episode, play
from worker.training.rl.group_trainer import GroupTrainer
from worker.training.rl.policy_pass import PolicyPass
from worker.training.rl.rollouts import Scorer
from worker.training.rl.sampling.progress import Progress
from worker.training.source import Source

CISPO_EPSILON_HIGH = 5.0  # it clips the ratio itself: 1 + 0.2 would hardly let a token rise


class GRPO(GroupTrainer, PolicyPass, GRPOTrainer):  # type: ignore[misc]  # TRL types its members more narrowly
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.toolset = tools.of(self.work, self.renderer, self.ends, self.channel)
        self.grammar = group_setup.grammar_of(self.work, self.channel, self.renderer, self.ends, self.toolset)
        if self.toolset is not None:
            self.rollout_func = self.play
        self.advantages: Sequence[float] = []  # of the newest rollouts of all ranks
        self.kl: dict[int, float] = {}  # of those that the loss has seen, by their number

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        self.episodes = [] if self.toolset is None else self.begun(inputs)
        return super()._generate_and_score_completions(inputs)

    def begun(self, inputs: list[dict[str, Any]]) -> list[Episode]:
        prompts = self.encoded([line["prompt"] for line in inputs])
        messages = [json.loads(line["messages"]) for line in inputs]
        return [Episode(*each) for each in zip(messages, prompts, self.seeds(len(inputs)), strict=True)]

    def play(self, prompts: list[str], _: Any) -> dict[str, Any]:
        """TRL's `rollout_func`: the tokens of whole episodes, and by its env_mask which of them are to be learned."""
        assert self.toolset is not None  # noqa: S101 — set where this is
        network, copies = cast(PeftModel, self.model), math.gcd(len(self.episodes), int(self.num_generations or 1))
        play(network, self.episodes, copies, self.sampling, self.toolset, Progress(self.channel))
        everyones = ranks.gathered([(episode.calls, episode.failures) for episode in self.episodes])
        calls, failures = (sum(column) for column in zip(*everyones, strict=True))
        found = self._metrics["train"]
        found["tools/call_frequency"].append(calls / len(everyones))
        found["tools/failure_frequency"].append(failures / calls if calls else 0.0)
        return {
            "prompt_ids": [episode.prompt for episode in self.episodes],
            "completion_ids": [episode.ids for episode in self.episodes],
            "logprobs": None,
            "env_mask": [[int(own) for own in episode.own] for episode in self.episodes],
        }

    def keep(self, batch: dict[str, Any], advantages: Sequence[float]) -> None:
        if self.beta == 0:
            super().keep(batch, advantages)
            return
        # The loss computes what the policy says of them; it gets them shuffled, and perhaps a few at a time
        rows = len(batch["completion_ids"])
        first = self.accelerator.process_index * rows
        batch["rollouts_B"] = torch.arange(first, first + rows, device=self.accelerator.device)
        self.advantages, self.kl = advantages, {}

    def _get_per_token_logps_and_entropies(self, *args: Any, **options: Any) -> Any:
        found = super()._get_per_token_logps_and_entropies(*args, **options)
        self.logprobs_BT = found[0].detach()
        return found

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Any:
        loss = super()._compute_loss(model, inputs)  # type: ignore[no-untyped-call]  # TRL's
        if self.beta != 0:
            self.note_kl(self.logprobs_BT, inputs)
        return loss

    def note_kl(self, logprobs_BT: torch.Tensor, inputs: dict[str, Any]) -> None:
        """KL to the reference, nats, summed over a completion's tokens: Schulman's k3 estimate, TRL's own.

        logprobs_BT: the policy's, of the tokens in `inputs`. Has the rollouts stored once all of the step's are known.
        """
        log_ratio_BT = inputs["ref_per_token_logps"] - logprobs_BT
        kl_BT = (log_ratio_BT.exp() - log_ratio_BT - 1) * inputs["completion_mask"]
        kl_B = (kl_BT * inputs.get("tool_mask", 1)).sum(-1)
        numbers, values = self.accelerator.gather((inputs["rollouts_B"], kl_B))
        self.kl |= dict(zip(numbers.tolist(), values.tolist(), strict=True))
        if len(self.kl) == len(self.advantages):
            kl = [self.kl[number] for number in range(len(self.kl))]
            self.judge.stored(self.state.global_step + 1, self.advantages, kl)

    def _generate_single_turn(
        self, prompt_ids: list[list[int]], *rest: Any, **options: Any
    ) -> tuple[list[list[int]], list[list[float]] | None]:
        if (drawn := self.drawn(prompt_ids)) is not None:
            return drawn, None
        theirs: Any = super()._generate_single_turn
        return cast(tuple[Any, Any], theirs(prompt_ids, *rest, **options))


def build(work: Work, channel: Channel) -> GRPO:
    """Raises TrainingFailed when the files cannot be trained on, Stopped when a stop comes first."""
    renderer = Renderer(work.base_path)
    shown = tools.definitions(work)
    found = prompts.load("training_file", work, renderer, channel, prompts.rows_of(work.train, shown))
    train, valid = found.dataset, None
    if work.valid:
        rows = prompts.rows_of(work.valid, shown)
        valid = prompts.load("validation_file", work, renderer, channel, rows, found).dataset
    work = remaining_rows.resolve(work, len(train), channel)
    asked = work.hyperparameters
    prompts.refuse_too_few(len(train), asked["batch_size"])
    return GRPO(
        args=GRPOConfig(
            **group_setup.arguments_of(work), beta=asked["kl_beta"], **loss(asked["loss_type"], asked["epsilon"])
        ),
        source=Source.of_prompts(found, rows=True),
        make_judge=lambda _: Scorer(channel),
        **group_setup.parts_of(work, channel, renderer, train, valid),
    )


def loss(loss_type: str, epsilon: float) -> dict[str, Any]:
    """TRL's options for a loss of this name."""
    options: dict[str, Any] = {"loss_type": loss_type, "epsilon": epsilon}
    if loss_type == "gspo":
        options |= {"loss_type": "grpo", "importance_sampling_level": "sequence"}
    if loss_type == "cispo":
        options["epsilon_high"] = CISPO_EPSILON_HIGH
    if loss_type == "dr_grpo":
        options["scale_rewards"] = "none"
    return options
