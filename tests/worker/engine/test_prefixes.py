"""Prompts that begin alike are read once, by requests that may share them, and the answers stay the same."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.worker.engine.conftest import Engine
from tests.worker.engine.test_decoding import run
from worker.engine.completion import Completion
from worker.engine.networks import Network
from worker.engine.prefixes import BLOCK, MAX_KEPT, Prefixes, divide
from worker.engine.requests import Piece, Request

pytestmark = pytest.mark.slow  # loads transformers

Ask = Callable[..., Request]
TOLERANCE = 1e-4  # of a log-probability, float32: products of other shapes add their terms in another order
LONG = "Tom has 12 apples and 30 pears. " * 6
ENDS = ("How many apples?", "How many pears does Tom have, if Zoe eats 3 of them?", "There are 90 cups.")


@pytest.fixture
def network(network: Network) -> Iterator[Network]:
    network.prefixes = Prefixes()
    yield network
    network.prefixes = Prefixes()


def salted(request: Request, salt: str | None = "ours") -> Request:
    request.salt = salt
    return request


def answered(network: Network, *requests: Request) -> tuple[list[Completion], list[list[float]]]:
    rows, told = run(network, *requests)
    logprobs: dict[Request, list[float]] = {request: [] for request in requests}
    for request, piece in told:
        if isinstance(piece, Piece):
            logprobs[request] += [each.logprob for each in piece.logprobs]
    return rows, [*logprobs.values()]


@pytest.mark.parametrize("slot", [None, "one"])
def test_a_warm_answer_is_the_cold_one(network: Network, ask: Ask, slot: str | None) -> None:
    def asked(salt: str | None) -> list[Request]:
        return [salted(ask(LONG + end, slot, logprobs=0, max_tokens=40), salt) for end in ENDS]

    cold_rows, cold = answered(network, *asked(None))
    assert network.prefixes.positions == 0  # who shares nothing leaves nothing
    answered(network, salted(ask(LONG + "?", slot, max_tokens=1)))
    together = asked("ours")
    warm_rows, warm = answered(network, *together)
    for request in together:
        assert BLOCK <= request.cached < len(request.prompt)
    assert [row.text.ids for row in warm_rows] == [row.text.ids for row in cold_rows]
    for mine, theirs in zip(warm, cold, strict=True):
        assert mine == pytest.approx(theirs, abs=TOLERANCE)


def test_the_same_prompt_again_leaves_only_its_end_to_be_read(network: Network, ask: Ask) -> None:
    first, second = (salted(ask(LONG)) for _ in range(2))
    run(network, first)
    run(network, second)
    assert first.cached == 0
    assert second.cached == (len(second.prompt) - 1) // BLOCK * BLOCK


def test_nobody_else_finds_it(network: Network, ask: Ask) -> None:
    run(network, salted(ask(LONG, "one")))
    strangers = [salted(ask(LONG, "one"), "theirs"), salted(ask(LONG, "two")), salted(ask(LONG)), ask(LONG, "one")]
    for stranger in strangers:
        run(network, stranger)
        assert stranger.cached == 0
    run(network, same := salted(ask(LONG, "one")))
    assert same.cached > 0


def test_an_adapter_that_leaves_takes_its_own_along(network: Network, ask: Ask) -> None:
    run(network, salted(ask(LONG, "one")), salted(ask(LONG)))
    blocks = len(network.prefixes.blocks)
    network.prefixes.forget("one")
    assert 0 < len(network.prefixes.blocks) == blocks / 2


def test_prompts_with_little_left_do_not_wait_for_one_that_is_all_new(network: Network, ask: Ask) -> None:
    run(network, salted(ask(6 * LONG, max_tokens=1)))
    known, new = salted(ask(6 * LONG, max_tokens=1)), salted(ask("New. " + 6 * LONG, max_tokens=1))
    run(network, known, new)
    assert known.cached > 0 and new.cached == 0


class TestRoom:
    def test_the_end_of_what_was_used_longest_ago_goes_first(self, network: Network, ask: Ask) -> None:
        network.prefixes.limit = limit = 4 * BLOCK
        run(network, older := salted(ask("Old. " + LONG, max_tokens=1)))
        own = len(network.prefixes.blocks)
        assert own == 3
        run(network, salted(ask("New. " + LONG, max_tokens=1)))
        assert network.prefixes.positions <= limit
        left = network.prefixes.find(older)
        assert len(left) == 1

    def test_batches_go_first(self, network: Network, ask: Ask) -> None:
        run(network, salted(ask(LONG, max_tokens=1)))
        empty = Prefixes()
        divide([network.prefixes, empty], 2 * BLOCK + 1)
        assert network.prefixes.positions == 2 * BLOCK
        assert (network.prefixes.limit, empty.limit) == (2 * BLOCK + 1, 1)
        divide([network.prefixes, empty], 0)
        assert network.prefixes.positions == 0
        divide([network.prefixes, empty], MAX_KEPT)
        assert network.prefixes.limit == MAX_KEPT

    def test_a_prompt_that_is_longer_than_the_room_keeps_its_beginning(self, network: Network, ask: Ask) -> None:
        network.prefixes.limit = 2 * BLOCK
        run(network, salted(ask(LONG, max_tokens=1)))
        run(network, again := salted(ask(LONG, max_tokens=1)))
        assert again.cached == 2 * BLOCK


class TestOverHttp:
    def test_usage_says_what_was_reused(self, engine: Engine) -> None:
        def details(**fields: Any) -> Any:
            return engine.chat(text="Over HTTP. " + LONG, **fields).json()["usage"]["prompt_tokens_details"]

        assert details(cache_salt="a") == {"cached_tokens": 0}
        warm = details(cache_salt="a", n=2)["cached_tokens"]
        assert warm >= BLOCK
        assert details() == details(cache_salt="b") == {"cached_tokens": 0}
        *_, last = engine.chunks(text="Over HTTP. " + LONG, cache_salt="a", stream_options={"include_usage": True})
        assert last["usage"]["prompt_tokens_details"] == {"cached_tokens": warm}

    def test_an_empty_salt_is_refused(self, engine: Engine) -> None:
        assert engine.chat(cache_salt="").status_code == 400
