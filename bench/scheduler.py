"""Simulates the job queue on a virtual clock: our order against first come, first served, and against an oracle.

    python -m bench.scheduler [--seeds 10] [--jobs 32 10000]

Arrivals are Poisson, durations Pareto (shape 1.1, from one minute, cut at a day), the load is 0.8, and estimates are
off by a log-normal factor (σ = 0.7). The oracle starts the job that is shortest in truth. Then the shares of projects
that always have jobs waiting. Nothing here depends on the machine: the same seeds give the same figures everywhere.
"""

import argparse
import heapq
import math
import random
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fettle.jobs import placement
from fettle.jobs.placement import Candidate

SLOTS = 8
PROJECTS = 6
LOAD = 0.8
SHAPE, SHORTEST, LONGEST = 1.1, 60.0, 86_400.0
SIGMA = 0.7
WINDOW = placement.WINDOW
SHARE_WINDOW = 600.0  # in which a project's share is looked at
HOURS = 6  # of the shares' simulation
ENOUGH = 1 / 1.3  # of an equal part
LOOKED_AT = 1_000

Choose = Callable[[list["Arrival"], dict[str, float], float], "Arrival"]


@dataclass(frozen=True)
class Arrival:
    id: str
    project: str
    at: float
    seconds: float
    estimate: float


@dataclass(frozen=True)
class Ran:
    job: Arrival
    start: float


def trace(count: int, seed: int) -> list[Arrival]:
    """Projects differ: the first sends half of all jobs."""
    draw = random.Random(seed)
    durations = [min(LONGEST, SHORTEST * draw.paretovariate(SHAPE)) for _ in range(count)]
    gap = statistics.fmean(durations) / (SLOTS * LOAD)
    at, jobs = 0.0, []
    for number, seconds in enumerate(durations):
        at += draw.expovariate(1 / gap)
        project = "p0" if draw.random() < 0.5 else f"p{draw.randrange(1, PROJECTS)}"
        jobs.append(Arrival(f"j{number:06}", project, at, seconds, seconds * draw.lognormvariate(0, SIGMA)))
    return jobs


def fifo(waiting: list[Arrival], used: dict[str, float], now: float) -> Arrival:
    return min(waiting, key=lambda each: each.at)


def oracle(waiting: list[Arrival], used: dict[str, float], now: float) -> Arrival:
    return min(waiting, key=lambda each: each.seconds)


def ours(waiting: list[Arrival], used: dict[str, float], now: float) -> Arrival:
    known = {each.id: each for each in waiting[:LOOKED_AT]}
    rows = [Candidate(each.id, each.project, each.at, each.estimate) for each in known.values()]
    return known[next(placement.order(rows, used, now)).id]


def simulate(jobs: Sequence[Arrival], choose: Choose, until: float = math.inf) -> list[Ran]:
    running: list[tuple[float, str, Ran]] = []
    ended: list[tuple[float, Ran]] = []
    waiting: list[Arrival] = []
    coming = list(reversed(jobs))
    done: list[Ran] = []
    now = 0.0
    while coming or waiting or running:
        soonest = [coming[-1].at] if coming else []
        soonest += [running[0][0]] if running else []
        now = min(soonest)
        if now > until:
            break
        while running and running[0][0] <= now:
            end, _, ran = heapq.heappop(running)
            ended.append((end, ran))
        while coming and coming[-1].at <= now:
            waiting.append(coming.pop())
        ended = [(end, ran) for end, ran in ended if end > now - WINDOW]
        while waiting and len(running) < SLOTS:
            job = choose(waiting, charges(ended, running, now), now)
            waiting.remove(job)
            ran = Ran(job, now)
            done.append(ran)
            heapq.heappush(running, (now + job.seconds, job.id, ran))
    return done


def charges(ended: list[tuple[float, Ran]], running: list[tuple[float, str, Ran]], now: float) -> dict[str, float]:
    """As fettle.jobs.runs has it: seconds within the window, and what the running jobs are still expected to take."""
    used: dict[str, float] = defaultdict(float)
    for end, ran in ended:
        used[ran.job.project] += end - max(ran.start, now - WINDOW)
    for _, _, ran in running:
        left = max(placement.LEAST_SECONDS, ran.start + ran.job.estimate - now)
        used[ran.job.project] += now - max(ran.start, now - WINDOW) + min(left, WINDOW)
    return used


def figures(done: Sequence[Ran]) -> dict[str, float]:
    waits = [ran.start - ran.job.at for ran in done]
    slowdowns = sorted((wait + ran.job.seconds) / ran.job.seconds for wait, ran in zip(waits, done, strict=True))
    return {
        "makespan": max(ran.start + ran.job.seconds for ran in done),
        "wait": statistics.fmean(waits),
        "longest": max(waits),
        "slowdown": slowdowns[int(len(slowdowns) * 0.99)],
    }


def table(count: int, seeds: int) -> None:
    print(f"\n{count:,} jobs, {SLOTS} slots, {PROJECTS} projects, median of {seeds} seeds")
    print(f"{'':10}{'makespan':>10}{'mean wait':>13}{'longest':>11}{'p99 slowdown':>14}")
    every: dict[str, list[dict[str, float]]] = defaultdict(list)
    for seed in range(seeds):
        jobs = trace(count, seed)
        for name, choose in (("FIFO", fifo), ("ours", ours), ("oracle", oracle)):
            every[name].append(figures(simulate(jobs, choose)))
    for name, found in every.items():
        row = {key: statistics.median(each[key] for each in found) for key in found[0]}
        print(
            f"{name:10}{row['makespan'] / 3600:>8.1f} h{row['wait'] / 60:>9.1f} min{row['longest'] / 3600:>9.1f} h"
            f"{row['slowdown']:>14.1f}"
        )
    ratios = [a["wait"] / b["wait"] for a, b in zip(every["FIFO"], every["ours"], strict=True) if b["wait"]]
    if ratios:
        print(f"mean wait, FIFO ÷ ours: median {statistics.median(ratios):.1f}, worst seed {min(ratios):.1f}")


def backlog(shortest: float, longest: float, seed: int) -> list[Arrival]:
    """Each project has jobs for all slots and all hours at once, and the first has ten times as many as it needs."""
    draw = random.Random(seed)
    jobs = []
    for number in range(PROJECTS):
        left = SLOTS * (HOURS + 1) * 3600.0 * (2 if number == 0 else 1)
        while left > 0:
            seconds = draw.uniform(shortest, longest)
            left -= seconds
            name = f"p{number}"
            jobs.append(Arrival(f"{name}-{len(jobs)}", name, 0.0, seconds, seconds * draw.lognormvariate(0, SIGMA)))
    draw.shuffle(jobs)
    return jobs


def shares(jobs: Sequence[Arrival], choose: Choose) -> list[float]:
    """Of each project and window: its part of the slots' time, where 1 is an equal part."""
    worked: dict[tuple[int, str], float] = defaultdict(float)
    for ran in simulate(jobs, choose, until=HOURS * 3600.0):
        at, stop = ran.start, ran.start + ran.job.seconds
        while at < stop:
            window = int(at // SHARE_WINDOW)
            until = min(stop, (window + 1) * SHARE_WINDOW)
            worked[window, ran.job.project] += until - at
            at = until
    windows = range(int(HOURS * 3600 // SHARE_WINDOW))
    equal = SLOTS * SHARE_WINDOW / PROJECTS
    return sorted(worked[window, f"p{number}"] / equal for window in windows for number in range(PROJECTS))


def share_table(seeds: int) -> None:
    print(f"\n{PROJECTS} projects that always have jobs waiting, {SLOTS} slots, {HOURS} hours, {seeds} seeds:")
    print("parts of the slots' time in every ten minutes, where 1 is an equal part")
    print(f"{'jobs of':>12}{'':>8}{'lowest':>9}{'5th percentile':>16}{'at least 1/1.3':>16}")
    for shortest, longest in ((60, 120), (60, 600), (60, 3600)):
        for name, choose in (("FIFO", fifo), ("ours", ours)):
            found = sorted(each for seed in range(seeds) for each in shares(backlog(shortest, longest, seed), choose))
            enough = sum(each >= ENOUGH for each in found) / len(found)
            span = f"{shortest / 60:.0f}–{longest / 60:.0f} min"
            print(f"{span:>12}{name:>8}{found[0]:>9.2f}{found[len(found) // 20]:>16.2f}{enough:>16.0%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--jobs", type=int, nargs="*", default=[32, 10_000])
    options = parser.parse_args()
    for count in options.jobs:
        table(count, options.seeds)
    share_table(options.seeds)


if __name__ == "__main__":
    main()
