"""Training methods: each builds the trainer that `loop.run` runs."""

from collections.abc import Callable

from worker.training.channel import Channel
from worker.training.methods import dpo, grpo, reward_model, sft
from worker.training.trainer import Tuner
from worker.training.work import Work

METHODS: dict[str, Callable[[Work, Channel], Tuner]] = {
    "supervised": sft.build,
    "dpo": dpo.build,
    "reward_model": reward_model.build,
    "reinforcement": grpo.build,
}
