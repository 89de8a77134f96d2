from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from fettle.datasets.formats.render import Renderer
from fettle.errors import FettleError
from tests.worker.engine.conftest import QUESTION, QUESTIONS, greedy, user
from worker.engine import decoding
from worker.engine import scheduler as lane_module
from worker.engine.adapters import Weights
from worker.engine.completion import Completion
from worker.engine.errors import GenerationFailed
from worker.engine.networks import Network
from worker.engine.prefill import Prefill
from worker.engine.requests import Piece, Request
from worker.engine.scheduler import BaseScheduler

pytestmark = pytest.mark.slow  # loads transformers

Ask = Callable[..., Request]
Oracles = dict[str | None, Any]


def run(
    network: Network, *requests: Request, later: dict[int, list[Request]] | None = None
) -> tuple[list[Completion], list[tuple[Request, Piece | FettleError]]]:
    """Decodes to the end: the rows in order, and everything that was told. later: who joins at which step."""
    scheduler, rows, told = BaseScheduler(network), {}, []
    scheduler.admit(list(requests))
    joining = dict(later or {})
    step = 0
    while joining or not scheduler.idle:
        if step in joining:
            scheduler.admit(joining.pop(step))
        with recorded(rows):
            told += [*scheduler.leave(), *scheduler.advance()]
        step += 1
    everybody = [*requests, *(request for group in (later or {}).values() for request in group)]
    return [rows[request, index] for request in everybody for index in range(request.sampling.n)], told


@contextmanager
def recorded(rows: dict[tuple[Request, int], Completion]) -> Iterator[None]:
    """Every row that is made."""

    def made(request: Request, index: int) -> Completion:
        return rows.setdefault((request, index), Completion(request, index))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "Completion", made)
        yield


def test_greedy_tokens_are_those_of_transformers_generate(network: Network, ask: Ask, oracles: Oracles) -> None:
    for name, oracle in oracles.items():
        request = ask(slot=name, max_tokens=40)
        ((row,), _) = run(network, request)
        expected = greedy(oracle, request.prompt, 40)
        ended = expected[-1] in request.base.ends
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


def test_adapters_and_the_base_in_one_batch_say_what_each_says_alone(
    network: Network, ask: Ask, oracles: Oracles
) -> None:
    wanted = [(name, text) for text in QUESTIONS for name in ("two", None, "endless", "one", None)]
    requests = [ask(text, name, max_tokens=20 + place) for place, (name, text) in enumerate(wanted)]
    rows, _ = run(network, *requests)
    for (name, _), request, row in zip(wanted, requests, rows, strict=True):
        expected = greedy(oracles[name], request.prompt, request.sampling.max_tokens)
        assert row.text.ids == [token for token in expected if token not in request.base.ends]


def test_who_joins_a_running_batch_says_what_it_says_alone_and_disturbs_nobody(
    network: Network, ask: Ask, oracles: Oracles
) -> None:
    first = [ask(QUESTIONS[0], "endless", max_tokens=60), ask(QUESTIONS[1], None, max_tokens=3)]
    later = {
        4: [ask(QUESTIONS[2], "one", max_tokens=30)],
        5: [ask(QUESTIONS[1], "endless", max_tokens=80), ask(QUESTIONS[0], "two")],
        40: [ask(QUESTIONS[1], "two", max_tokens=300)],
    }
    rows, _ = run(network, *first, later=later)
    requests = [*first, *(request for group in later.values() for request in group)]
    for request, row in zip(requests, rows, strict=True):
        expected = greedy(oracles[request.slot], request.prompt, request.sampling.max_tokens)
        assert row.text.ids == [token for token in expected if token not in request.base.ends]


def test_a_long_prompt_is_read_in_chunks_while_the_others_decode(
    network: Network, ask: Ask, oracles: Oracles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_module, "CHUNK", 16)
    scheduler = BaseScheduler(network)
    talking, long = ask(slot="endless", max_tokens=100), ask(" ".join(QUESTIONS * 3), "one", max_tokens=20)
    scheduler.admit([talking])
    scheduler.advance()
    (row,) = scheduler.batch.rows
    scheduler.admit([long])
    steps = 0
    while scheduler.reading:
        scheduler.advance()
        steps += 1
        assert row.tokens == 2 + steps  # one more every step, whatever is read beside it
    assert steps == -(-len(long.prompt) // 16)
    joined = scheduler.batch.rows[1]
    while not joined.over:
        scheduler.advance()
    assert joined.text.ids == [t for t in greedy(oracles["one"], long.prompt, 20) if t not in long.base.ends]


def test_a_short_prompt_takes_turns_with_a_long_one(
    network: Network, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_module, "ALONE", 16)
    monkeypatch.setattr(lane_module, "CHUNK", 16)
    scheduler = BaseScheduler(network)
    long, short = ask(" ".join(QUESTIONS * 6)), ask("Hi", slot="endless", max_tokens=100)
    scheduler.admit([long])
    scheduler.advance()
    assert not scheduler.full
    scheduler.admit([short])
    assert scheduler.full
    scheduler.advance()
    scheduler.advance()
    assert [row.request for row in scheduler.batch.rows] == [short]
    assert scheduler.reading
    while scheduler.reading:
        scheduler.advance()
    assert [row.request for row in scheduler.batch.rows] == [short, long]


def test_the_prompt_of_an_answer_with_n_choices_is_read_once(
    network: Network, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    real = Network.logits

    def counted(self: Network, plan: Any, ids_BT: torch.Tensor, *rest: Any) -> torch.Tensor:
        read.append(tuple(ids_BT.shape))
        return real(self, plan, ids_BT, *rest)

    monkeypatch.setattr(Network, "logits", counted)
    request = ask(slot="endless", n=5, max_tokens=3)
    rows, _ = run(network, request)
    assert read == [(1, len(request.prompt)), (5, 1), (5, 1)]
    assert len({tuple(row.text.ids) for row in rows}) == 1


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
    network: Network, ask: Ask, oracles: Oracles, renderer: Renderer
) -> None:
    expected = greedy(oracles["endless"], renderer.prompt(user(QUESTION)), 12)
    end = expected[-1]
    before = expected[: expected.index(end)]
    ((row,), told) = run(network, ask(slot="endless", max_tokens=50, ends=frozenset({end})))
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
    scheduler = BaseScheduler(network)
    scheduler.admit([leaving, staying])
    scheduler.advance()
    leaving.cancel()
    scheduler.leave()
    assert [row.request for row in scheduler.batch.rows] == [staying]
    assert all(request is staying for request, _ in scheduler.advance())
    unread = ask("a question that nobody waits for")
    scheduler.admit([unread])
    unread.cancel()
    assert all(request is staying for request, _ in scheduler.advance())
    assert not scheduler.reading


def test_logits_that_are_no_numbers_fail_their_own_request_and_nobody_elses(network: Network, ask: Ask) -> None:
    """Beside it, after it in the same row of the cache, and in the same batch."""
    ((before,), _) = run(network, ask(slot="endless", max_tokens=40))
    weights = network.loras["two"]
    network.attach("two", Weights({name: (A_DR, B_RO * torch.nan) for name, (A_DR, B_RO) in weights.items()}))
    bad, good, after = ask(slot="two", n=2), ask(slot="endless", max_tokens=40), ask(slot="endless", max_tokens=40)
    try:
        (_, _, beside, then), told = run(network, bad, good, later={3: [after]})
    finally:
        network.attach("two", Weights(weights))
    assert [type(item) for request, item in told if request is bad] == [GenerationFailed]
    assert beside.text.ids == then.text.ids == before.text.ids


def test_who_failed_in_a_step_that_breaks_is_told_too(
    network: Network, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request of which no row is decoded any more is no longer in the batch when the batch is given up."""

    def broken(*_: object) -> None:
        raise RuntimeError("no memory left")

    scheduler = BaseScheduler(network)
    steered, beside = ask(slot="endless", logit_bias={5: 1.0}), ask(slot="endless")
    scheduler.admit([steered, beside])
    scheduler.advance()
    assert len(scheduler.batch.rows) == 2
    monkeypatch.setattr(Completion, "steer", broken)
    monkeypatch.setattr(decoding, "sample", broken)
    told = scheduler.advance()
    assert {request for request, item in told if isinstance(item, FettleError)} == {steered, beside}


def test_prompts_that_cannot_be_read_together_get_a_chance_each(
    network: Network, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Prefill.advance
    good, bad, other = ask(slot="one", max_tokens=5), ask(slot="two", max_tokens=5), ask(max_tokens=5)

    def out_of_memory(prefill: Prefill, tokens: int) -> bool:
        if bad in prefill.requests:
            raise RuntimeError("CUDA out of memory")
        return real(prefill, tokens)

    monkeypatch.setattr(Prefill, "advance", out_of_memory)
    scheduler = BaseScheduler(network)
    scheduler.admit([good, bad, other])
    told = []
    while not scheduler.idle:
        told += [*scheduler.leave(), *scheduler.advance()]
    ends = dict(told)
    assert isinstance(ends[bad], GenerationFailed)
    for request in (good, other):
        item = ends[request]
        assert isinstance(item, Piece)
        assert item.finish_reason is not None
