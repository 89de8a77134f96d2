"""Training methods: each builds the trainer that `loop.run` runs."""

from collections.abc import Callable

from worker.training.methods import dpo, grpo, reward_model, supervised
from worker.training.process.channel import Channel
from worker.training.process.job_spec import Work
from worker.training.trainer import Tuner

METHODS: dict[str, Callable[[Work, Channel], Tuner]] = {
    "supervised": supervised.build,
    "dpo": dpo.build,
    "reward_model": reward_model.build,
    "reinforcement": grpo.build,
}
