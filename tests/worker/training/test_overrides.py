"""What we override or use inside TRL, transformers and PEFT must still be as we read it.

A new version must pass here first.
"""

import ast
import hashlib
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

import pytest
from peft import import_utils
from peft.tuners import lora, tuners_utils
from peft.tuners.tuners_utils import BaseTunerLayer
from transformers import PreTrainedModel, Trainer
from trl.trainer import utils
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.reward_trainer import RewardTrainer
from trl.trainer.rloo_trainer import RLOOTrainer
from trl.trainer.utils import RepeatSampler

from worker.training.methods.dpo import DPO
from worker.training.methods.grpo import GRPO
from worker.training.methods.ppo import PPO
from worker.training.methods.reward_model import RewardModel
from worker.training.methods.rloo import RLOO
from worker.training.methods.supervised import SupervisedTrainer
from worker.training.model.loading import FUSED

pytestmark = pytest.mark.slow  # torch and TRL take seconds to import


def unwrapped(member: Any) -> Callable[..., Any]:
    """The function behind a property, a context manager or a cache."""
    found: Callable[..., Any] = getattr(member, "fget", None) or inspect.unwrap(member)
    return found


# The member → the first 12 digits of the SHA-256 of its source, as it was when we last read it
READ: dict[Callable[..., Any], str] = {
    Trainer._save_checkpoint: "4638fc7aeef9",
    Trainer._load_optimizer_and_scheduler: "d8b86ea0410f",
    Trainer.create_scheduler: "ddd5575b2675",
    Trainer.create_optimizer: "72027ca5f62c",
    Trainer.evaluate: "ce448ad06606",
    Trainer._prepare_inputs: "b28ea48b3290",
    PreTrainedModel.set_attn_implementation: "0d62e738851b",
    DPOTrainer._compute_loss: "13a30df2be76",
    DPOTrainer._prepare_dataset: "24efb2432f23",
    DPOTrainer.log: "aaa902e692c2",
    RewardTrainer._prepare_dataset: "81fbc3b830bc",
    RewardTrainer._set_signature_columns_if_needed: "16464cae3b17",
    RewardTrainer.compute_loss: "46f636c66698",
    RewardTrainer.log: "aa94fde9ecf0",
    GRPOTrainer._save_checkpoint: "10fa449292ba",
    RLOOTrainer._save_checkpoint: "4ed3621b6867",
    GRPOTrainer._compute_loss: "16c4f3917b9f",
    GRPOTrainer._generate: "bea6bc4f3207",  # rollout_func and env_mask
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
    unwrapped(utils.use_adapter): "edd0e493f99f",
    lora.Linear.get_delta_weight: "65eb6d7e937f",
    unwrapped(BaseTunerLayer.disable_adapters): "1e9c1a164694",
    unwrapped(BaseTunerLayer.active_adapters): "5ecb51cb860e",
    BaseTunerLayer.get_base_layer: "1dcacb187d86",
    unwrapped(import_utils.is_bnb_available): "764ff361ed4a",
    unwrapped(import_utils.is_bnb_4bit_available): "fd728a7c22f8",
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


TRAINERS = (SupervisedTrainer, DPO, RewardModel, GRPO, RLOO, PPO)


def private_names(kind: type) -> set[str]:
    return {name for name, value in vars(kind).items() if callable(value) and name[0] == "_" != name[1]}


@pytest.mark.parametrize("trainer", TRAINERS, ids=lambda trainer: trainer.__name__)
def test_every_private_member_that_we_override_is_on_the_list(trainer: type) -> None:
    ours = [kind for kind in trainer.__mro__ if kind.__module__.startswith("worker.")]
    theirs = [kind for kind in trainer.__mro__ if kind not in ours]
    for name in set().union(*map(private_names, ours)):
        overridden = [vars(kind)[name] for kind in theirs if name in vars(kind)]
        assert overridden[:1] == [member for member in overridden[:1] if member in READ], name


def test_peft_refuses_the_same_architectures() -> None:
    (line,) = [line for line in inspect.getsource(tuners_utils).splitlines() if "mamba_model_types = {" in line]
    assert ast.literal_eval(line.partition("=")[2].strip()) == FUSED
