"""Training methods: each builds the trainer that `loop.run` runs."""

from collections.abc import Callable

from transformers import Trainer

from worker.training.channel import Channel
from worker.training.methods import sft
from worker.training.work import Work

METHODS: dict[str, Callable[[Work, Channel], Trainer]] = {"supervised": sft.build}
