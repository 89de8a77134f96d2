"""Conversations scored by a reward model that a real training child has made, beside the adapters that write."""

import json
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

from fettle.datasets.formats.render import Renderer
from fettle.registry.adapter_config import NAME as CONFIG
from fettle.registry.adapter_weights import HEAD
from fettle.registry.adapter_weights import NAME as WEIGHTS
from fettle.registry.catalog import STARTER
from fettle.storage import LocalStorage, artifacts
from tests.worker.engine.conftest import QUESTIONS, Engine
from tests.worker.training.children import Child, comparisons, work_folder
from worker.engine import scoring
from worker.engine.errors import AdapterRejected
from worker.engine.model_pool import read_base
from worker.engine.networks import Network
from worker.training.data.preference import ids as pair_ids
from worker.training.data.preference import pairs
from worker.training.methods.reward_model import Collator

pytestmark = pytest.mark.slow  # trains a reward model

Conversation = list[dict[str, Any]]


def conversation(question: str, answer: str) -> Conversation:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


CONVERSATIONS = [
    conversation(QUESTIONS[0], "<think>12 + 30 = 42</think><answer>42</answer>"),
    conversation(QUESTIONS[0], "<answer>43</answer>"),
    conversation(QUESTIONS[2], "I do not know, and " * 20),
    [{"role": "system", "content": "Be brief."}, *conversation(QUESTIONS[1], "")],
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The adapter folder of a reward model, as it is published."""
    options: dict[str, Any] = {"learning_rate": 2e-3, "warmup_ratio": 0.0, "center_rewards_coefficient": 0.01}
    work = tmp_path_factory.mktemp("reward") / "work"
    child = Child(work_folder(work, comparisons(48), method="reward_model", n_epochs=2, **options))
    assert child.rest()[-1]["type"] == "done"
    return work / "out" / "adapter"


@pytest.fixture(scope="module")
def oracle(trained: Path) -> PeftModel:
    """The network that docs/preferences.md says to load."""
    base = AutoModelForSequenceClassification.from_pretrained(STARTER, num_labels=1, dtype=torch.float32)
    return PeftModel.from_pretrained(base, str(trained)).eval()


@pytest.fixture
async def scoring_engine(engine: Engine, trained: Path, store: LocalStorage) -> Engine:
    await artifacts.upload(store, trained, "adapters/judge")
    assert engine.load("judge").status_code == 200
    return engine


def asked(engine: Engine, conversations: list[Conversation], model: str = "judge") -> httpx.Response:
    return engine.client.post("/pooling", json={"model": model, "conversations": conversations})


def scores(engine: Engine, conversations: list[Conversation], model: str = "judge") -> list[float]:
    response = asked(engine, conversations, model)
    assert response.status_code == 200, response.text
    data = response.json()["data"]
    assert [entry["index"] for entry in data] == list(range(len(conversations)))
    return [entry["data"][0] for entry in data]


def expected(oracle: PeftModel, renderer: Renderer, conversations: list[Conversation]) -> list[float]:
    """One by one, cut where training cuts."""
    found = []
    for messages in conversations:
        rendered = renderer.render(messages)
        end = max(position for position, lesson in enumerate(rendered.supervised) if lesson)
        with torch.inference_mode():
            logits = oracle(input_ids=torch.tensor([rendered.ids[: end + 1]])).logits
        found.append(float(logits[0, 0]))
    return found


def test_each_score_is_that_of_the_sequence_classifier_whatever_is_scored_beside_it(
    scoring_engine: Engine, oracle: PeftModel, renderer: Renderer
) -> None:
    right = expected(oracle, renderer, CONVERSATIONS)
    assert max(right) - min(right) > 0.1  # they differ, so that a mixed-up row would show
    assert scores(scoring_engine, CONVERSATIONS) == pytest.approx(right, abs=1e-4)
    for one, value in zip(CONVERSATIONS, right, strict=True):
        assert scores(scoring_engine, [one]) == pytest.approx([value], abs=1e-4)


def test_it_is_the_score_that_training_saw(
    scoring_engine: Engine, oracle: PeftModel, renderer: Renderer, tmp_path: Path
) -> None:
    """By training's own ids, collator and padding."""
    rows = comparisons(5, "held_out")
    (tmp_path / "rows").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = [pair_ids(renderer, pair) for _, pair in pairs(tmp_path / "rows", "training_file")]
    inputs = Collator(renderer.pad_id)([row for row in found if row is not None])
    with torch.inference_mode():
        seen = oracle(**inputs).logits[:, 0].tolist()
    sides = [conversation(row["prompt"], row[side]) for side in ("chosen", "rejected") for row in rows]
    assert scores(scoring_engine, sides) == pytest.approx(seen, abs=1e-4)


def test_writing_goes_on_beside_it_and_hears_nothing_of_it(scoring_engine: Engine) -> None:
    scoring_engine.load("one")
    alone = scoring_engine.texts(model="one")
    before = scores(scoring_engine, CONVERSATIONS)
    assert scoring_engine.texts(model="one") == alone
    assert scores(scoring_engine, CONVERSATIONS) == before


def test_what_is_wrong_with_one_conversation_costs_no_other(scoring_engine: Engine) -> None:
    good = CONVERSATIONS[0]
    bad: list[Conversation] = [
        good[:1],
        [],
        [*good, {"role": "tool", "content": "x"}],
        conversation("x " * 3000, "y"),
    ]
    data = asked(scoring_engine, [good, *bad, good]).json()["data"]
    assert data[0]["data"] == pytest.approx(data[-1]["data"], abs=1e-5)
    codes = [entry["error"]["code"] for entry in data[1:-1]]
    assert codes == ["invalid_value", "invalid_value", "invalid_value", "context_length_exceeded"]
    assert "must end with an assistant message" in data[1]["error"]["message"]


def test_a_reward_model_writes_nothing_and_says_what_it_is_for(scoring_engine: Engine) -> None:
    response = scoring_engine.chat(model="judge")
    assert (response.status_code, response.json()["error"]["code"]) == (400, "model_not_supported")
    assert "It scores responses and cannot write them" in response.json()["error"]["message"]


@pytest.mark.parametrize("name", ["starter", "one"])
def test_what_writes_scores_nothing_and_says_so(scoring_engine: Engine, name: str) -> None:
    scoring_engine.load("one")
    response = asked(scoring_engine, CONVERSATIONS, name)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "model_not_supported")
    assert f"'{name}' is not a reward model" in response.json()["error"]["message"]


def test_one_that_is_not_loaded_is_404_so_that_the_api_loads_it(scoring_engine: Engine) -> None:
    assert asked(scoring_engine, CONVERSATIONS, "nobody").status_code == 404


def test_long_conversations_are_read_by_themselves_and_short_ones_together() -> None:
    lengths = {0: 900, 1: 100, 2: 2000, 3: 100, 4: 110}
    assert list(scoring.batches(lengths)) == [[1, 3, 4], [0], [2]]


@pytest.fixture(scope="module")
def network() -> Network:
    return Network(read_base("starter", STARTER, 2048))


class TestFiles:
    @pytest.mark.parametrize(
        ("head", "why"),
        [(None, "incomplete"), (torch.zeros(2, 128), "has the shape"), (torch.full((1, 128), torch.nan), "diverged")],
    )
    def test_a_head_that_cannot_score_is_refused(
        self, network: Network, trained: Path, tmp_path: Path, head: torch.Tensor | None, why: str
    ) -> None:
        folder = shutil.copytree(trained, tmp_path / "adapter")
        weights = load_file(folder / WEIGHTS)
        hidden = weights.pop(HEAD).shape[1]
        if head is not None:
            weights[HEAD] = head[:, :1].expand(-1, hidden).contiguous()
        save_file(weights, folder / WEIGHTS)
        with pytest.raises(AdapterRejected, match=why):
            network.read(folder)

    def test_a_head_in_an_adapter_that_writes_is_refused(self, network: Network, trained: Path, tmp_path: Path) -> None:
        folder = shutil.copytree(trained, tmp_path / "adapter")
        config = json.loads((folder / CONFIG).read_text())
        (folder / CONFIG).write_text(json.dumps(config | {"task_type": "CAUSAL_LM", "modules_to_save": None}))
        with pytest.raises(AdapterRejected, match=r"score\.weight"):
            network.read(folder)
