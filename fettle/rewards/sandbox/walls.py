"""What confines user code here: the minimum always, and bubblewrap and a memory group where they prove to work."""

import os
from functools import cache
from itertools import product

from fettle.rewards.sandbox import bubblewrap, cgroup, landlock
from fettle.rewards.sandbox.errors import SandboxError
from fettle.rewards.sandbox.guests import START_SECONDS, Broken, Guest, Overrun, Walls
from fettle.rewards.sandbox.limits import Limits

PROBES = {  # Python's imports pure and compiled modules that the guest has not loaded before it is confined
    "python": "import decimal, email.message, json.tool, signal, socket\n\n\ndef grade(sample, item): return 1.0",
    "javascript": "function grade(sample, item) { return 1.0; }",
}


@cache
def walls_of(language: str = "python") -> Walls:
    """The strongest behind which a guest of the language starts and answers. Raises SandboxError without any."""
    cgroup.sweep()
    ways = product(dict.fromkeys([bubblewrap.find(), None]), dict.fromkeys([cgroup.find(), None]))
    for walls in (Walls(bwrap, group) for bwrap, group in ways):
        try:
            prove(walls, language)
            return walls
        except SandboxError as error:
            refused = error
    raise refused


def prove(walls: Walls, language: str) -> None:
    """Raises SandboxError."""
    guest = Guest(Limits(), walls, language)
    try:
        guest.send({"type": "load", "source": PROBES[language], "names": ["grade"]})
        guest.send({"type": "grade", "samples": [[{}, {}]]})
        loaded, graded = guest.receive(START_SECONDS), guest.receive(START_SECONDS)
    except (Overrun, Broken) as error:
        raise SandboxError(f"The sandbox starts but does not respond ({error}). The code was not run.") from error
    finally:
        guest.kill()
    if "error" in loaded:
        raise SandboxError(
            f"The sandbox starts, but user code cannot import Python's standard library "
            f"({loaded['error'].strip().splitlines()[-1]}). The code was not run. Let every user read it: "
            f"chmod -R o+rX {landlock.library_folders()[0]}"
        )
    if loaded.get("value") != "grade" or graded.get("value") != 1.0:
        raise SandboxError("The sandbox starts but returns no results. The code was not run.")


def level(language: str = "python") -> str:
    """What confines user code here, by name, proved by starting a guest, and what it leaves open: without bubblewrap
    every path can be looked up. Raises SandboxError when nothing confines."""
    walls = walls_of(language)
    return "+".join(
        [
            f"landlock{landlock.abi()}",
            "seccomp",
            "rlimits",
            *(["uid"] if os.geteuid() == 0 else []),
            *(["bwrap"] if walls.bwrap else []),
            *(["cgroup"] if walls.group else []),
            *(["paths-visible"] if not walls.bwrap else []),
        ]
    )
