import torch

from worker.engine.adapters import Weights
from worker.engine.recent_adapters import RecentAdapters


def weights() -> Weights:
    """24 bytes: 2 + 2 + 2 numbers."""
    return Weights({"up": (torch.zeros(2, 1), torch.zeros(1, 2))}, torch.zeros(2))


def key(name: str, base: str = "starter") -> tuple[str, str, str]:
    return name, f"adapters/{name}", base


def test_no_more_is_kept_than_the_limit_and_the_latest_stay() -> None:
    recent = RecentAdapters(2 * weights().bytes)
    for name in ("one", "two", "three"):
        recent.put(key(name), weights())
    assert [*recent.kept] == [key("two"), key("three")]
    assert recent.take(key("one")) is None
    assert recent.take(key("two")) is not None
    assert recent.take(key("two")) is None  # it is in a slot again


def test_another_place_in_storage_is_another_adapter() -> None:
    recent = RecentAdapters(1000)
    recent.put(key("one"), weights())
    assert recent.take(("one", "adapters/newer", "starter")) is None


def test_what_is_deleted_and_what_belongs_to_a_base_that_left_is_forgotten() -> None:
    recent = RecentAdapters(1000)
    for each in (key("one"), key("two"), key("three", "phi")):
        recent.put(each, weights())
    recent.forget("one")
    recent.forget_base("phi")
    assert [*recent.kept] == [key("two")]


def test_one_that_is_larger_than_the_limit_is_not_kept() -> None:
    recent = RecentAdapters(weights().bytes - 1)
    recent.put(key("one"), weights())
    assert recent.kept == {}
