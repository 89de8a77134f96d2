"""What policy, reference and value head say of padded batches, against one plain pass a row."""

from typing import Any

import pytest
import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from trl.kernels import chunked_logprob
from trl.trainer import utils

from worker.training.rl.ppo.experience import Prompt
from worker.training.rl.ppo.policy import (
    Sequences,
    ValueHead,
    forward,
    freeze_start,
    is_reference,
    reference,
    without_dropout,
)
from worker.training.rl.sampling.completions import base_of

pytestmark = pytest.mark.slow  # transformers and peft take seconds to import

WRITTEN = [[5, 9, 2], [7], [30, 31, 32, 33, 2]]
TEMPERATURE = 0.7


@pytest.fixture
def quiet(network: PeftModel) -> PeftModel:
    without_dropout(network)
    return network


@pytest.fixture
def sequences(prompts: list[Prompt]) -> Sequences:
    ids_BT, mask_BT = torch.zeros(3, 5, dtype=torch.long), torch.zeros(3, 5, dtype=torch.bool)
    for row, ids in enumerate(WRITTEN):
        ids_BT[row, : len(ids)], mask_BT[row, : len(ids)] = torch.tensor(ids), True
    return Sequences.of([prompt.ids for prompt in prompts[:3]], ids_BT, mask_BT, pad_id=0)


def head_of(network: PeftModel) -> ValueHead:
    torch.manual_seed(2)
    head = ValueHead(network.config.hidden_size)
    nn.init.normal_(head.linear.weight)
    return head


def alone(network: PeftModel, head: ValueHead, prompt: Prompt, ids: list[int]) -> tuple[Tensor, Tensor]:
    """logprobs_T and values_T of one row without padding."""
    with torch.no_grad():
        output = network(input_ids=torch.tensor([[*prompt.ids, *ids]]), output_hidden_states=True)
    states = slice(len(prompt.ids) - 1, -1)  # those in which the tokens were chosen
    logprobs_TV = torch.log_softmax(output.logits[0, states] / TEMPERATURE, -1)
    return logprobs_TV.gather(-1, torch.tensor(ids)[:, None])[:, 0], head(output.hidden_states[-1][0, states])


class TestSaid:
    def test_padding_on_either_side_changes_nothing(
        self, quiet: PeftModel, sequences: Sequences, prompts: list[Prompt]
    ) -> None:
        head = head_of(quiet)
        found = forward(quiet, head, sequences, TEMPERATURE)
        for row, ids in enumerate(WRITTEN):
            logprobs_T, values_T = alone(quiet, head, prompts[row], ids)
            torch.testing.assert_close(found.logprobs_BT[row, : len(ids)], logprobs_T, atol=1e-4, rtol=0)
            torch.testing.assert_close(found.values_BT[row, : len(ids)], values_T, atol=1e-3, rtol=0)

    def test_a_part_says_what_the_whole_does_in_fewer_columns(self, quiet: PeftModel, sequences: Sequences) -> None:
        head = head_of(quiet)
        whole = forward(quiet, head, sequences, TEMPERATURE)
        part = sequences.part(torch.tensor([1, 0]))
        assert part.completion_width == 3 and part.ids_BS.shape[1] < sequences.ids_BS.shape[1]
        found = forward(quiet, head, part, TEMPERATURE)
        for mine, row in enumerate((1, 0)):
            length = len(WRITTEN[row])
            torch.testing.assert_close(
                found.logprobs_BT[mine, :length], whole.logprobs_BT[row, :length], atol=1e-4, rtol=0
            )

    def test_rows_without_a_token_still_have_a_column(self, quiet: PeftModel, prompts: list[Prompt]) -> None:
        empty = Sequences.of([prompts[0].ids], torch.zeros(1, 4, dtype=torch.long), torch.zeros(1, 4), 0)
        assert forward(quiet, None, empty.part(torch.tensor([0])), 1.0).logprobs_BT.shape == (1, 1)

    def test_the_value_head_does_not_shape_the_policy(self, quiet: PeftModel, sequences: Sequences) -> None:
        head = head_of(quiet)
        forward(quiet, head, sequences, TEMPERATURE).values_BT.sum().backward()
        assert head.linear.weight.grad is not None and head.linear.weight.grad.any()
        assert all(tensor.grad is None for tensor in quiet.parameters())

    def test_a_fresh_head_says_0(self, quiet: PeftModel, sequences: Sequences) -> None:
        assert not forward(quiet, ValueHead(quiet.config.hidden_size), sequences, 1.0).values_BT.any()

    def test_without_dropout_training_mode_says_what_evaluation_does(
        self, quiet: PeftModel, sequences: Sequences
    ) -> None:
        found = [forward(mode, None, sequences, 1.0).logprobs_BT for mode in (quiet.train(), quiet.eval())]
        assert torch.equal(found[0], found[1])


def whole(network: PeftModel, sequences: Sequences) -> tuple[Tensor, Tensor]:
    """logprobs_BT and entropy_BT from all logits at once."""
    real_BS = sequences.real_BS.long()
    logits_BSV = network(
        input_ids=sequences.ids_BS, attention_mask=real_BS, position_ids=(real_BS.cumsum(1) - 1).clamp(min=0)
    ).logits
    width = sequences.completion_width
    logprobs_BTV = torch.log_softmax(logits_BSV[:, -width - 1 : -1] / TEMPERATURE, -1)
    entropy_BT = -(logprobs_BTV.exp() * logprobs_BTV).sum(-1)
    completions_BT = sequences.ids_BS[:, -sequences.completion_width :]
    return logprobs_BTV.gather(-1, completions_BT[..., None])[..., 0], entropy_BT


def gradients(network: PeftModel, logprobs_BT: Tensor, mask_BT: Tensor) -> list[Tensor]:
    """Of a loss to which every token matters differently."""
    network.zero_grad()
    weights_BT = torch.linspace(-1, 2, logprobs_BT.numel()).view_as(logprobs_BT)
    (logprobs_BT.exp() * weights_BT)[mask_BT].sum().backward()
    return [tensor.grad.clone() for tensor in network.parameters() if tensor.grad is not None]


class Largest(TorchDispatchMode):
    """The number of elements of the largest tensor that is made with a column for every word."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self.words, self.elements = words, 0

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = operation(*args, **(kwargs or {}))
        made = [one for one in (found if isinstance(found, list | tuple) else [found]) if isinstance(one, Tensor)]
        wide = [one.numel() for one in made if one.shape[-1:] == (self.words,)]
        self.elements = max([self.elements, *wide])
        return found


class TestTiles:
    """Of three tokens and 100 words, so that several are needed in both directions."""

    @pytest.fixture(autouse=True)
    def small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(chunked_logprob, "TOKEN_CHUNK_SIZE", 3)
        monkeypatch.setattr(utils, "_CHUNKED_LOGPROB_CHUNK_SIZE", 100)

    def test_logprobs_entropy_and_gradients_are_those_of_all_logits_at_once(
        self, quiet: PeftModel, sequences: Sequences
    ) -> None:
        mask_BT = sequences.real_BS[:, -sequences.completion_width :]
        found = forward(quiet, None, sequences, TEMPERATURE)
        expected = whole(quiet, sequences)
        torch.testing.assert_close(found.logprobs_BT[mask_BT], expected[0][mask_BT], atol=1e-5, rtol=1e-6)
        torch.testing.assert_close(found.entropy_BT[mask_BT], expected[1][mask_BT], atol=1e-5, rtol=1e-6)
        mine, theirs = (gradients(quiet, one, mask_BT) for one in (found.logprobs_BT, expected[0]))
        assert len(mine) == len(theirs) == 2 * 7 * 4
        largest = max(gradient.abs().max() for gradient in theirs)
        for one, other in zip(mine, theirs, strict=True):
            assert (one - other).abs().max() <= 1e-5 * largest  # fp32 sums of thousands, in another order

    def test_no_tensor_of_batch_by_length_by_vocabulary_is_made(self, quiet: PeftModel, sequences: Sequences) -> None:
        """With 60 rows; what has a column for every word is the LM head's own weight, turned."""
        many = Sequences(sequences.ids_BS.repeat(20, 1), sequences.real_BS.repeat(20, 1), sequences.completion_width)
        words = quiet.config.vocab_size
        with Largest(words) as made:
            forward(quiet, None, many, TEMPERATURE).logprobs_BT.sum().backward()
        assert made.elements <= quiet.config.hidden_size * words < 60 * many.completion_width * words
        with Largest(words) as made:
            whole(quiet, many)
        assert made.elements == many.ids_BS.numel() * words

    def test_the_network_is_as_it_was_afterwards(self, quiet: PeftModel, sequences: Sequences) -> None:
        base = base_of(quiet)
        forward(quiet, None, sequences, TEMPERATURE)
        assert "forward" not in base.__dict__
        assert not base.base_model._forward_hooks


class TestReference:
    def test_from_a_base_it_is_the_base(self, quiet: PeftModel, sequences: Sequences) -> None:
        policy = forward(quiet, None, sequences, 1.0).logprobs_BT
        with reference(quiet):
            found = forward(quiet, None, sequences, 1.0).logprobs_BT
        with quiet.disable_adapter():
            assert torch.equal(found, forward(quiet, None, sequences, 1.0).logprobs_BT)
        assert not torch.equal(found, policy)

    def test_from_a_tuned_model_it_stays_what_the_run_began_with(self, quiet: PeftModel, sequences: Sequences) -> None:
        start = forward(quiet, None, sequences, 1.0).logprobs_BT.detach()
        trainable = {name for name, tensor in quiet.named_parameters() if tensor.requires_grad}
        freeze_start(quiet)
        without_dropout(quiet)
        with torch.no_grad():
            for tensor in quiet.parameters():
                if tensor.requires_grad:
                    tensor.add_(0.05)
        with reference(quiet):
            assert torch.equal(forward(quiet, None, sequences, 1.0).logprobs_BT, start)
        assert not torch.allclose(forward(quiet, None, sequences, 1.0).logprobs_BT, start, atol=0.01)
        assert {name for name, tensor in quiet.named_parameters() if tensor.requires_grad} == trainable

    @pytest.mark.parametrize("tuned", [False, True], ids=["from a base", "from a tuned model"])
    def test_whoever_switches_to_it_is_seen(self, quiet: PeftModel, tuned: bool) -> None:
        if tuned:
            freeze_start(quiet)
        assert not is_reference(quiet)
        with utils.use_adapter(quiet, "ref" if tuned else None):  # as TRL's trainers do
            assert is_reference(quiet)
        with reference(quiet):
            assert is_reference(quiet)
        assert not is_reference(quiet)
