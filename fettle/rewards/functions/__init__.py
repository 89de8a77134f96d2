"""The built-in reward functions, by name."""

from fettle.rewards.functions.answer_correct import ANSWER_CORRECT
from fettle.rewards.functions.answer_format import ANSWER_FORMAT
from fettle.rewards.functions.code_tests import CODE_TESTS
from fettle.rewards.functions.exact_match import EXACT_MATCH
from fettle.rewards.functions.function import RewardFunction
from fettle.rewards.functions.json_schema import JSON_SCHEMA
from fettle.rewards.functions.judge import JUDGE
from fettle.rewards.functions.length import LENGTH
from fettle.rewards.functions.logic_steps import LOGIC_STEPS
from fettle.rewards.functions.regex import REGEX
from fettle.rewards.functions.repetition import REPETITION
from fettle.rewards.functions.reward_model import REWARD_MODEL
from fettle.rewards.functions.steps_correct import STEPS_CORRECT
from fettle.rewards.functions.text_similarity import TEXT_SIMILARITY
from fettle.rewards.functions.think_format import THINK_FORMAT

FUNCTIONS: dict[str, RewardFunction] = {
    "answer_correct": ANSWER_CORRECT,
    "steps_correct": STEPS_CORRECT,
    "exact_match": EXACT_MATCH,
    "think_format": THINK_FORMAT,
    "answer_format": ANSWER_FORMAT,
    "regex": REGEX,
    "json_schema": JSON_SCHEMA,
    "length": LENGTH,
    "repetition": REPETITION,
    "text_similarity": TEXT_SIMILARITY,
    "code_tests": CODE_TESTS,
    "logic_steps": LOGIC_STEPS,
    "judge": JUDGE,
    "reward_model": REWARD_MODEL,
}
