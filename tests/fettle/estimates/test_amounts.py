"""Steps and tokens of a job, worked out by hand."""

from typing import Any

import pytest

from fettle import methods
from fettle.estimates import amounts
from fettle.estimates.amounts import Rows

ROWS = Rows(rows=100, items=1.0, tokens=50.0, prompts=1.0, prompt_tokens=20.0, counted=True)


def resolved(kind: str, given: dict[str, Any] | None = None, rows: int = 100, **asked: Any) -> dict[str, Any]:
    body = {"type": kind, kind: {**(given or {}), "hyperparameters": asked}}
    method = methods.METHODS[kind].request.model_validate(body)
    facts = methods.Given(rows=rows, base_parameters=1_000_000, base_length=2048, file_bytes=20_000)
    return methods.resolve(method, facts)


def test_a_text_file_is_read_once_an_epoch_and_the_last_batch_may_be_short() -> None:
    (phase,) = amounts.phases(resolved("supervised", n_epochs=3, batch_size=16), ROWS)
    assert (phase.name, phase.steps, phase.tokens, phase.unit) == ("supervised", 7 * 3, 100 * 50 * 3, "tokens")


def test_packed_rows_make_as_many_batches_as_their_blocks() -> None:
    asked = resolved("supervised", n_epochs=1, batch_size=1, max_seq_length=500, packing=True)
    (phase,) = amounts.phases(asked, ROWS)
    assert phase.steps == 11  # 5,000 tokens in blocks of 500, 97 % full
    assert phase.tokens == 5000


def test_a_ranking_is_several_pairs() -> None:
    rows = Rows(rows=10, items=3.0, tokens=100.0, prompts=1.0, prompt_tokens=20.0, counted=True)
    (phase,) = amounts.phases(resolved("dpo", n_epochs=2, batch_size=8), rows)
    assert (phase.steps, phase.tokens) == (4 * 2, 10 * 3 * 100 * 2)


def test_reinforcement_answers_whole_batches_only() -> None:
    asked = resolved(
        "reinforcement", {"reward_functions": ["exact_match"]}, n_epochs=2, batch_size=16, group_size=4,
        max_completion_tokens=30,
    )  # fmt: skip
    (phase,) = amounts.phases(asked, ROWS)
    assert (phase.steps, phase.units, phase.unit) == (6 * 2, 12 * 16 * 4, "completions")
    assert phase.tokens == 768 * (20 + 15)  # half of the limit, as long as nothing is measured
    (measured,) = amounts.phases(asked, ROWS, 42.0)
    assert measured.tokens == 768 * 42


def test_rlhf_trains_its_reward_model_first_and_answers_each_prompt_once() -> None:
    rows = Rows(rows=100, items=1.0, tokens=50.0, prompts=0.5, prompt_tokens=20.0, counted=True)
    asked = resolved(
        "rlhf", {"reward_model_hyperparameters": {"n_epochs": 1, "batch_size": 10}}, n_epochs=1, batch_size=25
    )
    first, policy = amounts.phases(asked, rows)
    assert (first.name, first.steps, first.tokens) == ("reward_model", 10, 5000)
    assert (policy.name, policy.steps, policy.units) == ("policy", 2, 50)


def test_with_an_existing_reward_model_there_is_one_phase() -> None:
    asked = resolved("rlhf", {"reward_model": "ft:rm"}, n_epochs=1, batch_size=10)
    assert [phase.name for phase in amounts.phases(asked, ROWS)] == ["policy"]


def test_without_a_sample_tokens_come_from_the_files_size() -> None:
    rows = Rows.of_size(100, 4000)
    assert (rows.tokens, rows.counted) == (10, False)
    assert Rows.of_size(100, 4000, 0.5).tokens == 20


def test_a_sample_stands_for_all_rows() -> None:
    found = {"rows": 50, "items": 40, "tokens": 800, "prompts": 25, "prompt_tokens": 100}
    rows = Rows.of_sample(1000, found)
    assert (rows.items, rows.tokens, rows.prompts, rows.prompt_tokens) == (0.8, 20, 0.5, 4)
    (phase,) = amounts.phases(resolved("supervised", n_epochs=1, batch_size=8), rows)
    assert phase.tokens == pytest.approx(1000 * 0.8 * 20)
