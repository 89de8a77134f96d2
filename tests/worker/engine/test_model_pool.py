from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from fettle.datasets.formats.render import Renderer
from fettle.storage import Missing
from tests.worker.engine.conftest import QUESTION, Engine, greedy, until, user
from worker.engine import app, model_pool
from worker.engine.requests import Request

pytestmark = pytest.mark.slow  # loads transformers


def loaded(engine: Engine) -> list[str]:
    models = engine.client.get("/v1/models").json()
    assert models["object"] == "list"
    return [model["id"] for model in models["data"]]


def test_an_adapter_is_loaded_from_storage_and_answers(
    engine: Engine, oracles: dict[str | None, Any], renderer: Renderer
) -> None:
    response = engine.load("ft:starter:acme:bot.v1:x1", "adapters/one")
    assert (response.status_code, response.text) == (
        200,
        "Success: LoRA adapter 'ft:starter:acme:bot.v1:x1' added successfully.",
    )
    assert loaded(engine) == ["starter", "ft:starter:acme:bot.v1:x1"]
    right = renderer.decode(greedy(oracles["one"], renderer.prompt(user(QUESTION)), 24))
    assert engine.texts(model="ft:starter:acme:bot.v1:x1") == [right]
    assert engine.chat("ft:starter:acme:bot.v1:x1").json()["model"] == "ft:starter:acme:bot.v1:x1"
    assert list(engine.pool.cache.iterdir()) == []  # what is in memory needs no place on the disk


def test_loading_again_from_the_same_place_does_nothing_and_from_another_is_refused(engine: Engine) -> None:
    engine.load("tuned", "adapters/one")
    slot = engine.pool.adapters["tuned"].slot
    assert engine.load("tuned", "adapters/one").status_code == 200
    assert engine.pool.adapters["tuned"].slot == slot
    refused = engine.load("tuned", "adapters/two")
    assert (refused.status_code, refused.json()["error"]["param"]) == (409, "lora_name")
    assert "'adapters/one'" in refused.json()["error"]["message"]


def test_a_name_that_is_asked_for_by_many_at_once_is_loaded_once(engine: Engine) -> None:
    first = next(engine.pool.slots)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: engine.load("one").status_code, range(8)))
    assert answers == [200] * 8
    assert int(next(engine.pool.slots).removeprefix("slot")) == int(first.removeprefix("slot")) + 2


def test_an_unloaded_adapter_is_unknown_and_never_the_base(engine: Engine) -> None:
    engine.load("one")
    assert engine.unload("one").text == "Success: LoRA adapter 'one' removed successfully."
    response = engine.chat("one")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")
    assert engine.unload("one").status_code == 404
    assert loaded(engine) == ["starter"]


def test_an_unloaded_adapter_finishes_what_it_has_begun(engine: Engine) -> None:
    engine.load("endless")
    (right,) = engine.texts(model="endless", max_tokens=150)
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(engine.texts, model="endless", max_tokens=150)
        until(lambda: engine.pool.thread.schedulers)
        assert engine.unload("endless").status_code == 200
        assert answer.result() == [right]


def test_a_new_adapter_under_an_old_name_speaks_for_itself(engine: Engine) -> None:
    engine.load("one")
    engine.load("two")
    (two,) = engine.texts(model="two")
    engine.unload("one")
    engine.load("one", "adapters/two")
    assert engine.texts(model="one") == [two]


def test_a_damaged_adapter_is_refused_and_the_others_are_unharmed(engine: Engine) -> None:
    engine.load("one")
    (right,) = engine.texts(model="one")
    refused = engine.load("damaged")
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (400, "adapter_corrupt")
    assert "adapters/damaged/adapter_model.safetensors does not have the sha256 of its manifest" in error["message"]
    assert loaded(engine) == ["starter", "one"]
    assert engine.texts(model="one") == [right]
    assert engine.chat("damaged").status_code == 404
    assert list(engine.pool.cache.iterdir()) == []


@pytest.mark.parametrize("path", ["adapters/nothing", "../adapters/one", "/", "adapters//one"])
def test_a_place_that_holds_no_adapter_is_named(path: str, engine: Engine) -> None:
    response = engine.load("x", path)
    assert (response.status_code, response.json()["error"]["param"]) == (404, "lora_path")
    assert repr(path) in response.json()["error"]["message"]


def test_a_base_that_is_not_in_the_catalog_is_refused(engine: Engine) -> None:
    response = engine.load("one", base="gpt-4o")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")
    assert "starter" in response.json()["error"]["message"]


def test_an_adapter_may_not_take_the_name_of_a_base(engine: Engine) -> None:
    assert engine.load("starter", "adapters/one").status_code == 409


def test_the_adapter_used_longest_ago_makes_room_and_can_come_back(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_pool, "MAX_ADAPTERS", 2)
    engine.load("one")
    engine.load("two")
    (right,) = engine.texts(model="two")
    engine.texts(model="one")  # so that two is the older
    engine.load("endless")
    assert loaded(engine) == ["starter", "one", "endless"]
    assert engine.chat("two").status_code == 404
    with monkeypatch.context() as without_storage:
        without_storage.setattr(model_pool.artifacts, "download", missing)
        assert engine.load("two").status_code == 200  # its weights were kept
        assert loaded(engine) == ["starter", "endless", "two"]
        assert engine.texts(model="two") == [right]
        engine.unload("two")
        assert engine.load("two").status_code == 404  # an unloaded adapter is not kept


async def missing(*_: Any, **__: Any) -> None:
    raise Missing("adapters/two")


def test_an_adapter_makes_room_once_it_has_answered(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_pool, "MAX_ADAPTERS", 1)
    engine.load("endless")
    (right,) = engine.texts(model="endless", max_tokens=150)
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(engine.texts, model="endless", max_tokens=150)
        until(lambda: engine.pool.thread.schedulers)
        with monkeypatch.context() as without_patience:
            without_patience.setattr(model_pool, "IDLE_SECONDS", 0)
            refused = engine.load("one")
        assert engine.load("one").status_code == 200
        assert answer.result() == [right]
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "engine_overloaded")
    assert loaded(engine) == ["starter", "one"]


def test_an_adapter_that_leaves_while_its_prompt_is_rendered_is_unknown(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = app.prepare

    def slow(*given: Any) -> Request:
        engine.unload("one")
        return real(*given)

    engine.load("one")
    monkeypatch.setattr(app, "prepare", slow)
    response = engine.chat("one")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")


def test_an_adapter_that_cannot_be_served_is_refused_with_its_reason(engine: Engine) -> None:
    engine.load("one")
    (right,) = engine.texts(model="one")
    refused = engine.load("dora")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "adapter_rejected")
    assert "'use_dora'" in refused.json()["error"]["message"]
    assert loaded(engine) == ["starter", "one"]
    assert engine.texts(model="one") == [right]
