"""The built-in reward functions, by name."""

from fettle.rewards.functions.exact_match import EXACT_MATCH
from fettle.rewards.functions.function import RewardFunction

FUNCTIONS: dict[str, RewardFunction] = {
    "exact_match": EXACT_MATCH,
}
