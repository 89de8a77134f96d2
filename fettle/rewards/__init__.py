"""Rewards: what judges a rollout. `check` a request's graders, open them as `Graders`, `score` samples."""

from fettle.rewards.functions import FUNCTIONS
from fettle.rewards.functions.function import RewardFunction
from fettle.rewards.graders import Graders
from fettle.rewards.judges import Judge, JudgeUnavailable
from fettle.rewards.requirements import has_user_code, models_of
from fettle.rewards.samples import Failure, Sample, SampleScores
from fettle.rewards.sandbox import Limits, LoadError, SandboxError, level
from fettle.rewards.specs import check

__all__ = [
    "FUNCTIONS",
    "Failure",
    "Graders",
    "Judge",
    "JudgeUnavailable",
    "Limits",
    "LoadError",
    "RewardFunction",
    "Sample",
    "SampleScores",
    "SandboxError",
    "check",
    "has_user_code",
    "level",
    "models_of",
]
