"""What policy, reference and value head say of padded batches, against one plain pass a row."""

import pytest
import torch
from peft import PeftModel
from torch import Tensor, nn

from worker.training.rl.ppo.experience import Prompt
from worker.training.rl.ppo.policy import Sequences, ValueHead, freeze_start, reference, said, without_dropout

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
        found = said(quiet, head, sequences, TEMPERATURE)
        for row, ids in enumerate(WRITTEN):
            logprobs_T, values_T = alone(quiet, head, prompts[row], ids)
            torch.testing.assert_close(found.logprobs_BT[row, : len(ids)], logprobs_T, atol=1e-4, rtol=0)
            torch.testing.assert_close(found.values_BT[row, : len(ids)], values_T, atol=1e-3, rtol=0)

    def test_a_part_says_what_the_whole_does_in_fewer_columns(self, quiet: PeftModel, sequences: Sequences) -> None:
        head = head_of(quiet)
        whole = said(quiet, head, sequences, TEMPERATURE)
        part = sequences.part(torch.tensor([1, 0]))
        assert part.completion_width == 3 and part.ids_BS.shape[1] < sequences.ids_BS.shape[1]
        found = said(quiet, head, part, TEMPERATURE)
        for mine, row in enumerate((1, 0)):
            length = len(WRITTEN[row])
            torch.testing.assert_close(
                found.logprobs_BT[mine, :length], whole.logprobs_BT[row, :length], atol=1e-4, rtol=0
            )

    def test_rows_without_a_token_still_have_a_column(self, quiet: PeftModel, prompts: list[Prompt]) -> None:
        empty = Sequences.of([prompts[0].ids], torch.zeros(1, 4, dtype=torch.long), torch.zeros(1, 4), 0)
        assert said(quiet, None, empty.part(torch.tensor([0])), 1.0).logprobs_BT.shape == (1, 1)

    def test_the_value_head_does_not_shape_the_policy(self, quiet: PeftModel, sequences: Sequences) -> None:
        head = head_of(quiet)
        said(quiet, head, sequences, TEMPERATURE).values_BT.sum().backward()
        assert head.linear.weight.grad is not None and head.linear.weight.grad.any()
        assert all(tensor.grad is None for tensor in quiet.parameters())

    def test_a_fresh_head_says_0(self, quiet: PeftModel, sequences: Sequences) -> None:
        assert not said(quiet, ValueHead(quiet.config.hidden_size), sequences, 1.0).values_BT.any()

    def test_without_dropout_training_mode_says_what_evaluation_does(
        self, quiet: PeftModel, sequences: Sequences
    ) -> None:
        found = [said(mode, None, sequences, 1.0).logprobs_BT for mode in (quiet.train(), quiet.eval())]
        assert torch.equal(found[0], found[1])


class TestReference:
    def test_from_a_base_it_is_the_base(self, quiet: PeftModel, sequences: Sequences) -> None:
        policy = said(quiet, None, sequences, 1.0).logprobs_BT
        with reference(quiet):
            found = said(quiet, None, sequences, 1.0).logprobs_BT
        with quiet.disable_adapter():
            assert torch.equal(found, said(quiet, None, sequences, 1.0).logprobs_BT)
        assert not torch.equal(found, policy)

    def test_from_a_tuned_model_it_stays_what_the_run_began_with(self, quiet: PeftModel, sequences: Sequences) -> None:
        start = said(quiet, None, sequences, 1.0).logprobs_BT.detach()
        trainable = {name for name, tensor in quiet.named_parameters() if tensor.requires_grad}
        freeze_start(quiet)
        without_dropout(quiet)
        with torch.no_grad():
            for tensor in quiet.parameters():
                if tensor.requires_grad:
                    tensor.add_(0.05)
        with reference(quiet):
            assert torch.equal(said(quiet, None, sequences, 1.0).logprobs_BT, start)
        assert not torch.allclose(said(quiet, None, sequences, 1.0).logprobs_BT, start, atol=0.01)
        assert {name for name, tensor in quiet.named_parameters() if tensor.requires_grad} == trainable
