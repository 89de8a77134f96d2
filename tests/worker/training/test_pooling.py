"""Scores of padded rows, on a base that pads with the token that ends a response."""

from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import AutoModelForSequenceClassification

from fettle.datasets.formats.render import Renderer
from fettle.errors import TrainingFailed
from tests.bases import padding_with_eos
from worker.training import pooling
from worker.training.methods.reward_model import Collator
from worker.training.model import loading
from worker.training.model.device import DevicePlan

pytestmark = pytest.mark.slow  # torch and transformers take seconds to import

PLAN = DevicePlan("CPU", "fp32", "sdpa", gradient_checkpointing=False, on_gpu=False)


def test_each_row_scores_as_it_does_alone(tmp_path: Path) -> None:
    base = padding_with_eos(tmp_path / "base")
    renderer = Renderer(base)
    end = renderer.eos_id
    rows = [
        {"prompt_ids": [5, 6], "chosen_ids": [7, 8, 9, end], "rejected_ids": [7, end]},
        {"prompt_ids": [6], "chosen_ids": [end], "rejected_ids": [9, 9, end, 9, 9, end]},
    ]
    torch.manual_seed(1)
    ours = loading.base_model(base, PLAN, scores=True)
    torch.manual_seed(1)
    alone = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1, dtype=torch.float32)
    alone.config.pad_token_id = None  # as docs/preferences.md says: the last token of one row
    found = [row["prompt_ids"] + row[side] for side in ("chosen_ids", "rejected_ids") for row in rows]
    with torch.no_grad():
        expected = [alone(torch.tensor([ids])).logits.item() for ids in found]
        alone.config.pad_token_id = end
        before_the_end = [alone(torch.tensor([ids])).logits.item() for ids in found]
        scores = ours(**Collator(renderer.pad_id)(rows)).logits[:, 0].tolist()
    assert renderer.pad_id == end
    assert scores == pytest.approx(expected, abs=1e-5)
    assert scores != pytest.approx(before_the_end, abs=1e-2)


def test_a_network_without_our_head_is_refused_by_name() -> None:
    class Other(nn.Module):
        pass

    with pytest.raises(TrainingFailed, match="Other has no layer 'score'"):
        pooling.at_last_token(Other())  # type: ignore[arg-type]
