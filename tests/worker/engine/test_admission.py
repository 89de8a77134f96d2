from collections import deque
from collections.abc import Callable
from dataclasses import replace

import pytest

from worker.engine import admission
from worker.engine.admission import MAX_OVERTAKEN, Load, admit
from worker.engine.requests import Request

Ask = Callable[..., Request]


def test_requests_for_any_adapter_of_a_base_go_together(ask: Ask) -> None:
    requests = [ask(slot="a"), ask(slot="b"), ask(slot=None), ask(slot="a")]
    waiting = deque(requests)
    assert admit(waiting, {}) == {"starter": requests}
    assert not waiting
    assert admit(waiting, {}) == {}


def test_each_base_has_a_batch_of_its_own(ask: Ask) -> None:
    here, there = ask(), ask()
    there.base = replace(there.base, name="other")
    assert admit(deque([here, there]), {}) == {"starter": [here], "other": [there]}


def test_a_batch_has_no_more_rows_than_allowed_and_those_that_run_count(ask: Ask) -> None:
    requests = [ask(n=16) for _ in range(5)] + [ask(n=1)]
    waiting = deque(requests)
    assert admit(waiting, {"starter": Load(15, 100)}) == {"starter": [*requests[:3], requests[5]]}
    assert list(waiting) == requests[3:5]


def test_the_batches_hold_no_more_positions_than_allowed(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    width = ask().width
    monkeypatch.setattr(admission, "MAX_POSITIONS", 4 * width)
    one, two, long, three = ask(), ask(), ask(max_tokens=300), ask()
    waiting = deque([one, two, long, three])
    assert admit(waiting, {"other": Load(1, width)}) == {"starter": [one, two, three]}
    assert list(waiting) == [long]
    assert admit(waiting, {"starter": Load(1, width)}) == {}
    assert admit(waiting, {}) == {"starter": [long]}  # too large for any batch, so alone


def test_a_request_without_room_is_overtaken_only_so_often(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    width = ask().width
    monkeypatch.setattr(admission, "MAX_POSITIONS", 2 * width)
    wide = ask(max_tokens=300)
    waiting = deque([wide])
    for _ in range(MAX_OVERTAKEN):
        waiting.append(ask())
        assert len(admit(waiting, {"starter": Load(1, width)})["starter"]) == 1
    waiting.append(ask())
    assert admit(waiting, {"starter": Load(1, width)}) == {}
    assert admit(waiting, {}) == {"starter": [wide]}


def test_a_base_that_still_reads_prompts_takes_nobody_in(ask: Ask) -> None:
    waiting = deque([ask()])
    assert admit(waiting, {"starter": Load(1, 50)}, reading=["starter"]) == {}
    assert len(waiting) == 1


def test_prompts_of_very_different_lengths_are_not_read_together(ask: Ask) -> None:
    short, long, other = ask("Hi"), ask("cups " * 500), ask("Hi")
    waiting = deque([short, long, other])
    assert admit(waiting, {}) == {"starter": [short, other]}
    assert admit(waiting, {"starter": Load(2, 50)}) == {"starter": [long]}


def test_cancelled_requests_are_thrown_out(ask: Ask) -> None:
    gone, here, gone_too = ask(), ask(), ask()
    gone.cancel()
    gone_too.cancel()
    waiting = deque([gone, here, gone_too])
    assert admit(waiting, {}) == {"starter": [here]}
    assert not waiting


def background(ask: Ask, **changed: object) -> Request:
    return replace(ask(**changed), background=True)


def test_background_requests_join_an_idle_engine_and_few_at_a_time(ask: Ask) -> None:
    requests = [background(ask) for _ in range(admission.BACKGROUND_ROWS + 2)]
    waiting = deque(requests)
    taken = admit(waiting, {})["starter"]
    assert taken == requests[: admission.BACKGROUND_ROWS]
    assert admit(waiting, {"starter": Load(4, 100)}, running=taken) == {}


def test_background_requests_let_others_go_first(ask: Ask) -> None:
    later, chat = background(ask), ask()
    waiting = deque([later, chat])
    assert admit(waiting, {}) == {"starter": [chat]}
    assert admit(waiting, {"starter": Load(1, 100)}, running=[chat]) == {}
    assert admit(waiting, {}) == {"starter": [later]}


def test_under_constant_load_one_background_request_joins_now_and_then(ask: Ask) -> None:
    chat, requests = ask(), [background(ask), background(ask)]
    waiting = deque(requests)
    for _ in range(admission.BACKGROUND_TURN):
        assert admit(waiting, {"starter": Load(1, 100)}, running=[chat]) == {}
    assert admit(waiting, {"starter": Load(1, 100)}, running=[chat]) == {"starter": requests[:1]}
    assert admit(waiting, {"starter": Load(2, 100)}, running=[chat, requests[0]]) == {}
