"""Completions of bases that keep another past than keys and values: the same draw, inside `generate`."""

from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from worker.engine import masks
from worker.training.model.loading import with_lora
from worker.training.rl.ppo import divergence
from worker.training.rl.sampling import completions
from worker.training.rl.sampling.completions import Completions, Sampling, base_of, complete

pytestmark = pytest.mark.slow  # transformers and peft take seconds to import

SMALL = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "pad_token_id": 0, "eos_token_id": 2}
SMALL |= {"bos_token_id": None, "initializer_range": 0.5}
ATTENTION = {"num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 48}
SHAPES: dict[str, dict[str, Any]] = {
    "mamba": {"state_size": 4},
    "jamba": {**ATTENTION, "attn_layer_period": 2, "attn_layer_offset": 1, "num_experts": 1, "mamba_d_state": 4},
    "lfm2": {**ATTENTION, "layer_types": ["conv", "full_attention"]},
}
PROMPTS = [[5, 9, 11, 7, 30], [12, 13, 14]]
SEEDS = [1, 2, 3, 4]


@pytest.fixture(scope="module", params=sorted(SHAPES))
def network(request: pytest.FixtureRequest) -> PeftModel:
    torch.set_num_threads(1)
    torch.manual_seed(3)
    base = AutoModelForCausalLM.from_config(CONFIG_MAPPING[request.param](**SMALL | SHAPES[request.param]))
    lora = {"rank": 4, "alpha": 8, "dropout": 0.0, "use_rslora": False, "target_modules": "all-linear"}
    tuned = with_lora(base, lora, seed=5)
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return tuned.eval()


def sampling(**fields: Any) -> Sampling:
    return Sampling(**{"max_tokens": 8, "ends": frozenset({2}), "pad_id": 0, **fields})


def test_they_are_told_from_bases_that_attend(network: PeftModel) -> None:
    assert masks.foreign_kind(base_of(network)) is not None


def test_greedily_every_row_says_what_a_plain_forward_pass_over_it_says(network: PeftModel) -> None:
    """The adapter takes part, padding does not."""
    said = complete(network, PROMPTS, [1, 2], sampling(temperature=0.0))
    for prompt, ids in zip(PROMPTS, said.rows(), strict=True):
        with torch.no_grad():
            logits_TV = network(input_ids=torch.tensor([[*prompt, *ids]])).logits[0, len(prompt) - 1 : -1]
        assert logits_TV.argmax(-1).tolist() == ids


def test_logprobs_are_those_of_the_tokens_that_were_drawn(network: PeftModel) -> None:
    said = complete(network, PROMPTS, SEEDS, sampling(temperature=0.7))
    assert len({tuple(ids) for ids in said.rows()}) > 1
    for row, ids in enumerate(said.rows()):
        prompt = PROMPTS[row // 2]
        with torch.no_grad():
            logits_TV = network(input_ids=torch.tensor([[*prompt, *ids]])).logits[0, len(prompt) - 1 : -1]
        expected_T = torch.log_softmax(logits_TV / 0.7, -1).gather(-1, torch.tensor(ids)[:, None])[:, 0]
        torch.testing.assert_close(said.logprobs_BT[row, : len(ids)], expected_T, atol=1e-4, rtol=0)


def test_a_row_ends_with_its_eos_and_padding_follows(network: PeftModel) -> None:
    """Whichever token comes second in a row is made an end."""
    free = complete(network, PROMPTS, SEEDS, sampling())
    end = free.rows()[0][1]
    said = complete(network, PROMPTS, SEEDS, sampling(ends=frozenset({end})))
    for row, (ids, whole) in enumerate(zip(said.rows(), free.rows(), strict=True)):
        stop = whole.index(end) + 1 if end in whole else len(whole)
        assert ids == whole[:stop] if 2 not in whole[:stop] else True
        assert bool(said.ended_B[row]) == (ids[-1] == end)
        assert not said.ids_BT[row, len(ids) :].any() and not said.logprobs_BT[row, len(ids) :].any()


def test_every_way_to_draw_takes_the_same_decision(network: PeftModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """`decode`, which such a base cannot take, is never reached, whoever asks."""

    def never(*_: Any) -> Completions:
        raise AssertionError("decoded through keys and values")

    monkeypatch.setattr(completions, "decode", never)
    complete(network, PROMPTS, SEEDS, sampling())
    assert divergence.kl(network, PROMPTS, [1, 2], sampling()) != 0
