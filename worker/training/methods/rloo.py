"""RLOO against a reward model (Ahmadian et al. 2024): a completion gains what it earns above its siblings' mean.

The KL to where the policy began is part of what it earns. TRL generates and takes the step.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, cast

import torch
from accelerate.utils import gather
from datasets import Dataset
from peft import PeftModel
from trl.trainer.rloo_config import RLOOConfig
from trl.trainer.rloo_trainer import RLOOTrainer

from fettle.datasets.formats.render import Renderer
from worker.training import arguments, probe
from worker.training.distributed import ranks
from worker.training.evidence import Source
from worker.training.methods import rlhf
from worker.training.methods.ppo import PPO
from worker.training.model import lm_head, loading
from worker.training.model.reward_adapter import Files
from worker.training.process.channel import Channel
from worker.training.process.job_spec import Work
from worker.training.rl.group_trainer import GroupTrainer
from worker.training.rl.ppo.policy import REFERENCE
from worker.training.rl.reward_model_judge import Before, Carried
from worker.training.rl.sampling import colocated
from worker.training.rl.sampling.completions import Sampling


class RLOO(GroupTrainer, RLOOTrainer):  # type: ignore[misc]  # TRL types its members more narrowly
    """carried, sampling: set before it trains."""

    no_spread = "the reward model gave the completions of every group one and the same score"
    judged_param = "method.rlhf.reward_model"
    nothing_learned = PPO.nothing_learned
    carried: Carried
    sampling: Sampling
    looks: ClassVar[list[torch.Tensor]] = []

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        self.looks.clear()
        return super()._generate_and_score_completions(inputs)

    def _get_per_token_logps_and_entropies(self, *args: Any, **options: Any) -> Any:
        found = super()._get_per_token_logps_and_entropies(*args, **options)
        if not torch.is_grad_enabled():
            self.looks.append(found[0])
        return found

    def keep(self, batch: dict[str, Any], advantages: Sequence[float]) -> None:
        """KL: ln π − ln ρ, which TRL reckons first and second. It reports a token's mean, we a completion's."""
        kl_B: list[float] | None = None
        if len(self.looks) >= 2:
            kl_BT = (self.looks[0] - self.looks[1]) * batch["completion_mask"]
            kl_B = gather(kl_BT.sum(-1)).tolist()
            self._metrics["train"]["kl"][-1] = sum(kl_B) / len(kl_B)
        self.judge.stored(self.state.global_step + 1, advantages, kl_B)

    def _generate_single_turn(self, prompt_ids: list[list[int]], *rest: Any, **options: Any) -> list[list[int]]:
        if (drawn := self.drawn(prompt_ids)) is not None:
            return drawn
        theirs: Any = super()._generate_single_turn
        return cast(list[list[int]], theirs(prompt_ids, *rest, **options))

    def _save_checkpoint(self, *args: Any) -> None:
        super()._save_checkpoint(*args)
        if ranks.first():
            self.carried.put_into(self.checkpoint)

    def compare(self, work: Work, step: int) -> None:
        network, valid = cast(PeftModel, self.model), cast(Dataset, self.eval_dataset)
        moved = rlhf.kl(network, self.renderer, valid, work.seed, self.sampling)
        self.evaluation().compare(valid, step, {"kl": moved})


def build(work: Work, channel: Channel, *, files: Files, before: Before) -> RLOO:
    """Raises TrainingFailed when the files cannot be trained on, Stopped when a stop comes first."""
    lm_head.score_labels_only()
    renderer = Renderer(work.base_path)
    work, found, valid = rlhf.load(work, renderer, channel)
    asked = work.hyperparameters
    train = found.dataset
    completions = replace(work, hyperparameters={**asked, "batch_size": asked["batch_size"] * asked["group_size"]})
    args = RLOOConfig(
        **colocated.options(asked["max_seq_length"], on_gpu=torch.cuda.is_available()),
        **arguments.shared(completions) | {"include_num_input_tokens_seen": "no"},  # TRL counts them itself
        num_generations=asked["group_size"],
        num_generations_eval=asked["eval_samples"],
        max_completion_length=asked["max_completion_tokens"],
        temperature=asked["temperature"],
        beta=asked["kl_coefficient"],
        epsilon=asked["clip"],
    )
    tuner = RLOO(
        work=work,
        channel=channel,
        renderer=renderer,
        model=loading.network(completions, channel),
        args=args,
        train_dataset=train,
        eval_dataset=valid,
        processing_class=loading.tokenizer(work.base_path),
    )
    network = cast(PeftModel, tuner.model)
    if work.start is None and REFERENCE in network.peft_config:  # a copy of a fresh adapter says what the base says
        network.delete_adapter(REFERENCE)
    tuner.sampling = Sampling(
        asked["max_completion_tokens"], frozenset(tuner.eos_token_ids), renderer.pad_id, asked["temperature"]
    )
    tuner.judge, tuner.carried = rlhf.judging(work, channel, network, files, before, train, tuner.sampling, renderer)
    tuner.source = Source.of_prompts(found)
    tuner.probe_rows = rlhf.encoded(renderer, train, probe.ROWS)
    return tuner
