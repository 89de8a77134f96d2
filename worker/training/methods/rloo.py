"""RLOO against a reward model (Ahmadian et al. 2024): a completion gains what it earns above its siblings' mean.

The KL to where the policy began is part of what it earns. TRL generates and takes the step.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from accelerate.utils import gather
from datasets import Dataset
from peft import PeftModel
from trl.trainer.rloo_config import RLOOConfig
from trl.trainer.rloo_trainer import RLOOTrainer

from fettle.datasets.formats.render import Renderer
from worker.training.distributed import ranks
from worker.training.methods import rlhf
from worker.training.methods.ppo import PPO
from worker.training.model.reward_adapter import Files
from worker.training.process.channel import Channel
from worker.training.process.job_spec import Work
from worker.training.rl import group_setup
from worker.training.rl.group_trainer import GroupTrainer
from worker.training.rl.policy_pass import PolicyPass
from worker.training.rl.ppo.policy import REFERENCE, is_reference
from worker.training.rl.reward_model_judge import Before, RewardModelJudge
from worker.training.source import Source


class RLOO(GroupTrainer, PolicyPass, RLOOTrainer):  # type: ignore[misc]  # TRL types its members more narrowly
    no_spread = "the reward model gave the completions of every group one and the same score"
    judged_param = "method.rlhf.reward_model"
    nothing_learned = PPO.nothing_learned
    judge: RewardModelJudge
    policy_BT: torch.Tensor | None = None  # log-probabilities of the newest completions
    reference_BT: torch.Tensor | None = None

    def _get_per_token_logps_and_entropies(self, *args: Any, **options: Any) -> Any:
        found = super()._get_per_token_logps_and_entropies(*args, **options)
        if not torch.is_grad_enabled():  # before the step; the loss computes them again
            if is_reference(cast(PeftModel, self.model)):
                self.reference_BT = found[0]
            else:
                self.policy_BT = found[0]
        return found

    def keep(self, batch: dict[str, Any], advantages: Sequence[float]) -> None:
        """KL: ln π − ln ρ, where there is a price on it. TRL reports a token's mean, we a completion's."""
        kl_B: list[float] | None = None
        if self.policy_BT is not None and self.reference_BT is not None:
            kl_BT = (self.policy_BT - self.reference_BT) * batch["completion_mask"]
            kl_B = gather(kl_BT.sum(-1)).tolist()
            self._metrics["train"]["kl"][-1] = sum(kl_B) / len(kl_B)
        self.policy_BT = self.reference_BT = None
        self.judge.stored(self.state.global_step + 1, advantages, kl_B)

    def _generate_single_turn(self, prompt_ids: list[list[int]], *rest: Any, **options: Any) -> list[list[int]]:
        if (drawn := self.drawn(prompt_ids)) is not None:
            return drawn
        theirs: Any = super()._generate_single_turn
        return cast(list[list[int]], theirs(prompt_ids, *rest, **options))

    def _save_checkpoint(self, *args: Any) -> None:
        super()._save_checkpoint(*args)
        if ranks.first():
            self.judge.carried.put_into(self.checkpoint)

    def compare(self, work: Work, step: int) -> None:
        network, valid = cast(PeftModel, self.model), cast(Dataset, self.eval_dataset)
        moved = rlhf.kl(network, self.renderer, valid, work.seed, self.sampling)
        self.evaluation().compare(valid, step, {"kl": moved})


def build(work: Work, channel: Channel, *, files: Files, before: Before) -> RLOO:
    """Raises TrainingFailed when the files cannot be trained on, Stopped when a stop comes first."""
    renderer = Renderer(work.base_path)
    work, found, valid = rlhf.load(work, renderer, channel)
    asked = work.hyperparameters

    def make_judge(trainer: GroupTrainer) -> RewardModelJudge:
        network = cast(PeftModel, trainer.model)
        if work.start is None and REFERENCE in network.peft_config:  # a copy of a fresh adapter equals the base
            network.delete_adapter(REFERENCE)
        return rlhf.judge(work, channel, network, files, before, found.dataset, trainer.sampling, renderer)

    return RLOO(
        args=RLOOConfig(**group_setup.arguments_of(work), beta=asked["kl_coefficient"], epsilon=asked["clip"]),
        source=Source.of_prompts(found),
        make_judge=make_judge,
        **group_setup.parts_of(work, channel, renderer, found.dataset, valid),
    )
