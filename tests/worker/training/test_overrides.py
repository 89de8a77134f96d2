"""What we override in TRL and transformers must still be there as we read it. A new version must pass here first."""

import hashlib
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

import pytest
from transformers import Trainer
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.reward_trainer import RewardTrainer
from trl.trainer.rloo_trainer import RLOOTrainer
from trl.trainer.utils import RepeatSampler

pytestmark = pytest.mark.slow  # torch and TRL take seconds to import

# The member → the first 12 digits of the SHA-256 of its source, as it was when we last read it
READ: dict[Callable[..., Any], str] = {
    Trainer._save_checkpoint: "4638fc7aeef9",
    Trainer._load_optimizer_and_scheduler: "d8b86ea0410f",
    Trainer.create_scheduler: "ddd5575b2675",
    Trainer.create_optimizer: "72027ca5f62c",
    Trainer.evaluate: "ce448ad06606",
    DPOTrainer._prepare_dataset: "24efb2432f23",
    DPOTrainer.log: "aaa902e692c2",
    RewardTrainer._prepare_dataset: "81fbc3b830bc",
    RewardTrainer._set_signature_columns_if_needed: "16464cae3b17",
    RewardTrainer.log: "aa94fde9ecf0",
    GRPOTrainer._compute_loss: "16c4f3917b9f",
    GRPOTrainer._generate_and_score_completions: "3d5cec813b83",
    GRPOTrainer._generate_single_turn: "932da26950ba",
    GRPOTrainer._get_per_token_logps_and_entropies: "fecf708797b1",
    GRPOTrainer._get_train_sampler: "c0ce48638e78",
    GRPOTrainer._tokenize_prompts: "1056d2a0a7b4",
    RLOOTrainer._generate_and_score_completions: "a3efb1e8e054",
    RLOOTrainer._generate_single_turn: "e5aa4466490c",
    RLOOTrainer._get_per_token_logps_and_entropies: "fecf708797b1",
    RLOOTrainer._get_train_sampler: "c0ce48638e78",
    RLOOTrainer._tokenize_prompts: "ba067d1b433a",
    RepeatSampler.__init__: "ad457581ecaf",
    RepeatSampler.__iter__: "ea3767c65a5a",
}


def digest(member: Callable[..., Any]) -> str:
    source = textwrap.dedent(inspect.getsource(member))
    return hashlib.sha256(source.encode()).hexdigest()[:12]


def place(member: Callable[..., Any]) -> str:
    return f"{inspect.getsourcefile(member)}:{inspect.getsourcelines(member)[1]}: {member.__qualname__}"


@pytest.mark.parametrize("member", READ, ids=lambda member: member.__qualname__)
def test_a_member_that_we_override_is_as_we_read_it(member: Callable[..., Any]) -> None:
    found = digest(member)
    assert found == READ[member], f"{place(member)} has changed: read it again, then write {found!r} here"
