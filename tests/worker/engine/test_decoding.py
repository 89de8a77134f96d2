from collections.abc import Callable
from typing import Any

import pytest
import torch

from fettle.errors import FettleError
from fettle.formats.render import Renderer
from tests.worker.engine.conftest import QUESTION, QUESTIONS, greedy, user
from worker.engine.decoding import Batch
from worker.engine.errors import GenerationFailed
from worker.engine.networks import Network
from worker.engine.requests import Piece, Request
from worker.engine.rows import Row

Ask = Callable[..., Request]
Oracles = dict[str | None, Any]


def run(network: Network, *requests: Request) -> tuple[list[Row], list[tuple[Request, Piece | FettleError]]]:
    """Decodes to the end: the rows in order, and everything that was told."""
    batch = Batch(network, list(requests))
    rows, told = list(batch.rows), []
    while batch.rows:
        told += batch.step()
        batch.drop_finished()
    return rows, told


def test_greedy_tokens_are_those_of_transformers_generate(network: Network, ask: Ask, oracles: Oracles) -> None:
    for name, oracle in oracles.items():
        request = ask(slot=name, max_tokens=40)
        ((row,), _) = run(network, request)
        expected = greedy(oracle, request.prompt, 40)
        ended = expected[-1] in network.ends
        assert row.text.ids == (expected[:-1] if ended else expected)
        assert row.tokens == len(expected)


def test_prompts_of_different_lengths_give_in_one_batch_what_each_gives_alone(network: Network, ask: Ask) -> None:
    for slot in (None, "one", "endless"):
        limits = (40, 9, 30)
        requests = [ask(text, slot, max_tokens=limit) for text, limit in zip(QUESTIONS, limits, strict=True)]
        assert len({len(request.prompt) for request in requests}) == 3
        alone = [
            run(network, ask(text, slot, max_tokens=limit))[0][0] for text, limit in zip(QUESTIONS, limits, strict=True)
        ]
        together, _ = run(network, *requests)
        assert [row.text.ids for row in together] == [row.text.ids for row in alone]
        assert [row.tokens for row in together] == [row.tokens for row in alone]


def test_shorter_prompts_are_padded_on_the_left_and_count_from_their_own_first_token(
    network: Network, ask: Ask
) -> None:
    short, long = ask(QUESTIONS[1]), ask(QUESTIONS[0])
    pad = len(long.prompt) - len(short.prompt)
    assert pad > 0
    batch = Batch(network, [short, long])
    assert batch.ids_BT[0, pad:].tolist() == short.prompt
    assert batch.mask_BT.tolist() == [[0] * pad + [1] * len(short.prompt), [1] * len(long.prompt)]
    assert batch.positions_BT.tolist() == [[0] * pad + [*range(len(short.prompt))], [*range(len(long.prompt))]]
    batch.step()
    assert batch.positions_BT.tolist() == [[len(short.prompt)], [len(long.prompt)]]
    assert batch.mask_BT.sum(-1).tolist() == [len(short.prompt) + 1, len(long.prompt) + 1]


def test_a_seed_gives_the_same_tokens_whatever_else_is_in_the_batch(network: Network, ask: Ask) -> None:
    mine: dict[str, Any] = {"slot": "endless", "temperature": 1.5, "top_p": 0.9, "seed": 7}
    ((alone,), _) = run(network, ask(**mine))
    (_, beside, _, _), _ = run(
        network,
        ask(QUESTIONS[1], "endless", temperature=2.0, top_p=1.0),
        ask(**mine),
        ask(QUESTIONS[2], "endless", n=2, temperature=0.5),
    )
    assert beside.text.ids == alone.text.ids
    ((other,), _) = run(network, ask(**mine | {"seed": 8}))
    assert other.text.ids != alone.text.ids


def test_row_i_of_n_is_drawn_with_seed_plus_i(network: Network, ask: Ask) -> None:
    rows, _ = run(network, ask(slot="endless", n=3, temperature=1.5, seed=40))
    single = [run(network, ask(slot="endless", temperature=1.5, seed=40 + i))[0][0] for i in range(3)]
    assert [row.text.ids for row in rows] == [row.text.ids for row in single]
    assert len({tuple(row.text.ids) for row in rows}) > 1


def test_without_a_seed_two_answers_differ(network: Network, ask: Ask) -> None:
    first, second = (run(network, ask(slot="endless", temperature=2.0))[0][0] for _ in range(2))
    assert first.text.ids != second.text.ids


def test_pieces_say_text_tokens_and_why_a_row_ended(network: Network, ask: Ask, renderer: Renderer) -> None:
    request = ask(slot="endless", max_tokens=20)
    ((row,), told) = run(network, request)
    pieces = [item for _, item in told if isinstance(item, Piece)]
    assert "".join(piece.text for piece in pieces) == renderer.decode(row.text.ids)
    assert [piece.finish_reason for piece in pieces[:-1]] == [None] * (len(pieces) - 1)
    assert (pieces[-1].finish_reason, pieces[-1].tokens) == ("length", 20)


def test_an_end_token_counts_but_gives_no_text(
    network: Network, ask: Ask, oracles: Oracles, renderer: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = greedy(oracles["endless"], renderer.prompt(user(QUESTION)), 12)
    end = expected[-1]
    before = expected[: expected.index(end)]
    monkeypatch.setattr(network, "ends", frozenset({end}))
    ((row,), told) = run(network, ask(slot="endless", max_tokens=50))
    assert row.text.ids == before
    last = told[-1][1]
    assert isinstance(last, Piece)
    assert (last.finish_reason, last.tokens) == ("stop", len(before) + 1)


def test_a_stop_string_ends_its_row_and_no_other(network: Network, ask: Ask, renderer: Renderer) -> None:
    ((whole,), _) = run(network, ask(slot="endless", max_tokens=30))
    text = renderer.decode(whole.text.ids)
    stop = text[10:13]
    assert text.index(stop) > 0
    (stopped, other), told = run(
        network, ask(slot="endless", max_tokens=30, stops=(stop,)), ask(slot="endless", max_tokens=30)
    )
    said = "".join(item.text for request, item in told if isinstance(item, Piece) and request is stopped.request)
    assert said == text[: text.index(stop)]
    assert stopped.tokens < 30
    assert other.text.ids == whole.text.ids


def test_a_cancelled_request_leaves_the_batch(network: Network, ask: Ask) -> None:
    staying, leaving = ask(slot="endless"), ask(slot="endless", n=3)
    batch = Batch(network, [staying, leaving])
    batch.step()
    leaving.cancel()
    batch.drop_finished()
    assert [row.request for row in batch.rows] == [staying]
    assert all(request is staying for request, _ in batch.step())


def test_logits_that_are_no_numbers_fail_their_request_and_the_next_batch_is_sound(network: Network, ask: Ask) -> None:
    ((before,), _) = run(network, ask())
    weight = next(parameter for name, parameter in network.network.named_parameters() if "lora_B.two" in name)
    kept = weight.detach().clone()
    with torch.no_grad():
        weight.fill_(torch.nan)
    try:
        _, told = run(network, ask(slot="two", n=2))
        ((after,), _) = run(network, ask())
    finally:
        with torch.no_grad():
            weight.copy_(kept)
    assert [type(item) for _, item in told] == [GenerationFailed]
    assert after.text.ids == before.text.ids
