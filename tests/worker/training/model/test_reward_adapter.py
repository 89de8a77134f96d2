"""A reward model on the policy's own base scores as the network for sequence classification does."""

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

from examples.word_problems import problems
from fettle.datasets.formats.preference import Pair
from fettle.datasets.formats.render import Renderer
from fettle.errors import TrainingFailed
from fettle.registry.catalog import STARTER
from tests.worker.training.networks import adapted
from worker.training.data import preference
from worker.training.model.reward_adapter import HEAD, Files, RewardAdapter
from worker.training.rl.reward_model_judge import Scale

pytestmark = pytest.mark.slow  # loads transformers

LORA = {"r": 4, "lora_alpha": 16, "target_modules": "all-linear", "lora_dropout": 0.3, "use_rslora": True}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reward model whose adapter and head are not zero, as PEFT saves it."""
    torch.manual_seed(3)
    base = AutoModelForSequenceClassification.from_pretrained(STARTER, num_labels=1, dtype=torch.float32)
    network = get_peft_model(base, LoraConfig(**LORA, task_type="SEQ_CLS"))
    for name, parameter in network.named_parameters():
        if "lora_B" in name or "modules_to_save" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    folder = tmp_path_factory.mktemp("reward_model")
    network.save_pretrained(str(folder))
    return folder


def rows(renderer: Renderer) -> list[list[int]]:
    """Prompts with completions of different lengths, as a policy has written them."""
    found = []
    for problem, _ in zip(problems("train", 5), range(6), strict=False):
        prompt = renderer.prompt([{"role": "user", "content": problem.question}])
        for style in ("reasoned", "answer"):
            said = renderer.tokenizer.encode(problem.row(style)["completion"], add_special_tokens=False).ids
            found.append([*prompt, *said, renderer.eos_id])
    return found


@torch.no_grad()
def scores_of_peft(folder: Path, ids: list[list[int]]) -> list[float]:
    """Loaded as docs/preferences.md says, one row at a time, without padding."""
    from peft import PeftModel

    base = AutoModelForSequenceClassification.from_pretrained(STARTER, num_labels=1, dtype=torch.float32)
    network = PeftModel.from_pretrained(base, str(folder)).eval()
    return [network(torch.tensor([row])).logits.item() for row in ids]


def test_scores_equal_the_sequence_classifiers(published: Path) -> None:
    renderer = Renderer(STARTER)
    judge = RewardAdapter(adapted(STARTER, lora_dropout=0.5), Files.published(published), renderer.pad_id, 5)
    given = rows(renderer)
    expected = scores_of_peft(published, given)
    assert max(expected) - min(expected) > 0.1
    assert judge.scores(given) == pytest.approx(expected, abs=1e-5)


def test_a_completion_is_read_as_the_reward_model_learned_it() -> None:
    """What the policy goes on from, with what it said, is the sequence of ids that a comparison becomes."""
    renderer, problem = Renderer(STARTER), next(problems("train", 5))
    turn = {"role": "assistant", "content": problem.row("reasoned")["completion"]}
    row = preference.ids(renderer, Pair([{"role": "user", "content": problem.question}], turn, turn))
    assert row is not None
    assert row["prompt_ids"] + row["chosen_ids"] == rows(renderer)[0]


def test_scoring_leaves_the_policy_as_it_was(published: Path) -> None:
    network = adapted(STARTER)
    network.train()
    ids = torch.tensor([[5, 6, 7]])
    before = network(ids).logits
    trains = {name for name, tensor in network.named_parameters() if tensor.requires_grad}
    RewardAdapter(network, Files.published(published), 0, 4).scores([[5, 6, 7]])
    assert torch.equal(network(ids).logits, before)
    assert network.active_adapter == "default"
    assert network.training
    assert {name for name, tensor in network.named_parameters() if tensor.requires_grad} == trains
    assert all(".default." in name for name in trains)


@pytest.mark.parametrize("fault", ["no head", "another rank"])
def test_a_model_that_does_not_fit_is_refused(published: Path, tmp_path: Path, fault: str) -> None:
    weights = load_file(published / "adapter_model.safetensors")
    if fault == "no head":
        del weights[HEAD]
    else:
        name = next(name for name in weights if "lora_A" in name)
        weights[name] = weights[name][:2].clone()
    save_file(weights, tmp_path / "weights")
    with pytest.raises(TrainingFailed) as refused:
        RewardAdapter(adapted(STARTER), Files(published / "adapter_config.json", tmp_path / "weights"), 0, 4)
    assert refused.value.code == "reward_model_does_not_fit"


class TestScale:
    def test_a_score_is_measured_from_the_mean_in_spreads(self) -> None:
        scale = Scale.of([1.0, 3.0, 5.0, 7.0])  # mean 4, variance (9 + 1 + 1 + 9) / 4 = 5
        assert scale.reward(4.0) == 0
        assert scale.reward(4.0 + 5**0.5) == pytest.approx(1)

    def test_scores_that_are_all_equal_have_a_spread_of_one(self) -> None:
        assert Scale.of([2.0, 2.0]).reward(2.5) == 0.5
