"""A prompt that is read once for its completions, against the padded batch: the same numbers and gradients."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedModel

from fettle.registry.catalog import STARTER
from tests.worker.training.networks import adapted
from worker.training.model import lm_head
from worker.training.rl import shared_prompts
from worker.training.rl.ppo import policy
from worker.training.rl.ppo.policy import Sequences, ValueHead
from worker.training.rl.sampling.completions import base_of

pytestmark = pytest.mark.slow  # transformers and peft take seconds to import

PAD, TEMPERATURE = 0, 0.9
FIRST, SECOND, SHORT = [5, 9, 11, 7, 30, 31], [12, 13, 14], [8]
GROUPS = [(FIRST, [6, 7, 2]), (SECOND, [9]), (FIRST, [40, 41, 42, 43, 2]), (SECOND, [9, 9, 2]), (SHORT, [3, 4])]
Batch = tuple[Tensor, Tensor, int]


def batch(rows: list[tuple[list[int], list[int]]] = GROUPS, *, right: bool = False) -> Batch:
    """right: the prompts are padded there, between them and the completions."""
    width, columns = max(len(prompt) for prompt, _ in rows), max(len(ids) for _, ids in rows)
    ids, real = [], []
    for prompt, said in rows:
        pads, after = [PAD] * (width - len(prompt)), [PAD] * (columns - len(said))
        ids.append([*prompt, *pads, *said, *after] if right else [*pads, *prompt, *said, *after])
        known, unknown = [True] * len(prompt), [False] * len(pads)
        real.append(
            [*([*known, *unknown] if right else [*unknown, *known]), *[True] * len(said), *[False] * len(after)]
        )
    return torch.tensor(ids), torch.tensor(real), columns


def small(kind: str, **shape: Any) -> PreTrainedModel:
    torch.set_num_threads(1)
    torch.manual_seed(3)
    common = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "initializer_range": 0.3, "pad_token_id": 0}
    base: PreTrainedModel = AutoModelForCausalLM.from_config(CONFIG_MAPPING[kind](**common | shape))
    return base


def with_adapter(base: PreTrainedModel) -> PeftModel:
    tuned: PeftModel = get_peft_model(base, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return tuned


def found(network: PeftModel, batch: Batch, inputs: Callable[[], Any]) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """logprobs_BT, entropy_BT, and the gradient of every trained weight after an uneven loss on the tokens."""
    ids_BS, real_BS, width = batch
    network.zero_grad()
    layout = inputs()
    with lm_head.in_tiles(base_of(network), TEMPERATURE):
        sequences = Sequences(ids_BS, real_BS, width)
        output = network(**(policy.padded(sequences) if layout is None else layout.inputs()))
    place = (lambda x_BS: x_BS[:, -width:]) if layout is None else layout.by_completion
    logprobs_BT, entropy_BT = place(output.log_probs), place(output.entropy)
    weights_BT = torch.linspace(-1, 2, logprobs_BT.numel()).reshape(logprobs_BT.shape)
    (logprobs_BT * weights_BT).sum().backward()
    gradients = {name: weight.grad for name, weight in network.named_parameters() if weight.grad is not None}
    return logprobs_BT.detach(), entropy_BT.detach(), {name: grad.clone() for name, grad in gradients.items()}


def compare(network: PeftModel, batch: Batch, tolerance: float = 1e-6) -> None:
    """tolerance: of gradients, relative to the largest; ten times as much of log-probabilities, in nats."""
    base = base_of(network)
    plain = found(network, batch, lambda: None)
    shared_prompts.allow(base)
    layout = shared_prompts.layout_of(base, *batch)
    assert layout is not None
    shared = found(network, batch, lambda: layout)
    for one, other in zip(plain[:2], shared[:2], strict=True):
        assert one.abs().max() > 0
        torch.testing.assert_close(one, other, atol=10 * tolerance, rtol=0)
    largest = max(float(grad.abs().max()) for grad in plain[2].values())
    assert largest > 0 and plain[2].keys() == shared[2].keys()
    off = {name: float((grad - shared[2][name]).abs().max()) / largest for name, grad in plain[2].items()}
    assert max(off.values()) <= tolerance, max(off.items(), key=lambda item: item[1])


@pytest.fixture
def starter() -> PeftModel:
    torch.set_num_threads(1)
    return adapted(STARTER)


def test_unequal_prompts_and_completions_have_the_same_gradients(starter: PeftModel) -> None:
    compare(starter, batch())


def test_on_which_side_prompts_are_padded_makes_no_difference(starter: PeftModel) -> None:
    """The padded batch itself would choose the first token after padding on the right."""
    base = base_of(starter)
    shared_prompts.allow(base)
    left, right = (shared_prompts.layout_of(base, *batch(right=side)) for side in (False, True))
    assert left is not None and right is not None
    for name in ("ids_N", "positions_N", "labels_N", "prompt_of_B", "allowed_B1SW"):
        assert torch.equal(getattr(left, name), getattr(right, name)), name


def test_a_prompt_is_read_once_and_no_padding_is(starter: PeftModel) -> None:
    """9 tokens of prompts without their last, and 14 of completions, for 5 rows of 11."""
    shared_prompts.allow(base_of(starter))
    layout = shared_prompts.layout_of(base_of(starter), *batch())
    assert layout is not None
    assert (layout.read, len(layout.ids_N)) == (5 + 2 + 0, 7 + 14)


def test_a_completion_without_tokens_counts_for_nothing(starter: PeftModel) -> None:
    compare(starter, batch([*GROUPS, (FIRST, [])]))


def test_gradient_checkpointing_changes_nothing(starter: PeftModel) -> None:
    base = base_of(starter)
    base.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    base.enable_input_require_grads()
    compare(starter.train(), batch())


def test_in_bf16_they_differ_by_roundings(starter: PeftModel) -> None:
    """A rounding to bf16 is up to 2^-8 of a value, and a gradient is the sum of many products of such values."""
    for name, parameter in starter.named_parameters():
        if "lora_" not in name:
            parameter.data = parameter.data.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        compare(starter, batch(), tolerance=2e-2)


ATTENTION = {"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 48, "head_dim": 8}
SHAPES: dict[str, dict[str, Any]] = {
    "qwen3": ATTENTION,
    "gemma3_text": {**ATTENTION, "sliding_window": 16, "layer_types": ["sliding_attention", "full_attention"]},
    "mistral": {**ATTENTION, "sliding_window": 16},
    "olmo2": ATTENTION,
    "phi3": {**ATTENTION, "bos_token_id": 1, "eos_token_id": 2},
    "qwen3_moe": {**ATTENTION, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16},
    "gpt2": {"n_head": 4, "bos_token_id": 1, "eos_token_id": 2},
    "gpt_neox": {"num_attention_heads": 4, "intermediate_size": 48},
}


@pytest.mark.parametrize("kind", SHAPES)
def test_architectures_that_attend_by_position_share(kind: str) -> None:
    compare(with_adapter(small(kind, **SHAPES[kind])).eval(), batch(), tolerance=5e-6)


READ_WHOLE: dict[str, dict[str, Any]] = {
    "mamba": {"state_size": 4},
    "jamba": {**ATTENTION, "attn_layer_period": 2, "attn_layer_offset": 1, "num_experts": 1, "mamba_d_state": 4},
    "lfm2": {**ATTENTION, "layer_types": ["conv", "full_attention"]},
    "mistral": {**ATTENTION, "sliding_window": 8},
    "llama": {**ATTENTION, "attn_implementation": "eager"},
}


@pytest.mark.parametrize("kind", READ_WHOLE)
def test_where_a_prompt_cannot_be_shared_the_batch_is_read_as_it_is(kind: str) -> None:
    base = small(kind, **READ_WHOLE[kind])
    shared_prompts.allow(base)
    assert shared_prompts.layout_of(base, *batch()) is None


def test_prompts_that_all_differ_are_read_as_they_are(starter: PeftModel) -> None:
    shared_prompts.allow(base_of(starter))
    assert shared_prompts.layout_of(base_of(starter), *batch([(FIRST, [4]), (SECOND, [5])])) is None


def test_other_passes_over_the_base_compute_what_they_did(starter: PeftModel) -> None:
    ids_BS, real_BS, _ = batch()
    with torch.no_grad():
        before = starter(input_ids=ids_BS, attention_mask=real_BS.long()).logits
        shared_prompts.allow(base_of(starter))
        assert torch.equal(starter(input_ids=ids_BS, attention_mask=real_BS.long()).logits, before)


def test_values_are_those_of_the_states_that_tokens_were_chosen_in(starter: PeftModel) -> None:
    ids_BS, real_BS, width = batch()
    head = ValueHead(starter.config.hidden_size)
    torch.nn.init.normal_(head.linear.weight)
    sequences, mask_BT = Sequences(ids_BS, real_BS, width), real_BS[:, -width:]
    plain = policy.forward(starter, head, sequences, TEMPERATURE)
    shared_prompts.allow(base_of(starter))
    shared = policy.forward(starter, head, sequences, TEMPERATURE)
    assert plain.values_BT[mask_BT].abs().min() > 0
    torch.testing.assert_close(shared.values_BT[mask_BT], plain.values_BT[mask_BT], atol=1e-5, rtol=0)
