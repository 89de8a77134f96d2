"""python -m worker.scoring: one job's scorer. Rewards and the sandbox run here, never in the supervisor's loop.

JSON lines on stdin: {"version", "graders", "models", "limits", "engine", "patience", "rollouts"}; for each one on
stdout: {"scores"} in the batch's order, or {"error"} when the graders cannot be opened. The end of stdin is its end.
"""

import ctypes
import os
import signal
import sys
from contextlib import ExitStack
from typing import Any

import orjson

from fettle.rewards.graders import Graders
from fettle.rewards.samples import Sample, Score
from fettle.rewards.sandbox import SandboxError
from worker import opening

PR_SET_PDEATHSIG = 1


def main() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # the libraries print as they like
    version, graders, held = 0, Graders([]), ExitStack()
    for line in sys.stdin.buffer:
        request = orjson.loads(line)
        try:
            if request["version"] != version:
                entered = ExitStack()
                graders = entered.enter_context(opening.opened(request, request["patience"]))
                held.close()
                version, held = request["version"], entered
        except SandboxError as error:
            out.write(orjson.dumps({"error": str(error)}) + b"\n")
            continue
        samples = [Sample(each["messages"], each["completion"], each["item"]) for each in request["rollouts"]]
        out.write(orjson.dumps({"scores": [as_json(score) for score in graders.score(samples)]}) + b"\n")
    held.close()


def as_json(score: Score) -> dict[str, Any]:
    errors = {name: {"flag": failure.flag, "message": failure.message} for name, failure in score.errors.items()}
    return {"reward": score.reward, "scores": score.scores, "printed": score.printed, "errors": errors}


if __name__ == "__main__":
    main()
