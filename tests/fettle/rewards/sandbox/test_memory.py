"""Guests share one limit of memory: in a process that grades, and in a worker that answers several requests."""

import asyncio
import os
import time
from pathlib import Path

import pytest

from fettle.rewards import Graders, Sample
from fettle.rewards.sandbox import Limits, LoadError, Sandbox, SandboxResult, memory
from fettle.rewards.sandbox.guests import Guest
from worker.rewards import guest_memory

MIB = 1 << 20
FILL = "hoard = bytearray({0} << 20)\nfor at in range(0, len(hoard), 4096): hoard[at] = 1\n"
ONE = "def grade(sample, item):\n    return 1.0"
LATER = """
import time
hoard = []
def grade(sample, item):
    if not hoard:
        hoard.append(b"x" * ({0} << 20))
    time.sleep(0.3)
    return 1.0
"""


def opened(*sources: str, limit: int) -> Graders:
    graders = [
        {"name": f"g{number}", "weight": 1.0, "grader": {"type": "python", "name": f"g{number}", "source": source}}
        for number, source in enumerate(sources)
    ]
    return Graders(graders, limits=Limits(5.0, limit * MIB))


def test_graders_that_load_more_than_one_may_take_are_refused_together() -> None:
    with pytest.raises(LoadError, match=r"MemoryError|Too little is left"):
        opened(*[FILL.format(100) + ONE] * 9, limit=512)
    assert not Guest.live


def test_a_grader_for_which_no_memory_is_left_is_not_started() -> None:
    with pytest.raises(LoadError, match=r"The graders share 256 MiB of memory, of which \d+ MiB are in use"):
        opened(FILL.format(150) + ONE, ONE, ONE, limit=256)


def test_graders_that_grow_later_lose_the_largest_of_them() -> None:
    with opened(LATER.format(60), LATER.format(250), LATER.format(200), limit=512) as graders:
        (score,) = graders.score([Sample("p", "c")])
        assert score.scores["g0"] == 1.0
        (score,) = graders.score([Sample("p", "c")])
    assert score.scores["g0"] == 1.0
    assert "the graders together used more than 512 MiB of memory" in score.errors["g1"].message


def test_one_grader_may_take_all_of_it() -> None:
    with opened(LATER.format(600), limit=768) as graders:
        (score,) = graders.score([Sample("p", "c")])
    assert score.reward == 1.0


def test_a_guest_is_the_first_that_the_kernel_ends() -> None:
    with Sandbox(ONE, Limits(5.0, 512 * MIB)) as sandbox:
        assert sandbox.guest is not None
        scores = [int(Path(f"/proc/{pid}/oom_score_adj").read_text()) for pid in memory.tree(sandbox.guest.process.pid)]
    assert set(scores) == {1000}


async def test_a_worker_ends_the_largest_guest_whatever_process_has_started_it() -> None:
    limit = Limits(5.0, 1024 * MIB)  # of this process, which starts both
    with Sandbox(FILL.format(200) + ONE, limit) as small, Sandbox(FILL.format(280) + ONE, limit) as large:
        assert small.guest is not None and large.guest is not None
        watching = asyncio.create_task(guest_memory.watch(512 * MIB))
        deadline = time.monotonic() + 60
        while any(memory.resident(pid) > 250 * MIB for pid in memory.tree(large.guest.process.pid)):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        assert small.grade([({}, {})]) == [SandboxResult(1.0)]
        (result,) = large.grade([({}, {})])
        assert "signal 9 (often: it used too much memory)" in (result.error or "")


def test_only_guests_are_counted() -> None:
    assert os.getpid() not in [process.pid for process in memory.guests(os.getpid())]
