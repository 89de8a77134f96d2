"""Who answers, in the order in which they are asked."""

import dataclasses

from fettle.inference.routing import SPILL_AT, Route, order

BASES = ("starter",)
THREE = [Route(f"http://engine-{number}:8001", BASES) for number in range(3)]


def urls(*found: Route) -> list[str]:
    return [route.url for route in found]


def first(routes: list[Route], adapter: str) -> str:
    return order(routes, "starter", adapter)[0].url


def test_only_engines_with_the_base_are_asked() -> None:
    qwen = Route("http://vllm:8001", ("qwen",))
    assert urls(*order([*THREE, qwen], "qwen")) == [qwen.url]
    assert qwen not in order([*THREE, qwen], "starter")
    assert order(THREE, "phi") == []


def test_every_adapter_has_an_engine_and_few_move_when_one_goes() -> None:
    names = [f"ft:{number}" for number in range(300)]
    before = {name: first(THREE, name) for name in names}
    share = [list(before.values()).count(route.url) for route in THREE]
    assert min(share) > 60, share
    after = {name: first(THREE[1:], name) for name in names}
    moved = [name for name in names if before[name] != after[name]]
    assert {before[name] for name in moved} == {THREE[0].url}, "an adapter moved whose engine stayed"
    assert len(moved) == share[0]


def test_an_engine_that_has_the_adapter_goes_first_wherever_the_hash_points() -> None:
    last = order(THREE, "starter", "ft:x")[-1]
    warm = dataclasses.replace(last, adapters=("ft:x",))
    routes = [route for route in THREE if route is not last] + [warm]
    assert order(routes, "starter", "ft:x")[0] == warm


def test_a_busy_engine_spills_over_and_its_own_count_is_newer_than_what_was_announced() -> None:
    one, two, _ = order(THREE, "starter", "ft:x")
    assert order(THREE, "starter", "ft:x", mine={one.url: SPILL_AT - 1})[0] == one
    assert order(THREE, "starter", "ft:x", mine={one.url: SPILL_AT})[0] == two
    announced = [dataclasses.replace(route, requests=SPILL_AT) if route == one else route for route in THREE]
    assert order(announced, "starter", "ft:x")[0] == two
    level = [dataclasses.replace(route, requests=100) for route in THREE]
    assert order(level, "starter", "ft:x")[0].url == one.url, "all have as much to do, so nothing is gained elsewhere"


def test_one_that_stops_or_did_not_respond_comes_last_even_if_it_has_the_adapter() -> None:
    one, two, three = order(THREE, "starter", "ft:x")
    stopping = dataclasses.replace(one, stopping=True, adapters=("ft:x",))
    assert urls(*order([stopping, two, three], "starter", "ft:x")) == [two.url, three.url, one.url]
    assert urls(*order(THREE, "starter", "ft:x", avoided={one.url})) == [two.url, three.url, one.url]
