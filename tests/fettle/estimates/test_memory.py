"""Memory against arithmetic: a base of two layers, 8 wide."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from fettle.estimates import memory
from fettle.estimates.memory import Base
from fettle.registry.catalog import STARTER

BASE = Base(parameters=1000, layers=2, hidden=8, intermediate=16, vocabulary=100, key_values=8)
LARGE = Base(7_000_000_000, layers=32, hidden=4096, intermediate=11_008, vocabulary=32_000, key_values=2048)
GB = 10**9


def method(kind: str = "supervised", **asked: Any) -> dict[str, Any]:
    given = {"batch_size": 8, "max_seq_length": 512, "lora": {"rank": 16}, "quantization": None, **asked}
    return {"type": kind, kind: {"hyperparameters": given}}


def test_each_part_is_what_the_formula_gives() -> None:
    found = memory.parts(BASE, method(), on_gpu=False, available=None)
    assert found.weights == 4 * 1000  # float32
    tokens = 1024  # a CPU's forward pass
    assert found.activations == tokens * 2 * (17 * 8 + 8 * 16) * 2
    assert found.logits == 3 * 4 * tokens * 100
    assert found.adapter == 16 * 16 * 2 * (2 * 16 + 2 * 12 + 3 * 24)
    assert (found.cache, found.checkpointed) == (0, False)
    assert found.total == memory.LIBRARIES + 4000 + found.activations + found.logits + found.adapter


def test_a_gpu_holds_16_bits_and_more_tokens() -> None:
    found = memory.parts(BASE, method(batch_size=8), on_gpu=True, available=None)
    assert found.weights == 2 * 1000
    assert found.activations == 4096 * 2 * (17 * 8 + 8 * 16)


def test_a_cpu_that_trains_in_bf16_holds_16_bits_of_a_large_base_only() -> None:
    large = replace(BASE, large=True)
    found = memory.parts(large, method(), on_gpu=False, available=None, cpu_bf16=True)
    assert found.weights == 2 * 1000
    assert found.activations == 1024 * 2 * (17 * 8 + 8 * 16)
    in_fp32 = memory.parts(BASE, method(), on_gpu=False, available=None)
    assert memory.parts(BASE, method(), on_gpu=False, available=None, cpu_bf16=True) == in_fp32
    assert memory.parts(large, method(), on_gpu=False, available=None) == in_fp32


def test_sampled_completions_need_a_cache() -> None:
    asked = method("reinforcement", batch_size=4, group_size=8)
    found = memory.parts(BASE, asked, on_gpu=True, available=None)
    assert found.cache == 32 * 512 * 2 * 8 * 2


def test_a_reward_model_has_no_logits() -> None:
    assert memory.parts(BASE, method("reward_model"), on_gpu=True, available=None).logits == 0


def test_where_activations_do_not_fit_they_are_computed_twice() -> None:
    plenty = memory.parts(LARGE, method(), on_gpu=True, available=200 * GB)
    scarce = memory.parts(LARGE, method(), on_gpu=True, available=24 * GB)
    assert (plenty.checkpointed, scarce.checkpointed) == (False, True)
    assert scarce.activations < plenty.activations / 10


def test_a_knob_is_offered_only_if_it_makes_the_job_fit() -> None:
    assert memory.parts(LARGE, method(), on_gpu=True, available=12 * GB).total > 12 * GB
    found = memory.knobs(LARGE, method(), on_gpu=True, available=12 * GB)
    assert [(knob.parameter, knob.value) for knob in found] == [("quantization", "nf4")]
    assert found[0].total <= 12 * GB
    assert memory.knobs(LARGE, method(quantization="nf4"), on_gpu=True, available=2 * GB) == []


def test_the_least_change_of_a_knob_is_offered() -> None:
    base = Base(1_000_000, layers=24, hidden=512, intermediate=2048, vocabulary=1000, key_values=512)
    asked = method("reinforcement", batch_size=1, group_size=32, max_seq_length=2048)
    needed = memory.parts(base, asked, on_gpu=True, available=None).total
    found = {knob.parameter: knob.value for knob in memory.knobs(base, asked, on_gpu=True, available=needed - 1)}
    assert found["group_size"] == 16
    assert found["max_seq_length"] == 1024


def test_the_starter_is_read_from_its_config(tmp_path: Path) -> None:
    assert memory.base_of(STARTER, 1_669_312) == Base(1_669_312, 4, 192, 512, 492, 128)
    assert memory.base_of(tmp_path, 1) is None
    (tmp_path / "config.json").write_text(json.dumps({"hidden_size": "wide"}))
    assert memory.base_of(tmp_path, 1) is None
    inner = json.loads((STARTER / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({"text_config": inner}))
    assert memory.base_of(tmp_path, 1_669_312) == Base(1_669_312, 4, 192, 512, 492, 128)
