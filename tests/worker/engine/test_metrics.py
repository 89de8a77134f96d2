import httpx
import pytest

from fettle.datasets.formats.render import Renderer
from tests.fettle.observability.test_metrics import values
from tests.worker.engine.conftest import QUESTION, Engine, until, user
from worker.engine import decode_thread

pytestmark = pytest.mark.slow  # loads transformers

PREFIX = "fettle_engine_"


def seen(engine: Engine) -> dict[str, float]:
    """Without the engine's key, which a scraper need not know."""
    answer = httpx.get(f"{engine.url}/metrics", trust_env=False)
    assert answer.status_code == 200, answer.text
    return values(answer.content)


def outcome(page: dict[str, float], name: str) -> float:
    return page[f'{PREFIX}requests_total{{outcome="{name}"}}']


def test_tokens_are_counted_as_usage_counts_them(engine: Engine, renderer: Renderer) -> None:
    before = seen(engine)
    usage = engine.chat(n=3, max_tokens=7, temperature=1).json()["usage"]
    after = seen(engine)
    gained = {name: after[PREFIX + name] - before[PREFIX + name] for name in ("prompt_tokens_total", "steps_total")}
    written = after[f"{PREFIX}completion_tokens_total"] - before[f"{PREFIX}completion_tokens_total"]
    assert (gained["prompt_tokens_total"], written) == (usage["prompt_tokens"], usage["completion_tokens"])
    assert usage["prompt_tokens"] == len(renderer.prompt(user(QUESTION)))
    assert gained["steps_total"] >= 6
    assert outcome(after, "answered") == outcome(before, "answered") + 1


def test_what_is_loaded_and_decoded_now_is_shown(engine: Engine) -> None:
    engine.load("endless")
    before = seen(engine)
    assert (before[f"{PREFIX}adapters_loaded"], before[f"{PREFIX}bases_loaded"]) == (1, 1)
    body = {
        "model": "endless",
        "messages": user(QUESTION),
        "n": 2,
        "stream": True,
        "temperature": 0,
        "max_tokens": 1500,
    }
    with engine.client.stream("POST", "/v1/chat/completions", json=body) as answer:
        chunks = answer.iter_raw()
        next(chunks)
        assert seen(engine)[f"{PREFIX}batch_rows"] == 2
    until(lambda: seen(engine)[f"{PREFIX}batch_rows"] == 0)
    after = seen(engine)
    assert outcome(after, "cancelled") == outcome(before, "cancelled") + 1
    assert outcome(after, "answered") == outcome(before, "answered")


def test_a_refusal_for_want_of_room_is_counted(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    before = seen(engine)
    monkeypatch.setattr(decode_thread, "MAX_WAITING", 0)
    assert engine.chat().status_code == 429
    assert outcome(seen(engine), "refused") == outcome(before, "refused") + 1


def test_a_client_behind_a_proxy_is_a_stranger(engine: Engine) -> None:
    headers = {"x-forwarded-for": "127.0.0.1"}
    assert httpx.get(f"{engine.url}/metrics", headers=headers, trust_env=False).status_code == 401
    assert httpx.get(f"{engine.url}/v1/models", trust_env=False).status_code == 401
