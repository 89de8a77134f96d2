from collections import deque
from collections.abc import Callable

import pytest

from worker.engine import admission
from worker.engine.admission import admit
from worker.engine.requests import Request

Ask = Callable[..., Request]


def test_requests_for_the_model_of_the_oldest_go_together_and_the_others_keep_their_order(ask: Ask) -> None:
    a1, b1, a2, b2 = ask(slot="a"), ask(slot="b"), ask(slot="a"), ask(slot=None)
    waiting = deque([a1, b1, a2, b2])
    assert admit(waiting) == [a1, a2]
    assert list(waiting) == [b1, b2]
    assert admit(waiting) == [b1]
    assert admit(waiting) == [b2]
    assert admit(waiting) == []


def test_a_batch_has_no_more_rows_than_allowed(ask: Ask) -> None:
    requests = [ask(n=16) for _ in range(5)] + [ask(n=1)]
    waiting = deque(requests)
    assert admit(waiting) == requests[:4]
    assert list(waiting) == requests[4:]


def test_a_batch_holds_no_more_positions_than_allowed(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    width = ask().width
    monkeypatch.setattr(admission, "MAX_POSITIONS", 3 * width)
    one, two, long, three = ask(), ask(), ask(max_tokens=200), ask()
    waiting = deque([one, two, long, three])
    assert admit(waiting) == [one, two, three]
    assert admit(waiting) == [long]  # too large for any batch, so alone


def test_cancelled_requests_are_thrown_out(ask: Ask) -> None:
    gone, here, gone_too, other = ask(), ask(), ask(), ask(slot="b")
    gone.cancel()
    gone_too.cancel()
    waiting = deque([gone, here, gone_too, other])
    assert admit(waiting) == [here]
    assert list(waiting) == [other]
