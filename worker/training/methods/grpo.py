"""GRPO (Shao et al. 2024, DeepSeekMath, section 4.1): what a completion's reward is above its group's mean, it gains.

The scorer, outside, gives the rewards.
"""

from dataclasses import replace
from typing import Any

from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from fettle.formats.render import Renderer
from worker.training import arguments, lm_head, loading, prompts
from worker.training.channel import Channel
from worker.training.groups import GroupTrainer
from worker.training.scored import Scorer
from worker.training.work import Work

CISPO_EPSILON_HIGH = 5.0


class GRPO(GroupTrainer, GRPOTrainer):  # type: ignore[misc]  # TRL types its members more narrowly
    pass


def build(work: Work, channel: Channel) -> GRPO:
    """Raises TrainingFailed when the files cannot be trained on, Stopped when a stop comes first."""
    lm_head.score_labels_only()
    asked = work.hyperparameters
    renderer = Renderer(work.base_path)
    train = prompts.load("training_file", work, renderer, channel, prompts.rows_of(work.train))
    valid = work.valid and prompts.load("validation_file", work, renderer, channel, prompts.rows_of(work.valid))
    prompts.refuse_too_few(len(train), asked["batch_size"])
    completions = replace(work, hyperparameters={**asked, "batch_size": asked["batch_size"] * asked["group_size"]})
    args = GRPOConfig(
        **arguments.shared(completions) | {"include_num_input_tokens_seen": "no"},  # TRL counts them itself
        num_generations=asked["group_size"],
        num_generations_eval=asked["eval_samples"],
        max_completion_length=asked["max_completion_tokens"],
        temperature=asked["temperature"],
        beta=asked["kl_beta"],
        **loss(asked["loss_type"], asked["epsilon"]),
    )
    tuner = GRPO(
        channel=channel,
        renderer=renderer,
        model=loading.network(completions, channel),
        args=args,
        train_dataset=train,
        eval_dataset=valid,
        processing_class=loading.tokenizer(work.base_path),
    )
    tuner.judge = Scorer(channel)
    return tuner


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
