"""The rooms of a house stand on one another: each imports only rooms further down, and none leads back to itself."""

from pathlib import Path

import pytest

from tests.test_layers import ROOT, read_tree, write_tree

# From the top down. A module that lies beside the rooms is a room of its own, without a fixed place.
STAIRS = {
    "worker": (
        "ray",
        "background",
        "jobs",
        "reporting",
        "rewards",
        "training",
        "vllm",
        "engine",
        "exports",
        "attempts",
    ),
    "fettle": (
        "cli",
        "backups",
        "importers",
        "batches",
        "isolation",
        "advice",
        "reports",
        "comparisons",
        "evals",
        "rollouts",
        "jobs",
        "estimates",
        "datasets",
        "webhooks",
        "inference",
        "registry",
        "rewards",
        "methods",
        "tenancy",
        "storage",
        "observability",
        "host",
        "schemas",
    ),
}
MODULES_AT_MOST = {"fettle": 16, "api": 20, "worker": 9}  # beside the rooms

Edges = dict[str, dict[str, str]]  # room → the room that it imports → one import, for people


def rooms(house: str, tree: dict[str, set[str]]) -> Edges:
    found: Edges = {}
    for module, names in tree.items():
        if (here := room(house, module)) is None:
            continue
        for name in sorted(names):
            target = name if name in tree else name.rpartition(".")[0]
            if target in tree and (there := room(house, target)) not in (None, here):
                found.setdefault(here, {}).setdefault(str(there), f"{module} → {target}")
    return found


def room(house: str, module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == house and len(parts) > 1 else None


def cycles(edges: Edges) -> list[str]:
    """One sentence per import that is part of a way back."""

    def reaches(start: str, end: str) -> bool:
        seen, waiting = {start}, [start]
        while waiting:
            for each in edges.get(waiting.pop(), {}):
                if each == end:
                    return True
                if each not in seen:
                    seen.add(each)
                    waiting.append(each)
        return False

    return [
        f"{here} needs {there}, which leads back to it: {why}"
        for here, needed in sorted(edges.items())
        for there, why in sorted(needed.items())
        if reaches(there, here)
    ]


def climbs(stairs: tuple[str, ...], edges: Edges) -> list[str]:
    return [
        f"{here} stands below {there} and needs it: {why}"
        for here, needed in sorted(edges.items())
        for there, why in sorted(needed.items())
        if here in stairs and there in stairs and stairs.index(here) > stairs.index(there)
    ]


@pytest.mark.parametrize("house", STAIRS)
def test_no_room_leads_back_to_itself_and_none_needs_one_above(house: str) -> None:
    edges = rooms(house, read_tree(ROOT))
    assert cycles(edges) == []
    assert climbs(STAIRS[house], edges) == []


@pytest.mark.parametrize("house", STAIRS)
def test_every_room_has_its_place_on_the_stairs(house: str) -> None:
    packages = {path.parent.name for path in (ROOT / house).glob("*/__init__.py")}
    assert packages >= set(STAIRS[house])
    needed = {name for here, names in rooms(house, read_tree(ROOT)).items() for name in (here, *names)}
    assert packages & needed <= set(STAIRS[house])


@pytest.mark.parametrize("house", MODULES_AT_MOST)
def test_few_modules_lie_beside_the_rooms(house: str) -> None:
    assert len([*(ROOT / house).glob("*.py")]) <= MODULES_AT_MOST[house]


def test_attempts_need_no_other_room_of_the_worker() -> None:
    assert "attempts" not in rooms("worker", read_tree(ROOT))


def test_a_cycle_through_a_third_room_is_found_and_named(tmp_path: Path) -> None:
    files = {
        "worker/jobs/supervisor.py": "from worker.rewards import recorder",
        "worker/rewards/recorder.py": "from worker.metrics import count",
        "worker/metrics.py": "def count() -> None:\n    from worker.jobs.supervisor import run",
    }
    found = cycles(rooms("worker", write_tree(tmp_path, files)))
    assert len(found) == 3
    assert "metrics needs jobs, which leads back to it: worker.metrics → worker.jobs.supervisor" in found


def test_an_import_from_a_room_above_is_found_and_named(tmp_path: Path) -> None:
    files = {"fettle/storage/s3.py": "from fettle.jobs.events import add", "fettle/jobs/events.py": ""}
    edges = rooms("fettle", write_tree(tmp_path, files))
    assert cycles(edges) == []
    assert climbs(STAIRS["fettle"], edges) == [
        "storage stands below jobs and needs it: fettle.storage.s3 → fettle.jobs.events"
    ]
