"""Who runs next, worked out by hand."""

import pytest

from fettle.jobs.placement import CLASSES, Candidate, Need, Offer, charge, lacks, nearest_miss, order

NOW = 1_000_000.0
HOUR = 3600.0
GIB = 1 << 30
CPU = Offer("cpu")
A100 = Offer("a100", gpus=1, memory=80 * GIB, labels=frozenset({"a100", "eu"}))
NO_US = "it asks for the label 'us', and the worker does not have it"
PAIR = Offer("pair", gpus=2, memory=24 * GIB)


def job(
    id: str, project: str = "a", seconds: float | None = 600, *, waited: float = 0, priority: str = "normal"
) -> Candidate:
    return Candidate(id, project, NOW - waited, seconds, {**CLASSES}[priority])  # type: ignore[index]


def names(jobs: list[Candidate], used: dict[str, float] | None = None) -> str:
    return " ".join(each.id for each in order(jobs, used or {}, NOW))


class TestOrder:
    def test_a_short_job_passes_a_long_one(self) -> None:
        assert names([job("long", seconds=900), job("short", seconds=100)]) == "short long"

    def test_below_a_minute_all_jobs_are_alike_and_the_oldest_goes_first(self) -> None:
        jobs = [job("b", seconds=50), job("a", seconds=1, waited=-1), job("c", seconds=None, waited=2)]
        assert names(jobs) == "c b a"

    def test_an_hour_of_waiting_halves_the_weight(self) -> None:
        new = job("new", seconds=550)
        assert names([new, job("old", seconds=1000, waited=HOUR)]) == "old new"  # 1000 ÷ 2 = 500 < 550
        assert names([new, job("old", seconds=1200, waited=HOUR)]) == "new old"  # 1200 ÷ 2 = 600 > 550

    def test_who_has_used_little_passes_who_has_used_much(self) -> None:
        jobs = [job("a", "a", 100), job("b", "b", 400)]
        assert names(jobs) == "a b"  # 100 × 600 < 400 × 600
        assert names(jobs, {"a": 1700}) == "a b"  # 100 × 2300 = 230,000 < 240,000
        assert names(jobs, {"a": 1900}) == "b a"  # 100 × 2500 = 250,000 > 240,000

    def test_projects_with_equal_jobs_take_turns(self) -> None:
        """Eight jobs of one project and then four of another."""
        jobs = [job(f"a{n}", "a", waited=100 - n) for n in range(8)] + [job(f"b{n}", "b", waited=n) for n in range(4)]
        assert [each[0] for each in names(jobs).split()] == list("abababab" + "aaaa")

    def test_a_job_on_two_gpus_counts_twice(self) -> None:
        """a1 is charged 2 × 600 s: (600 + 1200) × 600 s is more than b1's (600 + 0) × 1700 s."""
        pair = Candidate("a1", "a", NOW - 1, 600, need=Need(gpus=2))
        jobs = [pair, job("a2", "a", 600), job("b1", "b", 1700)]
        assert names(jobs) == "a1 b1 a2"
        assert names([job("a1", "a", 600, waited=1), *jobs[1:]]) == "a1 a2 b1"  # (600 + 600) × 600 < 600 × 1700

    def test_a_higher_priority_goes_first_however_long_it_takes(self) -> None:
        jobs = [job("low", seconds=60, priority="low"), job("normal", seconds=60)]
        jobs.append(job("high", seconds=86_400, priority="high"))
        assert names(jobs, {"a": 10_000}) == "high normal low"

    @pytest.mark.parametrize(
        ("waited", "expected"),
        [(11.9, "high normal low"), (12.1, "high normal low"), (24.1, "high low normal"), (36.1, "low high normal")],
    )
    def test_every_twelve_hours_raise_a_job_by_one_class(self, waited: float, expected: str) -> None:
        """At 12 h it is among the normal ones, where 100,000 s ÷ (1 + 12) is still more than 60 s."""
        low = job("low", seconds=100_000, waited=waited * HOUR, priority="low")
        assert names([low, job("normal", seconds=60), job("high", seconds=60, priority="high")]) == expected

    def test_of_many_all_come_exactly_once(self) -> None:
        jobs = [job(str(n), str(n % 7), seconds=60 + n * 37 % 501, waited=n) for n in range(500)]
        assert sorted(names(jobs).split(), key=int) == [str(n) for n in range(500)]


def test_a_running_job_adds_between_a_minute_and_an_hour_to_its_projects_use() -> None:
    assert [charge(seconds) for seconds in (None, 0, 600, 86_400)] == [60, 60, 600, 3600]


class TestLacks:
    @pytest.mark.parametrize("offer", [CPU, A100, PAIR])
    def test_a_job_that_asks_for_nothing_runs_anywhere(self, offer: Offer) -> None:
        assert lacks(Need(), offer) is None

    @pytest.mark.parametrize(
        ("need", "offer", "reason"),
        [
            (Need(gpus=1), A100, None),
            (Need(gpus=1), PAIR, None),
            (Need(gpus=1), CPU, "it asks for 1 GPU, and the slot has no GPU"),
            (Need(gpus=2), A100, "it asks for 2 GPUs, and the slot has 1 GPU"),
            (Need(gpu_memory_gib=24), PAIR, None),
            (Need(gpu_memory_gib=24.5), PAIR, "it asks for 24.5 GiB of GPU memory, and the GPU has 24.0 GiB"),
            (Need(gpu_memory_gib=1), CPU, "it asks for 1 GiB of GPU memory, and the slot has no GPU"),
            (Need(gpu_memory_gib=99), Offer(gpus=1), None),  # how much the device has is not known
            (Need(labels=frozenset({"a100", "eu"})), A100, None),
            (Need(labels=frozenset({"a100", "us"})), A100, NO_US),
        ],
    )  # fmt: skip
    def test_what_is_missing_is_said(self, need: Need, offer: Offer, reason: str | None) -> None:
        assert lacks(need, offer) == reason


class TestNearestMiss:
    def test_nothing_is_missed_where_one_slot_fits_or_there_is_none(self) -> None:
        assert nearest_miss(Need(gpus=2), [CPU, PAIR]) is None
        assert nearest_miss(Need(gpus=2), []) is None

    def test_it_is_said_of_the_slot_that_comes_closest(self) -> None:
        assert nearest_miss(Need(gpus=4), [CPU, A100, PAIR]) == "it asks for 4 GPUs, and the slot has 2 GPUs"
        assert nearest_miss(Need(gpu_memory_gib=96), [CPU, PAIR, A100]) == (
            "it asks for 96 GiB of GPU memory, and the GPU has 80.0 GiB"
        )
        assert nearest_miss(Need(gpus=2, labels=frozenset({"eu"})), [PAIR, A100]) == (
            "it asks for 2 GPUs, and the slot has 1 GPU"
        )
