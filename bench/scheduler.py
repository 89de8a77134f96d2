"""Simulates the job queue on a virtual clock: our order against first come, first served, and against an oracle.

    python -m bench.scheduler

Arrivals are Poisson, durations Pareto (shape 1.1, from one minute, cut at a day), the load is 0.8, and estimates are
off by a log-normal factor (σ = 0.7). The oracle starts the job that is shortest in truth. Nothing here depends on the
machine: the same seeds give the same figures everywhere.
"""

import heapq
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
SEEDS = range(10)
WINDOW = placement.WINDOW
SHARE_WINDOW = 600.0  # in which a project's share is looked at
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
    return known[placement.order(rows, used, now)[0].id]


def simulate(jobs: Sequence[Arrival], choose: Choose) -> list[Ran]:
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


def shares(done: Sequence[Ran]) -> list[float]:
    """Of each window and each project that had a job waiting all through it: its share × the number of such projects.

    1 is an equal part of the slots' time.
    """
    end = max(ran.start + ran.job.seconds for ran in done)
    waited: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for ran in done:
        if ran.start > ran.job.at:
            waited[ran.job.project].append((ran.job.at, ran.start))
    backlog = {project: merged(sorted(spans)) for project, spans in waited.items()}
    worked: dict[int, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for ran in done:
        at, stop = ran.start, ran.start + ran.job.seconds
        while at < stop:
            window = int(at // SHARE_WINDOW)
            until = min(stop, (window + 1) * SHARE_WINDOW)
            worked[window][ran.job.project] += until - at
            at = until
    found = []
    for window in range(int(end // SHARE_WINDOW)):
        low, high = window * SHARE_WINDOW, (window + 1) * SHARE_WINDOW
        behind = [name for name, spans in backlog.items() if any(a <= low and b >= high for a, b in spans)]
        if len(behind) > 1:
            total = sum(worked[window].values())
            active = len(worked[window])
            found += [worked[window][name] / total * max(active, len(behind)) for name in behind]
    return found


def merged(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
    found: list[tuple[float, float]] = []
    for start, end in spans:
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def figures(done: Sequence[Ran]) -> dict[str, float]:
    waits = [ran.start - ran.job.at for ran in done]
    slowdowns = sorted((wait + ran.job.seconds) / ran.job.seconds for wait, ran in zip(waits, done, strict=True))
    fair = sorted(shares(done))
    return {
        "makespan": max(ran.start + ran.job.seconds for ran in done),
        "wait": statistics.fmean(waits),
        "longest": max(waits),
        "slowdown": slowdowns[int(len(slowdowns) * 0.99)],
        "share": statistics.median(fair) if fair else float("nan"),
        "low_share": sum(each >= 1 / 1.3 for each in fair) / len(fair) if fair else float("nan"),
    }


def table(count: int) -> None:
    print(f"\n{count:,} jobs, {SLOTS} slots, {PROJECTS} projects, median of {len(SEEDS)} seeds")
    print(f"{'':10}{'makespan':>10}{'mean wait':>12}{'longest':>11}{'p99 slowdown':>14}{'share':>8}{'≥ 1/1.3':>9}")
    every: dict[str, list[dict[str, float]]] = defaultdict(list)
    for seed in SEEDS:
        jobs = trace(count, seed)
        for name, choose in (("FIFO", fifo), ("ours", ours), ("oracle", oracle)):
            every[name].append(figures(simulate(jobs, choose)))
    for name, found in every.items():
        row = {key: statistics.median(each[key] for each in found) for key in found[0]}
        print(
            f"{name:10}{row['makespan'] / 3600:>8.1f} h{row['wait'] / 60:>8.1f} min{row['longest'] / 3600:>9.1f} h"
            f"{row['slowdown']:>14.1f}{row['share']:>8.2f}{row['low_share']:>9.0%}"
        )
    ratios = [a["wait"] / b["wait"] for a, b in zip(every["FIFO"], every["ours"], strict=True) if b["wait"]]
    if ratios:
        print(f"mean wait, FIFO ÷ ours: median {statistics.median(ratios):.1f}, worst seed {min(ratios):.1f}")


if __name__ == "__main__":
    table(32)
    table(1_000)
    table(10_000)
