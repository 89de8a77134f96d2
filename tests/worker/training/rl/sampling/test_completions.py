"""Completions drawn in the training child, on the starter with an adapter that has something to say."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import GenerationConfig

from fettle.datasets.formats.render import Renderer
from fettle.registry.catalog import STARTER
from tests.worker.training.networks import adapted
from worker.engine.grammar import compiled
from worker.engine.vocabulary import Vocabulary
from worker.training.rl.sampling.completions import Completions, Sampling, base_of, complete, decode, generated

pytestmark = pytest.mark.slow  # transformers and peft take seconds to import

QUESTIONS = (
    "Tom has 12 pens. Tom buys 7 more. How many pens does Tom have?",
    "There are 40 eggs. Ida takes 9. How many eggs are left?",
    "Gus has 6 boxes with 7 keys each and 11 more keys. How many keys in all?",
)


@pytest.fixture(scope="module")
def network() -> PeftModel:
    torch.set_num_threads(1)
    return adapted(Path(STARTER), loud=0.1).eval()


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(STARTER)


@pytest.fixture(scope="module")
def prompts(renderer: Renderer) -> list[list[int]]:
    found = [renderer.prompt([{"role": "user", "content": question}]) for question in QUESTIONS]
    assert len({len(prompt) for prompt in found}) > 1  # so that there is padding
    return found


def sampling(renderer: Renderer, **fields: float) -> Sampling:
    options: dict[str, float] = {"max_tokens": 24, **fields}
    return Sampling(ends=frozenset({renderer.eos_id}), pad_id=renderer.pad_id, **options)  # type: ignore[arg-type]


def logprobs_without_a_cache(
    network: PeftModel, prompt: Sequence[int], completion: Sequence[int], temperature: float
) -> torch.Tensor:
    """logprobs_T by one plain forward pass over one row."""
    with torch.no_grad():
        logits_TV = network(input_ids=torch.tensor([[*prompt, *completion]])).logits[0, len(prompt) - 1 : -1]
    ids_T1 = torch.tensor(completion)[:, None]
    return torch.log_softmax(logits_TV / temperature, -1).gather(-1, ids_T1)[:, 0]


def bits(network: PeftModel) -> dict[str, bytes]:
    return {name: tensor.detach().numpy().tobytes() for name, tensor in network.state_dict().items()}


class TestComplete:
    def test_greedy_completions_are_those_of_generate(
        self, network: PeftModel, renderer: Renderer, prompts: list[list[int]]
    ) -> None:
        said = complete(network, prompts, [0] * 3, sampling(renderer, temperature=0.0, max_tokens=40)).rows()
        config = GenerationConfig(do_sample=False, max_new_tokens=40, eos_token_id=renderer.eos_id, pad_token_id=0)  # type: ignore[no-untyped-call]
        for prompt, ids in zip(prompts, said, strict=True):
            alone = network.generate(input_ids=torch.tensor([prompt]), generation_config=config)  # type: ignore[no-untyped-call]
            assert ids == alone[0, len(prompt) :].tolist()

    def test_logprobs_are_those_of_a_plain_forward_pass(
        self, network: PeftModel, renderer: Renderer, prompts: list[list[int]]
    ) -> None:
        """At the temperature that was sampled with, and before top_p cuts."""
        said = complete(network, prompts, range(6), sampling(renderer, temperature=1.3, top_p=0.9))
        rows = [prompt for prompt in prompts for _ in range(2)]
        for prompt, ids, found in zip(rows, said.rows(), said.logprobs_BT, strict=True):
            expected_T = logprobs_without_a_cache(network, prompt, ids, 1.3)
            torch.testing.assert_close(found[: len(ids)], expected_T, atol=2e-4, rtol=0)
            assert not found[len(ids) :].any()

    def test_a_row_is_the_same_alone_and_among_others(
        self, network: PeftModel, renderer: Renderer, prompts: list[list[int]]
    ) -> None:
        how = sampling(renderer, temperature=1.2)
        together = complete(network, prompts, range(12), how).rows()
        alone = [
            complete(network, [prompt], [4 * place + copy], how).rows()[0]
            for place, prompt in enumerate(prompts)
            for copy in range(4)
        ]
        assert together == alone
        assert len({tuple(ids) for ids in together[:4]}) > 1  # and copies of one prompt differ

    def test_the_same_seeds_say_the_same_to_the_bit(
        self, network: PeftModel, renderer: Renderer, prompts: list[list[int]]
    ) -> None:
        first, second = (complete(network, prompts, range(6), sampling(renderer)) for _ in range(2))
        assert torch.equal(first.ids_BT, second.ids_BT) and torch.equal(first.logprobs_BT, second.logprobs_BT)
        assert complete(network, prompts, range(100, 106), sampling(renderer)).rows() != first.rows()

    def test_a_completion_ends_with_its_eos_or_at_the_limit(
        self, network: PeftModel, renderer: Renderer, prompts: list[list[int]]
    ) -> None:
        said = complete(network, prompts, range(12), sampling(renderer, max_tokens=12))
        assert said.ids_BT.shape == said.mask_BT.shape == said.logprobs_BT.shape
        for ids, ended in zip(said.rows(), said.ended_B.tolist(), strict=True):
            assert renderer.eos_id not in ids[:-1]
            assert ended == (ids[-1] == renderer.eos_id)
            assert ended or len(ids) == 12
        assert 0 < sum(said.ended_B.tolist()) < 12  # both kinds were met
        assert (said.ids_BT[~said.mask_BT] == renderer.pad_id).all()

    def test_a_limit_of_one_token_needs_no_cache(
        self, network: PeftModel, renderer: Renderer, prompts: list[list[int]]
    ) -> None:
        said = complete(network, prompts, range(3), sampling(renderer, max_tokens=1))
        assert [len(ids) for ids in said.rows()] == [1, 1, 1]

    def test_network_and_random_state_are_left_as_they_were(
        self, network: PeftModel, renderer: Renderer, prompts: list[list[int]]
    ) -> None:
        network.train()
        before, state = bits(network), torch.get_rng_state()
        trainable = {name for name, tensor in network.named_parameters() if tensor.requires_grad}
        complete(network, prompts, range(3), sampling(renderer))
        assert network.training and bits(network) == before and torch.equal(torch.get_rng_state(), state)
        assert {name for name, tensor in network.named_parameters() if tensor.requires_grad} == trainable
        network.eval()

    def test_with_its_adapter_off_the_base_speaks(
        self, network: PeftModel, renderer: Renderer, prompts: list[list[int]]
    ) -> None:
        how = sampling(renderer, max_tokens=8)
        with network.disable_adapter():
            base = complete(network, prompts, range(3), how)
            expected_T = logprobs_without_a_cache(network, prompts[0], base.rows()[0], 1.0)
        torch.testing.assert_close(base.logprobs_BT[0, : len(expected_T)], expected_T, atol=2e-4, rtol=0)
        tuned = complete(network, prompts, range(3), how)
        assert not torch.equal(base.logprobs_BT[:, 0], tuned.logprobs_BT[:, 0])

    def test_in_16_bits_it_samples_through_the_adapter(self, renderer: Renderer, prompts: list[list[int]]) -> None:
        network = adapted(Path(STARTER), loud=0.1).eval().to(torch.bfloat16)
        said = complete(network, prompts, range(3), sampling(renderer, max_tokens=4))
        expected_T = logprobs_without_a_cache(network, prompts[0], said.rows()[0], 1.0)
        torch.testing.assert_close(said.logprobs_BT[0, : len(expected_T)], expected_T.float(), atol=0.1, rtol=0)

    def test_tokens_are_as_frequent_as_they_are_likely(
        self, network: PeftModel, renderer: Renderer, prompts: list[list[int]]
    ) -> None:
        said: Completions = complete(network, prompts[:1], range(2000), sampling(renderer, max_tokens=1))
        with torch.no_grad():
            likely_V = torch.softmax(network(input_ids=torch.tensor(prompts[:1])).logits[0, -1], -1)
        share_V = torch.bincount(said.ids_BT[:, 0], minlength=len(likely_V)) / 2000
        error_V = (likely_V * (1 - likely_V) / 2000).sqrt()
        assert ((share_V - likely_V).abs() <= 4.5 * error_V + 1e-3).all()

    def test_seeds_that_cannot_be_shared_out_are_refused(
        self, network: PeftModel, renderer: Renderer, prompts: list[list[int]]
    ) -> None:
        with pytest.raises(ValueError, match="4 seeds cannot be shared out evenly among 3 prompts"):
            complete(network, prompts, range(4), sampling(renderer))


def test_a_watch_hears_after_every_token_how_many_have_ended_and_how_much_is_written(
    network: PeftModel, renderer: Renderer, prompts: list[list[int]]
) -> None:
    heard: list[tuple[int, int, int]] = []
    found = complete(network, prompts, range(6), sampling(renderer), lambda *said: heard.append(said))
    lengths = found.mask_BT.sum(-1).tolist()
    ended = found.ended_B.tolist()
    for t, (done, total, written) in enumerate(heard, 1):
        assert total == 6
        assert done == sum(length <= t for length, end in zip(lengths, ended, strict=True) if end)
        assert written == sum(min(length, t) for length in lengths)


class TestGrammar:
    @pytest.mark.parametrize("way", ["decode", "generated"])
    def test_every_completion_is_what_the_schema_says(
        self, network: PeftModel, renderer: Renderer, prompts: list[list[int]], way: str
    ) -> None:
        """However a base's layers are cached. The starter has never seen JSON; rows end at different lengths."""
        schema = {"type": "object", "properties": {"answer": {"enum": [7, 19, 12345]}}, "required": ["answer"]}
        grammar = compiled(
            {**schema, "additionalProperties": False}, Vocabulary(renderer, frozenset({renderer.eos_id}))
        )
        asked = replace(sampling(renderer, max_tokens=150, temperature=1.5), grammar=grammar)  # blanks are allowed
        draw = {"decode": decode, "generated": generated}[way]
        ids_BT, _, lengths_B = draw(base_of(network), prompts, range(9), asked)
        texts = [renderer.decode(ids[:length]) for ids, length in zip(ids_BT.tolist(), lengths_B, strict=True)]
        assert {json.loads(text)["answer"] for text in texts} <= {7, 19, 12345}
        assert len(set(lengths_B.tolist())) > 1
